"""Lines that a thread writes: in order, soon, and without anybody waiting for who reads them."""

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway import lines
from gateway.lines import Lines
from tests.integration.client import eventually

ROOT = Path(__file__).parents[2]


def told(count: int) -> str:
    return f"lost {count}\n"


@contextmanager
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    try:
        yield ends
    finally:
        for end in ends:
            os.close(end)


def test_lines_are_written_in_their_order_and_all_of_them_before_the_end() -> None:
    with pipe() as (reader, writer):
        out = Lines(writer, told)
        for number in range(100):
            out.write(f"{number}\n")
        out.finish()
        assert os.read(reader, 65536).decode().split() == [str(number) for number in range(100)]


def test_nothing_is_started_before_the_first_line() -> None:
    with pipe() as (_, writer):
        before = threading.active_count()
        out = Lines(writer, told)
        out.finish()
        assert threading.active_count() == before


def test_who_does_not_read_stops_nobody_and_what_is_too_much_is_counted() -> None:
    line, lost = "x" * 999 + "\n", list[int]()
    with pipe() as (reader, writer):
        out = Lines(writer, told, most=500_000)
        out.count_lost(lost.append)
        for _ in range(1000):  # more than the pipe takes
            out.write(line)
        assert 400 < sum(lost) <= 500
        read = b""
        while read.count(b"x\n") + (said := sum(map(int, re.findall(rb"lost (\d+)\n", read)))) < 1000:
            read += os.read(reader, 65536)
        assert (said, read.count(line.encode())) == (sum(lost), 1000 - sum(lost))
        out.write("again\n")
        assert os.read(reader, 65536) == b"again\n"


def test_the_end_waits_for_a_reader_for_a_moment_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "_LAST_S", 0.05)
    with pipe() as (reader, writer):
        out = Lines(writer, told)
        out.write("x" * 1_000_000 + "\n")
        out.finish()
        left = 1_000_001
        while left:
            left -= len(os.read(reader, 65536))
        out.finish()


def test_a_full_disk_loses_lines_and_once_there_is_room_a_line_says_how_many(tmp_path: Path) -> None:
    lost = list[int]()
    with (tmp_path / "log").open("wb") as log, Path("/dev/full").open("wb") as full:
        out = Lines(file := os.dup(full.fileno()), told)
        out.count_lost(lost.append)
        out.write("a\nb\n")
        out.finish()
        out.write("c\n")
        out.finish()
        assert lost == [2, 1]
        os.dup2(log.fileno(), file)
        out.write("d\n")
        out.write("e\n")
        out.finish()
        os.close(file)
    assert sorted((tmp_path / "log").read_text().splitlines()) == ["d", "e", "lost 3"]


def test_a_line_that_was_cut_is_lost_and_spoils_no_other(tmp_path: Path) -> None:
    """A disk that is full in the middle of a line, as a limit on the size of files makes one."""
    limited = """
import os, resource, signal, sys
from gateway.lines import Lines
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
out = Lines(os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT), lambda count: f"lost {count}\\n")
resource.setrlimit(resource.RLIMIT_FSIZE, (10, resource.RLIM_INFINITY))
out.write("123456\\n123456\\n123456\\n")
out.finish()
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
out.write("again\\n")
"""
    subprocess.run([sys.executable, "-c", limited, str(tmp_path / "log")], cwd=ROOT, check=True, timeout=20)
    assert (tmp_path / "log").read_text().splitlines() == ["123456", "123", "again", "lost 2"]


def test_a_file_that_does_not_block_loses_nothing() -> None:
    with pipe() as (reader, writer):
        os.set_blocking(writer, False)
        out = Lines(writer, told)
        out.write("x" * 199_999 + "\n")
        read = b""
        while len(read) < 200_000:
            read += os.read(reader, 65536)
        out.finish()
        assert read == b"x" * 199_999 + b"\n"


def test_where_there_is_no_file_and_where_no_thread_can_be_all_is_lost_and_nothing_raised(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lost = list[int]()
    out = Lines(-1, told)
    out.count_lost(lost.append)
    out.write("a\n")
    out.finish()
    assert lost == [1]

    def fails(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    another = Lines(-1, told)
    another.count_lost(lost.append)
    monkeypatch.setattr(threading.Thread, "start", fails)
    another.write("a\nb\n")
    another.finish()
    assert lost == [1, 2]


def test_it_goes_on_whatever_goes_wrong() -> None:
    with pipe() as (reader, writer):
        out, fails = Lines(-1, told), [True]
        out._told = lambda count: told(count) if not fails else str(fails.pop() / 0)
        out.write("a\n")
        out.finish()
        out._file = writer
        out.write("b\n")
        out.finish()
        out.write("c\n")
        out.finish()
        assert os.read(reader, 65536).decode().splitlines()[:2] == ["b", "c"]


@pytest.mark.parametrize("ending", ["sys.exit(3)", "raise SystemExit(3)", "1 / 0"])
def test_lines_are_not_lost_when_the_process_ends(ending: str) -> None:
    script = f"""
import sys
from gateway import logs
logs.configure()
for number in range(2000):
    logs.event("first", number=number)
logs.logging.getLogger("a.library").warning("last")
{ending}
"""
    ended = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, timeout=20, check=False)
    found = [json.loads(line) for line in ended.stdout.splitlines()]
    assert [line.get("number") for line in found] == [*range(2000), None]
    assert found[-1]["event"] == "last"


def test_the_thread_leaves_no_traces_of_a_reader_that_has_gone() -> None:
    """Neither an exit status of its own nor a message: Python flushes its standard output at the end."""
    script = """
from gateway import logs
logs.configure()
logs.event("to nobody")
"""
    reader, writer = os.pipe()
    os.close(reader)
    ended = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, stdout=writer, stderr=subprocess.PIPE, timeout=20, check=False
    )
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (0, b"")


def test_several_threads_lose_nothing_between_them() -> None:
    with pipe() as (reader, writer):
        out, read = Lines(writer, told), list[str]()

        def reads() -> None:
            while len(read) < 4000:
                read.extend(os.read(reader, 1_000_000).decode().split())

        reading = threading.Thread(target=reads)

        def writes(one: int) -> None:
            for number in range(1000):
                out.write(f"{one}-{number:04}\n")

        writing = [threading.Thread(target=writes, args=(one,)) for one in range(4)]
        for thread in (reading, *writing):
            thread.start()
        assert eventually(lambda: not reading.is_alive(), 20)
        for one in range(4):
            assert [line for line in read if line.startswith(f"{one}-")] == [f"{one}-{n:04}" for n in range(1000)]
