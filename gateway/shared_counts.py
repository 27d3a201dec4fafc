"""What one worker counts, in files from which whoever is asked reads all workers' counts; prometheus-client's format.

Its own files have holes, and a hole that finds no room on the disk when it is written to ends the process. Here a
file's room is written before anything is counted in it. Where there is none, or the folder was cleaned up, the worker
counts in memory, and puts all of it into a file when it can.
"""

import contextlib
import json
import mmap
import os
import struct
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock

_ROOM = 1 << 16  # bytes, at first
_MEND_S = 5.0
_USED = struct.Struct("i4x")
_LENGTH = struct.Struct("i")
_VALUE = struct.Struct("dd")  # and a time that only kinds of gauges need that we have none of


class SharedCounts:
    """The counts of one worker; made in place of prometheus-client's `ValueClass`, which it calls for each count."""

    def __init__(self, folder: Path, tell: Callable[[bool], None]) -> None:
        """`tell` is called when others can't read what is counted here, and when they can again."""
        self._folder = folder
        self._tell = tell
        self._files: dict[str, _File] = {}
        self._lock = Lock()
        self._kept = True
        self._mended = time.monotonic()

    def __call__(  # noqa: PLR0913, PLR0917 - called by the library
        self,
        kind: str,
        metric: str,
        name: str,
        label_names: Sequence[str],
        label_values: Sequence[str],
        text: str,
        multiprocess_mode: str = "",
        **_: object,
    ) -> "SharedCount":
        """Return a count that is 0."""
        group = f"{kind}_{multiprocess_mode}" if kind == "gauge" else kind
        labels = dict(zip(label_names, label_values, strict=True))
        with self._lock:
            if group not in self._files:
                self._files[group] = _File(self._folder, group)
            made = SharedCount(self._files[group], self._lock, json.dumps([metric, name, labels, text], sort_keys=True))
        self._see()
        return made

    def mend(self, at_once: bool = False) -> None:
        """Put into files what is only in memory, where it is time to try again."""
        now = time.monotonic()
        if at_once or now - self._mended > _MEND_S:
            self._mended = now
            with self._lock:
                for file in self._files.values():
                    file.mend()
            self._see()

    def _see(self) -> None:
        kept = all(file.kept for file in self._files.values())
        if kept is not self._kept:
            self._kept = kept
            self._tell(kept)


class SharedCount:
    """One count, with the methods that prometheus-client calls."""

    def __init__(self, file: "_File", lock: Lock, key: str) -> None:
        self._file = file
        self._lock = lock
        self._key = key
        self._value = 0.0
        file.write(key, 0.0)

    def inc(self, amount: float) -> None:
        """Add to it."""
        with self._lock:
            self._value += amount
            self._file.write(self._key, self._value)

    def set(self, value: float, timestamp: float | None = None) -> None:  # noqa: ARG002 - the library's signature
        """Let it be this."""
        with self._lock:
            self._value = value
            self._file.write(self._key, value)

    def get(self) -> float:
        """Return it."""
        return self._value

    def get_exemplar(self) -> None:
        """Return none: there are none."""


class _File:
    """The counts of one kind."""

    def __init__(self, folder: Path, group: str) -> None:
        # The process' number is how those that have ended are told apart.
        self._path = folder / f"{group}_{os.getpid()}.db"
        self._pages = mmap.mmap(-1, _ROOM)
        self._used = _USED.size
        self._places: dict[str, int] = {}
        self._pages[: _USED.size] = _USED.pack(self._used)
        self._move(_ROOM)

    def write(self, key: str, value: float) -> None:
        place = self._places.get(key) or self._added(key)
        self._pages[place : place + _VALUE.size] = _VALUE.pack(value, 0.0)  # at once: others may be reading

    def _added(self, key: str) -> int:
        encoded = key.encode()
        blank = b" " * (8 - (len(encoded) + _LENGTH.size) % 8)  # so that values lie at multiples of 8
        record = _LENGTH.pack(len(encoded)) + encoded + blank + bytes(_VALUE.size)
        end = self._used + len(record)
        if end > len(self._pages):
            self._move(max(2 * len(self._pages), end))
        self._pages[self._used : end] = record
        self._pages[: _USED.size] = _USED.pack(end)
        self._used = end
        self._places[key] = place = end - _VALUE.size
        return place

    def mend(self) -> None:
        """See that there is a file with all that is counted."""
        if not self.kept or not self._path.exists():
            self._move(len(self._pages))

    def _move(self, room: int) -> None:
        """Go on in a new file with that much room; in memory where there can be none."""
        held = self._pages[: self._used].ljust(room, b"\0")
        made = self._path.with_suffix(".new")
        try:
            made.write_bytes(held)
            with made.open("r+b") as file:
                pages = mmap.mmap(file.fileno(), room)
            made.replace(self._path)
        except OSError:
            with contextlib.suppress(OSError):
                made.unlink(missing_ok=True)
            self.kept, pages = False, mmap.mmap(-1, room)
            pages[:] = held
        else:
            self.kept = True
        self._pages.close()
        self._pages = pages
