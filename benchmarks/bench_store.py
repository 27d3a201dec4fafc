"""What the store costs a request: `python -m benchmarks.bench_store [--seconds 2] [--store sqlite]`.

A request is a reservation on two budgets and its settlement. Beside it, the same callers doing nothing but waiting for
the event loop twice. Microseconds of processor time are the whole process's, the store's threads too.
"""

import argparse
import asyncio
import contextlib
import itertools
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import uvloop
from rich.console import Console
from rich.table import Table

from benchmarks.report import console
from gateway.store.contract import Charge, Hold, Reservation, Settlement, Store
from gateway.store.entries import Entry
from gateway.store.sqlite import SqliteStore

CALLERS = (1, 16, 64)
TEAMS = 8
_LIMIT = 10**15
_NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Result:
    """What some callers did in one run."""

    store: str
    callers: int
    pairs: int
    seconds: float
    processor: float
    slowest_ms: float


@asynccontextmanager
async def sqlite(durability: str) -> AsyncIterator[Store]:
    """Open SQLite's store in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="context-gateway-") as folder:
        store = SqliteStore(Path(folder) / "gateway.db", "power" if durability == "power" else "process")
        await store.open()
        try:
            yield store
        finally:
            await store.close()


STORES: Mapping[str, Callable[[], AbstractAsyncContextManager[Store]]] = {
    "sqlite": lambda: sqlite("process"),
    "sqlite, power": lambda: sqlite("power"),
}


def reservation(team: str, now: float) -> Reservation:
    """Return one that takes two budgets, with an id as the gateway makes them."""
    identity = f"req-{uuid.uuid4().hex}"
    holds = (Hold("usd:month", 2000, _LIMIT, 2000, now + 1e6), Hold("tokens:day:key", 900, _LIMIT, 900, now + 1e5))
    entry = Entry(
        id=identity, time=now, team=team, key="default", model="gpt-4o-mini", upstream="main", route="chat", status=200
    )
    return Reservation(identity, team, holds, now + 60, entry)


def settlement(of: Reservation) -> Settlement:
    """Return the one that ends the reservation."""
    charges = tuple(Charge(hold.counter, hold.amount // 2, hold.until) for hold in of.holds)
    return Settlement(of.id, of.team, charges, of.entry)


async def pair(store: Store, team: str) -> None:
    """Do what one request does."""
    taken = reservation(team, time.time())
    await store.reserve(taken)
    await store.settle(settlement(taken))


async def nothing(team: str) -> None:
    """Do what one request does, without a store."""
    settlement(reservation(team, time.time()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)


async def run(name: str, callers: int, seconds: float, request: Callable[[str], object]) -> Result:
    """Return what that many callers got done in the time."""
    end = time.perf_counter() + seconds
    counts = [0] * callers
    slowest = [0.0] * callers

    async def caller(number: int) -> None:
        team = f"team{number % TEAMS}"
        while (start := time.perf_counter()) < end:
            await request(team)  # type: ignore[misc]
            counts[number] += 1
            slowest[number] = max(slowest[number], time.perf_counter() - start)

    start, used = time.perf_counter(), time.process_time()
    await asyncio.gather(*(caller(number) for number in range(callers)))
    used, taken = time.process_time() - used, time.perf_counter() - start
    return Result(name, callers, sum(counts), taken, used, max(slowest) * 1e3)


async def measure(names: list[str], seconds: float) -> list[Result]:
    """Return the results of all stores, and of none."""
    results = [await run(_NOTHING, callers, seconds, nothing) for callers in CALLERS]
    for name, callers in itertools.product(names, CALLERS):
        async with contextlib.AsyncExitStack() as stack:
            store = await stack.enter_async_context(STORES[name]())
            results.append(await run(name, callers, seconds, lambda team, store=store: pair(store, team)))  # type: ignore[misc]
    return results


def show(results: list[Result], out: Console) -> None:
    """Print the table."""
    table = Table(title="Reserving on two budgets and settling")
    for name in ("store", "callers", "pairs/s", "cpu us/pair", "less nothing", "slowest ms"):
        table.add_column(name, justify="left" if name == "store" else "right")
    idle = {r.callers: r.processor / r.pairs * 1e6 for r in results if r.store == _NOTHING}
    for result in results:
        used = result.processor / result.pairs * 1e6
        table.add_row(
            result.store,
            str(result.callers),
            f"{result.pairs / result.seconds:,.0f}",
            f"{used:.1f}",
            f"{used - idle[result.callers]:.1f}",
            f"{result.slowest_ms:.1f}",
        )
    out.print(table)


def main() -> None:
    """Parse the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each run")
    parser.add_argument("--store", action="append", choices=list(STORES), help="which (again for more); else all")
    options = parser.parse_args()
    show(uvloop.run(measure(options.store or list(STORES), options.seconds)), console())


if __name__ == "__main__":
    main()
