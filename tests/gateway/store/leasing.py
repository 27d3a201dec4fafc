"""Stores whose leases are looked at: what is in their file, what is in their journals, and a clock that tests set."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

from gateway.store import sqlite_journal
from gateway.store.contract import Granted, Refused
from gateway.store.sqlite import SqliteStore
from gateway.store.sqlite_allowance import Allowance
from gateway.store.sqlite_journal import Reserved
from gateway.store.sqlite_schema import connect, journals
from tests.gateway.store.cases import TEAM, hold, reservation, settlement

WIDE = 10**6  # a limit of which much can be leased
AMOUNT = 10


class Clock:
    """Time that passes when a test says so: what follows at once is quick, however busy the machine is."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def allowance(store: SqliteStore) -> Allowance:
    assert store._open is not None
    assert store._open.allowance is not None
    return store._open.allowance


async def opened(path: Path, clock: Clock | None = None) -> SqliteStore:
    store = SqliteStore(path, "process")
    await store.open()
    if clock is not None:
        allowance(store)._clock = clock
    return store


@asynccontextmanager
async def worker(path: Path, clock: Clock | None = None) -> AsyncIterator[SqliteStore]:
    store = await opened(path, clock)
    try:
        yield store
    finally:
        await store.close()


async def ask(store: SqliteStore, id_: str, amount: int = AMOUNT, limit: int = WIDE, **known: Any) -> Granted | Refused:
    return await store.reserve(reservation(id_, hold("usd", amount, limit), **known))


async def lease(store: SqliteStore, limit: int = WIDE, amount: int = 1) -> None:
    """Let it lease, by two requests that are settled at once for nothing."""
    for number in range(2):
        assert isinstance(await ask(store, f"{id(store)}.{number}", amount, limit), Granted)
    await store.settle_all([settlement(f"{id(store)}.{number}") for number in range(2)])


def rows(path: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(connect(path, read_only=True)) as db:
        return db.execute(query).fetchall()


def in_file(path: Path, counter: str = "usd") -> tuple[int, int]:
    """Return what the counter has spent and reserved in the file, leases with it."""
    found = rows(path, f"SELECT spent, reserved FROM counters WHERE counter = '{counter}'")  # noqa: S608
    return (found[0][0], found[0][1]) if found else (0, 0)


def without_leases(path: Path) -> tuple[int, int]:
    """Return what the counter has spent, and what is reserved of it but not leased, both as of one moment."""
    query = "SELECT spent, reserved - (SELECT coalesce(sum(amount), 0) FROM leases WHERE counter = 'usd') FROM counters"
    ((spent, reserved),) = rows(path, f"{query} WHERE counter = 'usd'")
    return spent, reserved


def leased(path: Path) -> int:
    return int(rows(path, "SELECT coalesce(sum(amount), 0) FROM leases")[0][0])


def holders(path: Path) -> int:
    return int(rows(path, "SELECT count(*) FROM holders")[0][0])


def reservations(path: Path) -> list[str]:
    return [row[0] for row in rows(path, "SELECT id FROM reservations ORDER BY id")]


def journal_files(path: Path) -> list[Path]:
    folder = journals(path)
    return sorted(folder.iterdir()) if folder.exists() else []


def journalled(path: Path) -> list[str]:
    """Return the ids of the reservations in all journals."""
    found = [record for file in journal_files(path) for record in sqlite_journal.read(file)]
    return [record.key[1] for record in found if isinstance(record, Reserved) and record.key[0] == TEAM]


async def eventually(condition: Callable[[], bool], within: float = 20.0) -> None:
    end = time.monotonic() + within
    while not condition():
        assert time.monotonic() < end, "it has not come about"
        await asyncio.sleep(0.02)
