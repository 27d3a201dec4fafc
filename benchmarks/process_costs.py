"""What a process costs, with all processes below it: CPU seconds and resident memory, from /proc (Linux)."""

import os
from collections.abc import Iterator
from pathlib import Path

_PROC = Path("/proc")
_TICKS = os.sysconf("SC_CLK_TCK")


def family(pid: int) -> list[int]:
    """Return the process and all below it that live."""
    below: dict[int, list[int]] = {}
    for one, fields in _all():
        below.setdefault(int(fields[1]), []).append(one)
    found = [pid]
    for one in found:
        found += below.get(one, [])
    return found


def cpu_seconds(pid: int) -> float:
    """Return the CPU seconds that the process and all below it have taken, in user and system mode."""
    members = set(family(pid))
    return sum(int(fields[11]) + int(fields[12]) for one, fields in _all() if one in members) / _TICKS


def resident_mb(pid: int, *, alone: bool = False) -> float:
    """Return the resident memory of the process, and of all below it; what they share counts for each."""
    return sum(map(_resident_kb, [pid] if alone else family(pid))) / 1024


def _all() -> Iterator[tuple[int, list[str]]]:
    """Yield each process with the fields of its `stat` behind its name, which may hold blanks."""
    for entry in _PROC.iterdir():
        if entry.name.isdecimal():
            try:
                yield int(entry.name), (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue  # it has ended


def _resident_kb(pid: int) -> int:
    try:
        lines = (_PROC / str(pid) / "status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmRSS:")), 0)
