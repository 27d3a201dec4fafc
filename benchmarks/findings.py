"""What is found of a fault: what was seen, what of it is wrong, how long it took until all was well again."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field


class NotHereError(Exception):
    """The fault can't be made on this machine; the message says what is missing."""


@dataclass(slots=True)
class Findings:
    """Collects what was seen, what of it is not as it must be, and how long it took until all was well again."""

    seen: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    recovery_s: float | None = None

    def need(self, good: bool, what: str) -> None:
        """Note what is wrong unless it is good."""
        if not good:
            self.wrong.append(what)

    def note(self, what: str) -> None:
        """Note what is worth printing."""
        self.seen.append(what)


def until(condition: Callable[[], bool], most_s: float, step_s: float = 0.01) -> float | None:
    """Return the seconds until the condition was true; None where it was not in time."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > most_s:
            return None
        time.sleep(step_s)
    return time.monotonic() - began
