"""The file: made for its owner alone, refused in one line where it cannot be the store's."""

import asyncio
import sqlite3
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from gateway.store import sqlite_schema
from gateway.store.sqlite import SqliteStore
from gateway.store.sqlite_ledger import FIELDS
from gateway.store.sqlite_schema import StoreFileError, begin, connect, journals, make, patiently, roll_back
from tests.gateway.store.cases import ALWAYS, NOW, entry, ledger, settlement


def test_the_file_is_made_for_its_owner_alone_and_its_folder_too(tmp_path: Path) -> None:
    path = tmp_path / "some where" / "100% #1?" / "gateway.db"
    make(path)
    db = connect(path)
    db.execute("INSERT INTO documents VALUES ('key', 'k', x'00')")
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    db.close()
    assert modes == dict.fromkeys(["gateway.db", "gateway.db-wal", "gateway.db-shm"], 0o600)


def test_making_it_again_changes_nothing(tmp_path: Path) -> None:
    make(tmp_path / "gateway.db")
    db = connect(tmp_path / "gateway.db")
    db.execute("INSERT INTO documents VALUES ('key', 'k', x'00')")
    db.close()
    make(tmp_path / "gateway.db")
    db = connect(tmp_path / "gateway.db", read_only=True)
    assert db.execute("SELECT name FROM documents").fetchall() == [("k",)]
    db.close()


def test_several_make_it_at_once(tmp_path: Path) -> None:
    failed: list[BaseException] = []

    def worker() -> None:
        try:
            make(tmp_path / "gateway.db")
        except BaseException as error:  # noqa: BLE001
            failed.append(error)

    threads = [threading.Thread(target=worker) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []


def _earlier(path: Path) -> None:
    """Make the file as earlier builds did, with an entry of theirs."""
    with sqlite3.connect(path) as db:
        db.executescript(f"PRAGMA journal_mode = WAL; {sqlite_schema._TABLES} PRAGMA user_version = 1;")
        _write_as_earlier(db, "old")
    db.close()


def _write_as_earlier(db: sqlite3.Connection, id_: str) -> None:
    fields = FIELDS[: FIELDS.index("overhead_ms") + 1]
    values = structs.astuple(entry(id_, time=NOW, tokens_original=9))[: len(fields)]
    marks = ", ".join("?" * (len(fields) + 1))
    db.execute(f"INSERT INTO ledger ({', '.join(fields)}, lapsed) VALUES ({marks})", (*values, None))  # noqa: S608


async def test_a_file_of_an_earlier_build_goes_on_with_all_workers_at_once(tmp_path: Path) -> None:
    path = tmp_path / "gateway.db"
    _earlier(path)
    stores = [SqliteStore(path, "process") for _ in range(4)]
    await asyncio.gather(*(store.open() for store in stores))
    try:
        shadow: dict[str, Any] = {"tokens_original": 100, "tokens_window": 10, "would_save_nano": 3}
        await asyncio.gather(*(store.settle(settlement(f"r{n}", **shadow)) for n, store in enumerate(stores)))
        db = connect(path)
        _write_as_earlier(db, "of a worker of the earlier build")
        db.close()
        for store in stores:
            (sums,) = await store.usage(ALWAYS, ())
            assert (sums.requests, sums.shadowed, sums.tokens_shadowed, sums.would_save_nano) == (6, 4, 400, 12)
            found = {made.id: made for made in await ledger(store)}
            assert found["old"] == entry("old", tokens_original=9)
            assert found["r0"] == entry("r0", **shadow)
    finally:
        for store in stores:
            await store.close()


def _newer(path: Path) -> None:
    make(path)
    with sqlite3.connect(path) as db:
        db.execute(f"PRAGMA user_version = {sqlite_schema.VERSION + 1}")
    db.close()


def _other_program(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE bookmarks (url)")
    db.close()


def _text(path: Path) -> None:
    path.write_text("upstreams:\n  main: {}\n" * 100)


def _folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize(
    ("before", "reason"),
    [
        (_newer, "written by a newer release (its tables are version 2, not 1)"),
        (_other_program, "another program's database"),
        (_text, "file is not a database"),
        (_folder, "unable to open database file"),
    ],
)
def test_a_file_that_cannot_be_the_store_s_is_refused_and_left(
    tmp_path: Path, before: Callable[[Path], None], reason: str
) -> None:
    path = tmp_path / "gateway.db"
    before(path)
    content = path.read_bytes() if path.is_file() else None
    with pytest.raises(StoreFileError) as caught:
        make(path)
    assert str(caught.value) == f"{path}: {reason}"
    assert (path.read_bytes() if path.is_file() else None) == content


@pytest.mark.parametrize("path", ["/proc/nowhere/gateway.db", "/dev/null/gateway.db"])
def test_a_place_where_nothing_can_be_made_is_said_in_one_line(path: str) -> None:
    with pytest.raises(StoreFileError, match=f"^{path}: [^\n]+$"):
        make(Path(path))


def test_a_step_is_tried_again_while_another_holds_the_lock(tmp_path: Path) -> None:
    make(tmp_path / "gateway.db")
    holder, waiter = connect(tmp_path / "gateway.db"), connect(tmp_path / "gateway.db")
    begin(holder)
    timer = threading.Timer(0.1, roll_back, [holder])
    timer.start()
    start = time.monotonic()
    begin(waiter)
    assert 0.05 < time.monotonic() - start < 1
    timer.join()
    holder.close()
    waiter.close()


def test_a_lock_that_stays_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_schema, "PATIENCE_S", 0.05)
    make(tmp_path / "gateway.db")
    holder, waiter = connect(tmp_path / "gateway.db"), connect(tmp_path / "gateway.db")
    begin(holder)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        begin(waiter)
    holder.close()
    waiter.close()


def test_other_errors_are_not_tried_again() -> None:
    tried: list[int] = []

    def step() -> None:
        tried.append(1)
        sqlite3.connect(":memory:").execute("SELECT * FROM void")

    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        patiently(step)
    assert tried == [1]


def test_one_that_only_reads_cannot_write(tmp_path: Path) -> None:
    make(tmp_path / "gateway.db")
    db = connect(tmp_path / "gateway.db", read_only=True)
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        db.execute("DELETE FROM ledger")
    db.close()


def test_journals_of_workers_that_are_gone_are_removed(tmp_path: Path) -> None:
    path = tmp_path / "gateway.db"
    make(path)
    journals(path).mkdir()
    for name in ("here", "gone", "gone.new"):
        (journals(path) / name).write_bytes(b"")
    db = connect(path)
    db.execute("INSERT INTO holders VALUES ('here', 0)")
    db.close()
    make(path)
    assert [file.name for file in journals(path).iterdir()] == ["here"]
