"""A worker's journal: what was written whole is read, whatever happened to the rest."""

import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from gateway.store.contract import Charge, Hold, Reservation, Settlement
from gateway.store.sqlite_journal import _ENOUGH, _HALF, _RESERVED, _SETTLED, _START, Journal, Reserved, forget, read
from tests.gateway.store.cases import NOW, TEAM, entry, hold, reservation, settlement

ROOT = Path(__file__).parents[3]
HOLDS = (hold("usd", 10, 100, lapsed=7), Hold("tokens", 3, 50, 2, NOW))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "workers" / "one"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    made = Journal(path)
    yield made
    made.close()


def ids(path: Path) -> list[str]:
    return [_name(record) for record in read(path)]


def _name(record: Reserved | Settlement | None) -> str:
    if record is None:
        return "unreadable"
    return record.key[1] if isinstance(record, Reserved) else f"end of {record.id}"


def test_what_is_added_is_read_by_anybody_at_once(journal: Journal, path: Path) -> None:
    asked = reservation("r1", *HOLDS, model="gpt-5", tokens_original=None)
    journal.add(asked)
    held = (("usd", 10, 7, None), ("tokens", 3, 2, NOW))
    assert list(read(path)) == [Reserved((TEAM, "r1"), held, asked.entry)]
    ended = Settlement("r1", TEAM, (Charge("usd", 4, None), Charge("tokens", 2, NOW)), entry("r1", status=200))
    journal.settle(ended)
    assert list(read(path))[1:] == [ended]


