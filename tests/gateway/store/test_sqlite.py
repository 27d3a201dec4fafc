"""SQLite's store as a whole: several processes on one file, processes that die, files that cannot be used."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing, closing
from pathlib import Path

import pytest

from gateway.store import sqlite_ledger
from gateway.store.contract import Standing, Store, StoreUnavailableError
from gateway.store.sqlite import SqliteStore
from gateway.store.sqlite_allowance import SLACK_S
from gateway.store.sqlite_schema import StoreFileError, connect, journals
from tests.gateway.store.cases import ALWAYS, NOW, TEAM, hold, ledger, reservation, settlement, state
from tests.gateway.store.sqlite_worker import CALLERS, LAPSED, LIMIT

ROOT = Path(__file__).parents[3]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "gateway.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[Store]:
    opened = SqliteStore(path, "process")
    await opened.open()
    yield opened
    await opened.close()


def _worker(path: Path, name: str, requests: int, limit: int = LIMIT) -> subprocess.Popen[str]:
    module = "tests.gateway.store.sqlite_worker"
    command = [sys.executable, "-m", module, str(path), name, str(requests), str(limit)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


async def _both(store: Store) -> tuple[tuple[int, int], tuple[int, int]]:
    return await state(store, "usd"), await state(store, "requests")


def test_two_processes_never_pass_a_limit_they_share(path: Path) -> None:
    workers = [_worker(path, name, 2000) for name in ("a", "b")]
    granted = [int(worker.communicate(timeout=60)[0].split()[-1]) for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0]
    assert sum(granted) == LIMIT
    assert min(granted) > 0

    async def check() -> None:
        store = SqliteStore(path, "process")
        await store.open()
        spent, reserved = await state(store)
        assert spent + reserved == LIMIT
        assert len(await ledger(store)) == spent
        assert len(await store.expire(NOW + 60 + SLACK_S)) == reserved
        assert await state(store) == (LIMIT, 0)
        await store.close()

    asyncio.run(check())


@pytest.mark.parametrize(("limit", "after"), [(LIMIT, 150), (10**9, 1), (10**9, 150), (10**9, 5000)])
def test_of_a_process_that_is_killed_nothing_is_half_applied_or_lost(path: Path, limit: int, after: int) -> None:
    worker = _worker(path, "a", 10**6, limit)
    assert worker.stdout is not None
    told = worker.stdout.read(after)  # that many reservations have returned
    os.kill(worker.pid, signal.SIGKILL)
    told += worker.stdout.read()
    worker.communicate(timeout=10)

    async def check() -> None:
        store = SqliteStore(path, "process")
        await store.open()
        (spent, reserved), (requests, reserved_too) = await _both(store)
        settled = await ledger(store)
        assert spent == requests == len(settled)
        lapsed = await store.expire(NOW + 60 + SLACK_S)
        # Of each that was set aside, whoever knew of it, there is an entry; what was leased and free is free again.
        assert len(lapsed) <= min(reserved, reserved_too)
        assert {made.id for made in lapsed}.isdisjoint(made.id for made in settled)
        assert {made.id for made in await store.unsettled()} == {made.id for made in lapsed}
        total = len(settled) + len(lapsed)
        assert told.count("+") <= total <= told.count("+") + CALLERS
        assert await _both(store) == ((total, 0), (len(settled) + LAPSED * len(lapsed), 0))
        assert await store.expire(NOW + 10**6) == ()
        await store.close()
        assert list(journals(path).iterdir()) == []

    asyncio.run(check())


async def test_what_was_written_is_there_when_it_is_opened_again(path: Path) -> None:
    for number in range(3):
        store = SqliteStore(path, "power")
        await store.open()
        await store.settle(settlement(f"r{number}", ("usd", 1)))
        await store.close()
        assert sorted(file.name for file in path.parent.iterdir()) == ["gateway.db"]  # the log is written back
    store = SqliteStore(path, "process")
    await store.open()
    assert (await state(store), len(await ledger(store))) == ((3, 0), 3)
    await store.close()


async def test_workers_see_what_the_others_write(store: Store, path: Path) -> None:
    other = SqliteStore(path, "process")
    await other.open()
    await other.reserve(reservation("r1", hold(amount=60)))
    assert await state(store) == (0, 60)
    await store.settle(settlement("r1", ("usd", 5)))
    assert not (await other.settle(settlement("r1", ("usd", 5)))).applied
    assert await state(other) == (5, 0)
    await other.close()


async def test_entries_are_read_in_pages_between_which_others_may_read_and_write(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_ledger, "PAGE", 3)
    for number in range(8):
        await store.settle(settlement(f"r{number}", time=NOW + number))
    found = []
    async with aclosing(store.entries(ALWAYS)) as entries:  # type: ignore[type-var]
        async for entry in entries:
            found.append(entry.id)
            await store.settle(settlement(f"late{entry.id}", time=NOW + 100) if len(found) < 3 else settlement("r0"))
            assert len(await store.usage(ALWAYS, ())) == 1
    assert found == [*(f"r{number}" for number in range(8)), "later0", "later1"]


async def test_a_full_disk_is_said_and_the_store_goes_on(store: SqliteStore, path: Path) -> None:
    assert store._open is not None
    limit = await store._open.writer.do(lambda batch: batch._db.execute("PRAGMA max_page_count").fetchone())
    await store._open.writer.do(lambda batch: batch._db.execute("PRAGMA max_page_count = 1").fetchone())
    outcomes = await asyncio.gather(
        *(store.settle(settlement(f"r{number}", ("usd", 1), error="x" * 900)) for number in range(50)),
        return_exceptions=True,
    )
    assert {str(outcome) for outcome in outcomes} == {"database or disk is full"}
    await store._open.writer.do(lambda batch: batch._db.execute(f"PRAGMA max_page_count = {limit[0]}").fetchone())
    assert (await store.settle(settlement("r1", ("usd", 1)))).standings == (Standing("usd", 1, 0),)


async def test_a_file_that_cannot_be_used_is_said_when_it_is_opened() -> None:
    path = Path("/proc/nowhere/gateway.db")
    store = SqliteStore(path, "process")
    with pytest.raises(StoreFileError, match=r"^/proc/nowhere/gateway\.db: [^\n]+$"):
        await store.open()
    await store.close()


async def test_before_it_is_open_and_after_it_is_closed_the_store_says_so(path: Path) -> None:
    store = SqliteStore(path, "process")
    with pytest.raises(StoreUnavailableError, match="not open"):
        await store.standings(TEAM, ["usd"])
    await store.open()
    await store.close()
    await store.close()
    for call in (store.reserve(reservation()), store.version(), store.expire(NOW)):
        with pytest.raises(StoreUnavailableError, match="closed"):
            await call


def _damage(path: Path) -> None:
    """Damage the pages of the counters and of the ledger; what tables there are can be read still."""
    with closing(connect(path)) as db:
        (size,) = db.execute("PRAGMA page_size").fetchone()
        pages = db.execute("SELECT rootpage FROM sqlite_master WHERE tbl_name IN ('counters', 'ledger')").fetchall()
    content = bytearray(path.read_bytes())
    for (page,) in pages:
        content[(page - 1) * size : page * size] = b"\xff" * size
    path.write_bytes(content)


async def test_a_file_that_was_damaged_is_said(store: Store, path: Path) -> None:
    await store.settle(settlement("r1", ("usd", 1)))
    await store.close()
    _damage(path)
    again = SqliteStore(path, "process")
    await again.open()
    with pytest.raises(StoreUnavailableError, match="malformed"):
        await again.settle(settlement("r2", ("usd", 1)))
    with pytest.raises(StoreUnavailableError, match="malformed"):
        await again.standings(TEAM, ["usd"])
    await again.close()
