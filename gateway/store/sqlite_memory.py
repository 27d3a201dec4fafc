"""What the writing process remembers of SQLite's tables from its last transaction, so that it need not read it again.

Nothing rests on it: counters count only as long as nobody else has written, and a reservation only where it is still
in its table.
"""

import sqlite3

Key = tuple[str, str]  # team and id, or team and counter
Held = tuple[tuple[str, int, int, float | None], ...]  # counter, amount, lapsed, until
Values = tuple[int, int, float | None]  # a counter's spent, reserved, until

_MOST = 50_000


class Memory:
    """Counters as they are in the file, and what this process' open reservations hold."""

    def __init__(self) -> None:
        self.counters: dict[Key, Values] = {}
        self.held: dict[Key, Held] = {}
        self._version: int | None = None

    def check(self, db: sqlite3.Connection) -> None:
        """Forget the counters where another connection has written since; to be called within a transaction."""
        version = db.execute("PRAGMA data_version").fetchone()[0]
        if version != self._version:
            self._version = version
            self.counters.clear()

    def bound(self) -> None:
        """Forget all of it where it has grown too large."""
        for kept in (self.counters, self.held):
            if len(kept) > _MOST:
                kept.clear()
