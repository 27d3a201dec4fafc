from pathlib import Path

from gateway.store.contract import Change, Kind
from gateway.store.sqlite_documents import change, documents, touch, version
from gateway.store.sqlite_schema import connect, make


def test_the_version_counts_changes_and_guards_them(tmp_path: Path) -> None:
    make(tmp_path / "state.db")
    db = connect(tmp_path / "state.db")
    assert version(db) == 0
    assert change(db, [Change(Kind.TEAM, "a", b"1"), Change(Kind.KEY, "a", b"2")], 0)
    assert not change(db, [Change(Kind.TEAM, "a", None)], 0)
    assert (version(db), documents(db, Kind.TEAM), documents(db, Kind.KEY)) == (1, {"a": b"1"}, {"a": b"2"})
    assert change(db, [Change(Kind.TEAM, "a", None)], 1)
    assert (version(db), documents(db, Kind.TEAM)) == (2, {})
    log = tmp_path / "state.db-wal"
    before = log.stat().st_size
    db.execute("BEGIN")
    touch(db)
    db.execute("COMMIT")
    assert (version(db), documents(db, Kind.TEAM), documents(db, Kind.KEY)) == (2, {}, {"a": b"2"})
    assert log.stat().st_size > before, "something is written"
    db.close()
