"""How long a page of the latest requests takes: `python -m benchmarks.bench_pages [--entries 100000] [--rounds 5]`.

The ledger of an hour with that many requests, on SQLite and on Redis or Valkey. Beside the page that is found at once,
those that the store walks for: one of a text that no entry has, and one of the same for a team with a tenth of them.
"""

import argparse
import contextlib
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import uvloop
from rich.console import Console
from rich.table import Table

from benchmarks.report import console, machine
from gateway.store.contract import Settlement, Store
from gateway.store.entries import Entry
from gateway.store.queries import Query
from gateway.store.redis import RedisStore
from gateway.store.sqlite import SqliteStore
from tests.gateway.store import servers

HOUR = 1_764_000_000.0 // 3600 * 3600  # when it begins
TEAMS = 10
_PAGE = 50
_AT_ONCE = 1000
QUERIES: Mapping[str, Query] = {
    "the latest": Query(HOUR, HOUR + 3600),
    "of a text that none has": Query(HOUR, HOUR + 3600, text="nobody"),
    "the same, of one team": Query(HOUR, HOUR + 3600, team="team0", text="nobody"),
}


@asynccontextmanager
async def stores() -> AsyncIterator[dict[str, Store]]:
    """Open a store of each kind, empty."""
    with tempfile.TemporaryDirectory(prefix="context-gateway-pages-") as folder, servers.running() as redis:
        made: dict[str, Store] = {
            "SQLite": SqliteStore(Path(folder) / "gateway.db", "process"),
            "Redis or Valkey": RedisStore(redis.url, timeout_ms=60_000),
        }
        async with contextlib.AsyncExitStack() as stack:
            for store in made.values():
                await store.open()
                stack.push_async_callback(store.close)
            yield made


def settlements(entries: int) -> Iterator[list[Settlement]]:
    """Yield the requests of the hour, some at a time."""
    for start in range(0, entries, _AT_ONCE):
        yield [_settlement(number, entries) for number in range(start, min(entries, start + _AT_ONCE))]


def _settlement(number: int, entries: int) -> Settlement:
    id_, team = f"req-{number:032x}", f"team{number % TEAMS}"
    entry = Entry(
        id=id_, time=HOUR + number * 3600 / entries, team=team, key="key_0123456789ab", user=f"user{number % 97}",
        model="gpt-4o-mini", upstream="main", route="chat.completions", status=200, input=900, output=120,
        cost_nano=207_000, total_ms=812.5, first_byte_ms=390.25, overhead_ms=0.25,
    )  # fmt: skip
    return Settlement(id_, team, (), entry)


async def measure(entries: int, rounds: int) -> dict[tuple[str, str], list[float]]:
    """Return the milliseconds of each page by store and query."""
    found: dict[tuple[str, str], list[float]] = {}
    async with stores() as made:
        for store in made.values():
            for some in settlements(entries):
                await store.settle_all(some)
        for _ in range(rounds):
            for name, store in made.items():
                for what, query in QUERIES.items():
                    start = time.perf_counter()
                    await store.latest(query, None, _PAGE)
                    found.setdefault((name, what), []).append((time.perf_counter() - start) * 1e3)
    return found


def show(found: Mapping[tuple[str, str], list[float]], entries: int, out: Console) -> None:
    """Print the table."""
    table = Table(title=f"A page of {_PAGE} of {entries:,} requests of one hour ({machine()})")
    for name in ("store", "page", "median ms", "slowest ms"):
        table.add_column(name, justify="right" if name.endswith("ms") else "left")
    for (store, what), times in sorted(found.items(), key=lambda item: item[0][0], reverse=True):
        table.add_row(store, what, f"{statistics.median(times):.1f}", f"{max(times):.1f}")
    out.print(table)


def main() -> None:
    """Parse the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    show(uvloop.run(measure(options.entries, options.rounds)), options.entries, console())


if __name__ == "__main__":
    main()
