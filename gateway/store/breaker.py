"""A breaker: who does not answer is not asked for a while."""

import time
from collections.abc import Callable

from gateway.store.contract import OnChange

THRESHOLD = 3  # failures in a row
WINDOW_S = 10.0  # failures further apart are not in a row
PAUSE_S = 1.0


class Breaker:
    """Closed: all may ask. Open: nobody, but one caller after every pause, whose success closes it.

    `on_change` is told when it opens, and why, and when it is closed again.
    """

    def __init__(self, on_change: OnChange | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._on_change = on_change or (lambda _there, _why: None)
        self._clock = clock
        self._failures = 0
        self._failed = -WINDOW_S  # when it last did
        self._next = 0.0  # when the next caller may try
        self._trying = False
        self._closed = True
        self.why = ""  # the latest failure

    @property
    def closed(self) -> bool:
        """Whether all may ask."""
        return self._closed

    @property
    def trying(self) -> bool:
        """Whether somebody is trying at this moment if there is an answer again."""
        return self._trying

    def admits(self) -> bool:
        """Return whether the caller may ask now; where it is open, that makes him the one who tries."""
        if self._closed:
            return True
        now = self._clock()
        if now < self._next:
            return False
        # Should nothing be heard of his try, another one may after the same pause.
        self._trying, self._next = True, now + PAUSE_S
        return True

    def succeeded(self) -> None:
        """Note an answer."""
        self._failures = 0
        self._trying = False
        if not self._closed:
            self._closed = True
            self._on_change(True, "")

    def failed(self, why: str, *, certainly: bool = False) -> None:
        """Note that there was no answer, or none of use; `certainly`: once is enough to know."""
        now = self._clock()
        self.why = why
        self._failures = self._failures + 1 if now - self._failed < WINDOW_S else 1
        self._failed, self._trying = now, False
        self._next = now + PAUSE_S
        if self._closed and (certainly or self._failures >= THRESHOLD):
            self._closed = False
            self._on_change(False, why)
