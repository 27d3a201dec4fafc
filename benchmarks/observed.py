"""What the kernel shows of a process: its children, resident memory, open files and sockets (Linux)."""

import os
from collections.abc import Iterator
from pathlib import Path

_PROC = Path("/proc")
_LISTENING = "0A"


def children(pid: int) -> list[int]:
    """Return the processes that the process has started and that live."""
    found = []
    for task in (_PROC / str(pid) / "task").iterdir():
        found += [int(child) for child in (task / "children").read_text().split()]
    return found


def named(pid: int, word: bytes) -> list[int]:
    """Return those children whose command line holds the word."""
    return [child for child in children(pid) if word in (_PROC / str(child) / "cmdline").read_bytes()]


def resident_kb(pid: int) -> int:
    """Return the resident memory of this one process."""
    lines = (_PROC / str(pid) / "status").read_text().splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith("VmRSS:")), 0)


def open_files(pid: int) -> int:
    """Return how many file descriptors the process has open."""
    return sum(1 for _ in (_PROC / str(pid) / "fd").iterdir())


def connections(pid: int) -> int:
    """Return how many TCP connections the process has, those it listens on left out."""
    own = set(_sockets(pid))
    return sum(inode in own and state != _LISTENING for inode, state in _tcp(pid))


def _sockets(pid: int) -> Iterator[str]:
    for entry in (_PROC / str(pid) / "fd").iterdir():
        try:
            link = os.readlink(entry)  # noqa: PTH115 - "socket:[123]" is no path
        except OSError:
            continue  # closed meanwhile
        if link.startswith("socket:["):
            yield link[8:-1]


def _tcp(pid: int) -> Iterator[tuple[str, str]]:
    for name in ("tcp", "tcp6"):
        table = _PROC / str(pid) / "net" / name
        for line in table.read_text().splitlines()[1:] if table.exists() else ():
            fields = line.split()
            yield fields[9], fields[3]
