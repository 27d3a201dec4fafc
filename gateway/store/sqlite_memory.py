"""What the writing process remembers of SQLite's tables from its last transaction, so that it need not read it again.

Nothing rests on it: counters and leases count only as long as nobody else has written, and a reservation only where it
is still in its table.
"""

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

Key = tuple[str, str]  # team and id, or team and counter
Held = tuple[tuple[str, int, int, float | None], ...]  # counter, amount, lapsed, until
Values = tuple[int, int, float | None]  # a counter's spent, reserved, until

_MOST = 50_000


@dataclass(frozen=True, slots=True)
class Leased:
    """What a worker has leased, by team and counter; what others want of it; when all of it expires."""

    worker: str
    expires: float
    amounts: Mapping[Key, int]
    wanted: tuple[Key, ...]


class Memory:
    """Counters as they are in the file, what this process' open reservations hold, and what it has leased."""

    def __init__(self, journals: Path | None = None) -> None:
        self._journals = journals or Path()
        self.counters: dict[Key, Values] = {}
        self.held: dict[Key, Held] = {}
        self.leased: Leased | None = None
        self._version: int | None = None

    def check(self, db: sqlite3.Connection) -> None:
        """Forget the counters where another connection has written since; to be called within a transaction."""
        version = db.execute("PRAGMA data_version").fetchone()[0]
        if version != self._version:
            self._version = version
            self.counters.clear()
            self.leased = None

    def doubt(self) -> None:
        """Rest on nothing any more: a transaction failed, which does not always say what came of it."""
        self._version = None
        self.held.clear()

    def journal(self, worker: str) -> Path:
        """Return where a worker's journal is."""
        return self._journals / worker

    def bound(self) -> None:
        """Forget all of it where it has grown too large."""
        for kept in (self.counters, self.held):
            if len(kept) > _MOST:
                kept.clear()
