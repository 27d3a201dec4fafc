"""Lines on their way out of the process, by a thread: who reads them slowly, or no more, stops no request."""

import atexit
import os
import select
import threading
import time
from collections.abc import Callable
from typing import Protocol

_MOST = 8_000_000  # characters that wait, some 10,000 requests' lines; of more nothing is written
_REST_S = 0.05  # after each writing: taking the interpreter from the requests under way costs more than it does
_LAST_S = 2.0  # at the end, for what still waits


class Out(Protocol):
    """Where lines go: a text file, or `Lines`."""

    def write(self, text: str, /) -> object:
        """Take over whole lines."""

    def flush(self) -> object:
        """Let nothing wait that a reader could have."""


class Lines:
    """Takes lines and writes them a moment later, in their order; counts those that cannot be written.

    `told` makes the line that says how many were lost, which is written as soon as one can be again.
    """

    def __init__(self, file: int, told: Callable[[int], str], most: int = _MOST) -> None:
        self._file = file
        self._told = told
        self._most = most
        self._changed = threading.Condition()
        self._waiting: list[str] = []
        self._size = 0  # of what waits and what is being written
        self._lost = 0  # that no line has told of
        self._cut = False  # the last line that was written
        self._count: Callable[[int], None] = lambda _: None
        self._thread: threading.Thread | None = None

    def count_lost(self, count: Callable[[int], None]) -> None:
        """Have what is lost from now on counted there too, by whichever thread."""
        self._count = count

    def write(self, text: str, /) -> None:
        """Take over whole lines; returns at once, whatever becomes of them."""
        with self._changed:
            room = self._size + len(text) <= self._most and self._started()
            if room:
                self._waiting.append(text)
                self._size += len(text)
                self._changed.notify_all()
        if not room:
            self._lose(text.count("\n"))

    def flush(self) -> None:
        """Do nothing: nobody waits for lines to be written."""

    def finish(self) -> None:
        """Wait until all is written, unless that takes too long."""
        with self._changed:
            self._changed.wait_for(lambda: not self._size, _LAST_S)

    def _started(self) -> bool:
        """Return whether there is a thread, from the first line on."""
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="lines", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # there are too many
                return False
            self._thread = thread
            atexit.register(self.finish)
        return True

    def _lose(self, lines: int) -> None:
        with self._changed:
            self._lost += lines
        self._count(lines)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
                texts, self._waiting = self._waiting, []
            text = "".join(texts)
            self._hand_on(text)
            with self._changed:
                self._size -= len(text)
                self._changed.notify_all()
            time.sleep(_REST_S)

    def _hand_on(self, text: str) -> None:
        try:
            if missing := self._missing(text):
                self._lose(missing)
            elif (lost := self._lost) and not self._missing(self._told(lost)):
                with self._changed:
                    self._lost -= lost
        except Exception:  # noqa: BLE001 - whatever it is, the next lines are to be tried
            self._lose(text.count("\n"))

    def _missing(self, text: str) -> int:
        """Write lines and return how many could not be, counting one that was cut."""
        start = b"\n" if self._cut else b""
        data, done = start + text.encode("utf-8", "backslashreplace"), 0
        try:
            while done < len(data):
                try:
                    done += os.write(self._file, memoryview(data)[done:])
                except BlockingIOError:  # somebody who has the same file wants it like this
                    select.select((), (self._file,), ())
        except OSError:  # nobody reads it any more, or the disk is full
            self._cut = data[done - 1 : done] != b"\n" if done else self._cut
            return data.count(b"\n", max(done, len(start)))
        self._cut = False
        return 0
