"""The threads beside the loop: what waits is committed together, what cannot be done harms no other."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.store import sqlite_schema, sqlite_threads
from gateway.store.contract import Change, Kind, StoreUnavailableError
from gateway.store.sqlite_batch import Batch
from gateway.store.sqlite_schema import begin, connect, make, roll_back
from gateway.store.sqlite_threads import Reader, Tidier, Writer
from tests.gateway.store.cases import full_disk, hold, reservation, settlement


@pytest.fixture
def path(tmp_path: Path) -> Path:
    make(tmp_path / "gateway.db")
    return tmp_path / "gateway.db"


@pytest.fixture
async def writer(path: Path) -> AsyncIterator[Writer]:
    opened = Writer(path, "process")
    yield opened
    await opened.close()


def _spent(path: Path) -> int:
    db = connect(path)
    found = db.execute("SELECT coalesce(sum(spent), 0) FROM counters").fetchone()[0]
    db.close()
    return int(found)


async def test_what_is_asked_for_in_one_turn_of_the_loop_is_one_transaction(writer: Writer) -> None:
    batches = await asyncio.gather(*(writer.do(lambda batch: batch) for _ in range(64)))
    assert len(set(map(id, batches))) == 1


async def test_whoever_is_patient_goes_with_the_next_that_is_not_in_the_order_in_which_they_came(
    writer: Writer,
) -> None:
    order = list[str]()
    patient = [writer.submit(lambda _, name=name: order.append(name), patient=True) for name in "ab"]  # type: ignore[misc]
    for _ in range(3):
        await asyncio.sleep(0)
    assert not any(future.done() for future in patient)
    await writer.do(lambda _: order.append("c"))
    assert order == ["a", "b", "c"]
    assert all(future.done() for future in patient)


async def test_whoever_is_patient_is_done_in_the_end_also_where_nobody_else_comes(writer: Writer) -> None:
    first = writer.submit(lambda batch: batch, patient=True)
    second = writer.submit(lambda batch: batch, patient=True)
    assert await first is await second
    last = writer.submit(lambda batch: batch, patient=True)
    await writer.close()
    assert await last is not await first


async def test_no_transaction_is_longer_than_a_lock_may_last(writer: Writer) -> None:
    batches = await asyncio.gather(*(writer.do(lambda batch: batch) for _ in range(1200)))
    assert [len([b for b in batches if b is batch]) for batch in dict.fromkeys(batches)] == [512, 512, 176]


async def test_an_operation_that_cannot_be_done_harms_no_other(writer: Writer, path: Path) -> None:
    bad = [settlement("bad", ("usd", 2**70)), settlement("\ud800", ("usd", 1))]
    works = [settlement(f"r{number}", ("usd", 1)) for number in range(6)]
    works[2:2] = bad
    outcomes = await asyncio.gather(
        *(writer.do(lambda b, s=s: b.settle(s)) for s in works),  # type: ignore[misc]
        return_exceptions=True,
    )
    failed = [isinstance(outcome, Exception) for outcome in outcomes]
    assert failed == [False, False, True, True, False, False, False, False]
    assert not any(isinstance(outcome, StoreUnavailableError) for outcome in outcomes)  # to try again is no use
    assert _spent(path) == 6


async def test_a_batch_behind_a_lock_that_stays_fails_as_a_whole_and_the_next_is_done(
    writer: Writer, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_schema, "PATIENCE_S", 0.05)
    other = connect(path)
    begin(other)
    works = [settlement(f"r{number}", ("usd", 1)) for number in range(3)]
    outcomes = await asyncio.gather(
        *(writer.do(lambda b, s=s: b.settle(s)) for s in works),  # type: ignore[misc]
        return_exceptions=True,
    )
    assert [type(outcome) for outcome in outcomes] == [StoreUnavailableError] * 3
    roll_back(other)
    other.close()
    assert (await writer.do(lambda b: b.settle(works[0]))).applied
    assert _spent(path) == 1


async def test_a_transaction_that_fails_midway_leaves_nothing(writer: Writer, path: Path) -> None:
    def half(batch: Batch) -> None:
        batch.settle(settlement("r1", ("usd", 1)))
        batch.write()
        raise sqlite3.OperationalError("disk I/O error")

    with pytest.raises(StoreUnavailableError, match=r"^disk I/O error$"):
        await writer.do(half)
    assert _spent(path) == 0


@pytest.mark.parametrize(("durability", "level"), [("process", 1), ("power", 2)])
async def test_documents_wait_for_the_disk_and_the_rest_where_it_is_asked_for(
    path: Path, durability: sqlite_threads.Durability, level: int
) -> None:
    levels: list[int] = []

    def look(batch: Batch) -> None:
        levels.append(batch._db.execute("PRAGMA synchronous").fetchone()[0])

    opened = Writer(path, durability)
    await opened.do(look)
    await opened.do(look, lasting=True)
    await opened.do(look)
    await opened.close()
    assert levels == [level, 2, level]


async def test_closing_commits_what_was_handed_in_and_may_be_repeated(path: Path) -> None:
    opened = Writer(path, "process")
    works = [settlement(f"r{number}", ("usd", 1)) for number in range(50)]
    asked = [asyncio.ensure_future(opened.do(lambda b, s=s: b.settle(s))) for s in works]  # type: ignore[misc]
    await asyncio.sleep(0)
    await opened.close()
    await opened.close()
    assert all(settled.applied for settled in await asyncio.gather(*asked))
    with pytest.raises(StoreUnavailableError, match="closed"):
        await opened.do(lambda b: b.change([Change(Kind.KEY, "k", None)], 0))


async def test_a_file_that_can_not_be_written_is_said_and_so_is_its_return(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_threads, "_TRY_S", 0.05)
    told: asyncio.Queue[tuple[bool, str]] = asyncio.Queue()
    opened = Writer(path, "process", lambda *said: told.put_nowait(said))
    await opened.do(lambda b: b.touch())
    with full_disk(path):
        for number in range(3):
            with pytest.raises(StoreUnavailableError):
                await opened.do(lambda b, n=number: b.settle(settlement(f"r{n}", ("usd", 1))))  # type: ignore[misc]
        await opened.do(lambda b: b.renew({}, 1.0))  # what writes nothing proves nothing
        await asyncio.sleep(0.2)  # in which it is tried again
        assert (await asyncio.wait_for(told.get(), 10))[0] is False
        assert told.empty()
    assert await asyncio.wait_for(told.get(), 10) == (True, "")  # by itself, with nobody asking for anything
    assert told.empty()
    await opened.do(lambda b: b.settle(settlement("r4", ("usd", 1))))
    await opened.close()
    assert _spent(path) == 1


async def test_a_writer_whose_file_is_away_can_be_closed(path: Path) -> None:
    opened = Writer(path, "process")
    with full_disk(path):
        with pytest.raises(StoreUnavailableError):
            await opened.do(lambda b: b.settle(settlement("r1", ("usd", 1))))
        await asyncio.wait_for(opened.close(), 10)


async def test_a_reader_does_not_wait_for_a_writer(path: Path) -> None:
    other, reader = connect(path), Reader(path)
    begin(other)
    rows = await reader.get(lambda db: db.execute("SELECT number FROM version").fetchall())
    assert rows == [(0,)]
    await reader.close()
    other.close()


async def test_what_a_reader_cannot_do_is_said_and_a_closed_one_says_so(path: Path) -> None:
    reader = Reader(path)
    with pytest.raises(StoreUnavailableError, match="no such table"):
        await reader.get(lambda db: db.execute("SELECT * FROM void").fetchall())
    await reader.close()
    await reader.close()
    with pytest.raises(StoreUnavailableError, match="closed"):
        await reader.get(_one)


async def test_under_load_the_log_is_written_back_and_begins_anew(
    writer: Writer, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_threads, "_TIDY_S", 0.01)
    monkeypatch.setattr(sqlite_threads, "_WORTH_PAGES", 100)
    log = path.with_name("gateway.db-wal")

    async def write(name: str) -> None:
        taken = [reservation(f"{name}.{place}", hold(limit=10**9)) for place in range(8)]
        await asyncio.gather(*(writer.do(lambda b, r=r: b.reserve(r)) for r in taken))  # type: ignore[misc]

    for number in range(100):
        await write(f"before{number}")
    before = log.stat().st_size
    tidier = Tidier(path)
    for number in range(1000):
        await write(str(number))
    await tidier.close()
    assert log.stat().st_size < before * 9  # of 11 times as much without; on a busy machine it begins anew seldom


async def test_no_thread_stays(path: Path) -> None:
    writer, reader, tidier = Writer(path, "process"), Reader(path), Tidier(path)
    await reader.get(_one)
    assert len(_threads()) == 3
    for each in (writer, reader, tidier):
        await each.close()
    assert _threads() == []


def _one(db: sqlite3.Connection) -> object:
    return db.execute("SELECT 1").fetchone()


def _threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("store-")]