def test_it_outlives_its_process(path: Path) -> None:
    code = (
        "import os, signal; from pathlib import Path; from gateway.store.sqlite_journal import Journal; "
        "from tests.gateway.store.cases import reservation\n"
        f"journal = Journal(Path({str(path)!r}))\n"
        "for number in range(100): journal.add(reservation(f'r{number}'))\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False, timeout=60)
    assert ended.returncode == -signal.SIGKILL
    assert ids(path) == [f"r{number}" for number in range(100)]


def test_only_its_owner_may_read_it(journal: Journal, path: Path) -> None:
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_each_worker_has_its_own(journal: Journal, path: Path) -> None:
    with pytest.raises(FileExistsError):
        Journal(path)


@pytest.fixture
def written(journal: Journal, path: Path) -> tuple[bytes, list[int]]:
    """Return a file of three reservations and one end, and where in it each ends."""
    ends = []
    for number in range(3):
        journal.add(reservation(f"r{number}", *HOLDS, overhead_ms=0.1))  # whose last byte is not 0
        ends.append(_START + journal.size)
    journal.settle(settlement("r0", ("usd", 1), overhead_ms=0.1))
    ends.append(_START + journal.size)
    return path.read_bytes(), ends


def test_wherever_it_is_torn_the_whole_records_before_are_read(
    written: tuple[bytes, list[int]], tmp_path: Path
) -> None:
    content, ends = written
    torn, names = tmp_path / "torn", ["r0", "r1", "r2", "end of r0"]
    for length in (0, 5, *range(_START, ends[-1] + 1)):
        whole = names[: sum(end <= length for end in ends)]
        for tail in (b"", bytes(64)):  # cut off, or its pages not written
            torn.write_bytes(content[:length] + tail)
            assert ids(torn) == whole


def test_a_record_whose_checksum_is_wrong_is_the_end(written: tuple[bytes, list[int]], tmp_path: Path) -> None:
    content, ends = written
    damaged = tmp_path / "damaged"
    for place in range(ends[0] + 9, ends[1]):
        damaged.write_bytes(content[:place] + bytes([content[place] ^ 0x10]) + content[place + 1 : ends[-1]])
        assert ids(damaged) == ["r0"]


@pytest.mark.parametrize("record", [("acme", "x", [], ["no entry"]), ("acme", "x"), {"of": "another shape"}, None])
@pytest.mark.parametrize("kind", [_RESERVED, _SETTLED, 9])
def test_a_whole_record_that_another_release_wrote_is_no_end(
    journal: Journal, path: Path, record: object, kind: int
) -> None:
    journal.add(reservation("r1", *HOLDS))
    journal._append(kind, msgspec.msgpack.encode(record) if record else b"\x94\xa1\xff")  # no text
    journal.add(reservation("r2", *HOLDS))
    assert ids(path) == ["r1", "unreadable", "r2"]


@pytest.mark.parametrize("content", [b"", b"\0", bytes(4096), b"\xff" * 4096, b"no journal at all, but a text " * 9])
def test_what_is_no_journal_holds_nothing(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(content)
    assert list(read(tmp_path / "other")) == []


def test_where_there_is_no_file_there_is_nothing_to_read_or_remove(path: Path) -> None:
    assert list(read(path)) == []
    forget(path)
    assert list(read(path.parent.parent)) == []  # a folder


def test_a_turn_forgets_what_was_written_before_the_one_before(journal: Journal, path: Path) -> None:
    made = [reservation(f"r{number}", *HOLDS) for number in range(9)]
    for own in made[:5]:
        journal.add(own)
    journal.turn([], [])
    journal.add(made[5])
    assert ids(path) == ["r0", "r1", "r2", "r3", "r4", "r5"]
    journal.turn([made[1], made[2]], [settlement("r2", ("usd", 1))])
    journal.add(made[6])
    assert ids(path) == ["r5", "r1", "r2", "end of r2", "r6"]
    journal.turn([], [])
    assert (ids(path), journal.is_empty) == (["r6"], False)
    journal.turn([], [])
    assert (ids(path), journal.is_empty) == ([], True)
    assert [file.name for file in path.parent.iterdir()] == ["one"]


def test_what_is_written_over_is_not_read_again(journal: Journal, path: Path) -> None:
    same = [reservation(f"r{number}", *HOLDS) for number in range(10)]  # each in as many bytes as the others
    for turn in range(40):
        for own in same[turn % 7 :]:
            journal.add(own)
        journal.turn([], [])
        assert ids(path) == [own.id for own in same[turn % 7 :]]
        journal.add(same[turn % 5])
        assert ids(path)[-1] == f"r{turn % 5}"
        journal.turn([], [])


def _large(number: int) -> Reservation:
    return reservation(f"r{number}", error="x" * 100_000)


def test_a_full_one_says_so_and_has_changed_nothing(journal: Journal, path: Path) -> None:
    number = 0
    while journal.size + 100_200 < _HALF:
        journal.add(_large(number))
        number += 1
        assert journal.is_full == (journal.size > _ENOUGH)
    with pytest.raises(OSError, match="full"):
        journal.add(_large(number))
    size, whole = journal.size, [f"r{place}" for place in range(number)]
    assert number > 15
    assert ids(path) == whole
    with pytest.raises(OSError, match="full"):
        journal.settle(settlement("r0", error="x" * 200_000))
    with pytest.raises(OSError, match="full"):
        journal.turn([reservation("small"), _large(0)], [])
    assert (journal.size, ids(path)) == (size, whole)
    journal.turn([reservation("small")], [])
    journal.add(_large(2))
    assert (ids(path), journal.is_full) == ([*whole, "small", "r2"], False)


@pytest.fixture
def _no_room() -> Iterator[None]:
    """Let no file be larger than 1 MiB: what a full disk is like."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_where_the_disk_has_no_room_it_is_not_made(path: Path, _no_room: None) -> None:  # noqa: PT019 - for what it does
    with pytest.raises(OSError):
        Journal(path)
    assert list(path.parent.iterdir()) == []  # nor does what is left of it stand in the way of the next try


def test_a_disk_without_room_is_no_matter_once_it_is_made(
    journal: Journal, path: Path, request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue("_no_room")
    for number in range(20):
        journal.add(_large(number))
    journal.turn([], [])
    journal.add(reservation("r20"))
    assert ids(path) == [f"r{number}" for number in range(21)]


def test_what_is_removed_is_gone(path: Path) -> None:
    journal = Journal(path)
    journal.add(reservation("r1"))
    journal.remove()
    journal.remove()
    assert not path.exists()
