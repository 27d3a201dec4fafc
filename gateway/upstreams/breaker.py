"""A circuit breaker: an upstream that fails again and again is left alone for a while, then probed.

After M. Nygard, "Release It!" (2007): closed, open, half-open.
"""

import time
from collections.abc import Callable
from enum import Enum


class Health(Enum):
    """What is known of an upstream."""

    CLOSED = "closed"  # it serves
    OPEN = "open"  # it is left alone
    HALF_OPEN = "half_open"  # one request may try


class Breaker:
    """Counts failures in a row; `most` of them open it for `open_s` seconds, and twice as long each time again."""

    _LONGEST = 8  # times open_s

    def __init__(self, most: int, open_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._open_s = open_s
        self._clock = clock
        self._failures = 0
        self._times = 0
        self._until = 0.0
        self._probing = False
        self.reached = True  # whether anything answered there, when it last failed

    @property
    def health(self) -> Health:
        """What is known of the upstream now."""
        if self._failures < self._most:
            return Health.CLOSED
        if self._probing or self._clock() < self._until:
            return Health.OPEN
        return Health.HALF_OPEN

    @property
    def wait_s(self) -> float:
        """Seconds until somebody may try; 0 if now."""
        return max(0.0, self._until - self._clock()) if self._failures >= self._most else 0.0

    def enter(self) -> bool:
        """Note that a request is sent; return whether it is a half-open one's probe, which no other follows."""
        probe = self.health is Health.HALF_OPEN
        if probe:
            self._probing = True
        return probe

    def leave(self, probe: bool) -> None:
        """Note that a request ended without saying anything of the upstream: its client left."""
        if probe:  # others, sent before it, say nothing of how it will end
            self._probing = False

    def succeeded(self, probe: bool) -> None:
        """Note an answer."""
        self._failures = self._times = 0
        self.leave(probe)

    def failed(self, probe: bool, reached: bool) -> None:
        """Note a failure; `reached` tells whether anything answered."""
        self._failures += 1
        self.leave(probe)
        self.reached = reached
        # Those that were under way when it opened, and fail too, say nothing new.
        if self._failures == self._most or (probe and self._failures > self._most):
            self._until = self._clock() + self._open_s * min(2**self._times, self._LONGEST)
            self._times += 1
