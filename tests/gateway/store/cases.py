"""What the tests of stores hand in: reservations, settlements, entries, in few words."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gateway.store.contract import Change, Charge, Hold, Kind, Reservation, Settlement, Standing, Store
from gateway.store.entries import Entry, Span

NOW = 2_000_000_000.0  # a Wednesday in 2033, 03:33:20 UTC: nothing that these tests write is old
ALWAYS = Span(0, NOW * 2)
TEAM = "acme"


def entry(id_: str = "r1", **known: Any) -> Entry:
    return Entry(**{"id": id_, "team": TEAM, "time": NOW, **known})


def hold(counter: str = "usd", amount: int = 10, limit: int = 100, lapsed: int | None = None) -> Hold:
    return Hold(counter, amount, limit, amount if lapsed is None else lapsed, None)


def reservation(
    id_: str = "r1", *holds: Hold, team: str = TEAM, expires: float = NOW + 60, **known: Any
) -> Reservation:
    return Reservation(id_, team, holds, expires, entry(id_, team=team, **known))


def settlement(id_: str = "r1", *charges: tuple[str, int], team: str = TEAM, **known: Any) -> Settlement:
    made = tuple(Charge(counter, amount, None) for counter, amount in charges)
    return Settlement(id_, team, made, entry(id_, team=team, **known))


async def state(store: Store, counter: str = "usd", team: str = TEAM) -> tuple[int, int]:
    """Return what the counter has spent and reserved."""
    (standing,) = await store.standings(team, [counter])
    assert standing == Standing(counter, standing.spent, standing.reserved)
    return standing.spent, standing.reserved


async def ledger(store: Store, span: Span = ALWAYS, team: str | None = None) -> list[Entry]:
    return [found async for found in store.entries(span, team)]


async def put(store: Store, kind: Kind, name: str, document: bytes | None) -> None:
    """Write a document, or remove it, where nobody else changes any."""
    assert await store.change([Change(kind, name, document)], await store.version())


@contextmanager
def full_disk(path: Path) -> Iterator[None]:
    """Let no file grow beyond what the log of SQLite's file is now: what a full disk is like."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    log = path.with_name(f"{path.name}-wal")
    resource.setrlimit(resource.RLIMIT_FSIZE, (log.stat().st_size if log.exists() else 0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
