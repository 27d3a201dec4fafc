"""A look into a gateway's store from outside: the ledger and the counter of the one budget in USD, total."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeVar

from gateway.store.contract import Standing, Store
from gateway.store.entries import Entry, Span, State
from gateway.store.redis import RedisStore
from gateway.store.sqlite import SqliteStore

COUNTER = "usd|total|UTC|team|||total"
TEAM, OTHERS = "means", "free"
T = TypeVar("T")


class Books:
    """Opens the store for each look, so that it outlives whatever is done to it."""

    def __init__(self, store: Callable[[], Store]) -> None:
        self._store = store

    @classmethod
    def of_file(cls, file: Path) -> "Books":
        """Return the books in SQLite's file."""
        return cls(lambda: SqliteStore(file, "process"))

    @classmethod
    def of_redis(cls, url: str) -> "Books":
        """Return the books in Redis."""
        return cls(lambda: RedisStore(url, 5_000))

    def entries(self, team: str = TEAM) -> list[Entry]:
        """Return all of the team's entries."""
        return self._looked(lambda store: _entries(store, team))

    def standing(self) -> Standing:
        """Return what the team with the budget has spent and reserved."""
        return self.standings([COUNTER])[0]

    def standings(self, counters: Sequence[str]) -> tuple[Standing, ...]:
        """Return the states of these counters of the team with the budget."""
        return self._looked(lambda store: store.standings(TEAM, counters))

    def _looked(self, look: Callable[[Store], Awaitable[T]]) -> T:
        return asyncio.run(self._opened(look))

    async def _opened(self, look: Callable[[Store], Awaitable[T]]) -> T:
        store = self._store()
        await store.open()
        try:
            return await look(store)
        finally:
            await store.close()


async def _entries(store: Store, team: str) -> list[Entry]:
    # Clocks may have jumped: what is dated in days to come counts too.
    return [entry async for entry in store.entries(Span(0, time.time() + 7 * 86_400), team)]


def disagreements(entries: list[Entry], standing: Standing) -> list[str]:
    """Return what does not add up within the books: entries written twice, the counter, what is still reserved."""
    twice = [name for name, count in Counter(entry.id for entry in entries).items() if count > 1]
    charged = sum(entry.cost_nano or 0 for entry in entries if entry.state is not State.FREE)
    found = [f"{len(twice)} requests twice in the ledger"] if twice else []
    if standing.reserved:
        found.append(f"{standing.reserved} nano-USD still reserved")
    if standing.spent != charged:
        found.append(f"counter {standing.spent} nano-USD, ledger {charged}")
    return found
