"""Are budgets exact: `python -m benchmarks.bench_budgets [--requests 20000] [--stores redis,sqlite]`.

Random requests (costs, streams, clients that leave, upstreams that fail) of 64 clients through four gateways behind
nginx on one Redis or Valkey, of which one gateway is killed with -9 and started again, and the store is stopped twice
for two seconds; and the same through two workers on SQLite, of which one is killed. The upstream keeps its own bills.
"""

import argparse
import asyncio
import contextlib
import os
import random
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import orjson
from rich.table import Table

from benchmarks.budget_fleet import Fleet, Wanted, redis_fleet, sqlite_fleet
from benchmarks.processes import free_port, running
from benchmarks.report import console
from gateway.pricing import NANO
from gateway.store.contract import Standing, Store
from gateway.store.entries import Entry, Span, State

CLIENTS = 64
LIMIT_USD = 0.9  # of 20,000 requests: a little less than they cost, so that it is run into
EXPIRY_S = 5.0
TEAM, KEY = "bench", "sk-benchmark-budgets"
_PAUSE_S = 2.0
_HEEDED_S = 0.25  # shorter, so that the outage is really run against


@dataclass(slots=True)
class Tally:
    """What the clients saw; the watch's readings of the counter."""

    statuses: dict[str, int] = field(default_factory=dict)
    in_flight: int = 0
    at_kill: int = 0
    readings: int = 0
    over: int = 0

    def count(self, what: str) -> None:
        """Count one more of the kind."""
        self.statuses[what] = self.statuses.get(what, 0) + 1


def plan_of(dice: random.Random, number: int) -> tuple[dict[str, object], float | None]:
    """Return a request's body, and after how many seconds its client leaves, if it does."""
    stream = dice.random() < 0.4
    tokens = dice.randint(1, 40)
    plan = {"tokens": tokens, "ms": dice.choice((0, 0, 0, 1, 3)), "status": 200 if dice.random() > 0.05 else 500}
    leaves = dice.uniform(0.002, 0.1) if dice.random() < 0.08 else None
    body: dict[str, object] = {
        "model": "gpt-4o-mini",
        "user": f"u{number}",
        "stream": stream,
        "max_tokens": tokens if dice.random() < 0.5 else 64,
        "metadata": plan,
        "messages": [{"role": "user", "content": "x" * dice.randint(10, 2000)}],
    }
    return body, leaves


async def client(url: str, numbers: Iterator[int], tally: Tally, seed: int) -> None:
    """Send requests one after the other until the numbers are used up."""
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    async with aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(total=60)) as session:
        for number in numbers:
            body, leaves = plan_of(random.Random(seed * 1_000_003 + number), number)  # noqa: S311 - no secret
            tally.in_flight += 1
            try:
                async with asyncio.timeout(leaves), session.post(url, data=orjson.dumps(body)) as reply:
                    await reply.read()
                    tally.count(str(reply.status))
                if reply.status == 503:  # a real client would heed Retry-After, one second
                    await asyncio.sleep(_HEEDED_S)
            except TimeoutError:
                tally.count("left")
            except aiohttp.ClientError:
                tally.count("broken")
            finally:
                tally.in_flight -= 1


async def watch(store: Store, counter: str, limit: int, tally: Tally) -> None:
    """Look at the counters all the time: spent and reserved must never be over the limit."""
    while True:
        with contextlib.suppress(Exception):
            for standing in await store.standings(TEAM, [counter]):
                tally.readings += 1
                tally.over += standing.spent + standing.reserved > limit
        await asyncio.sleep(0.01)


async def trouble(fleet: Fleet, done: Callable[[], float], tally: Tally) -> None:
    """Stop the store twice, and kill a gateway once, at fixed shares of the work."""
    for share, what in ((0.2, "pause"), (0.45, "kill"), (0.7, "pause")):
        while done() < share:  # noqa: ASYNC110 - it is a share of work done, which nobody announces
            await asyncio.sleep(0.02)
        if what == "pause" and fleet.pause_store and fleet.resume_store:
            fleet.pause_store()
            await asyncio.sleep(_PAUSE_S)
            fleet.resume_store()
        elif what == "kill":
            tally.at_kill = tally.in_flight
            fleet.kill_one()
            await asyncio.sleep(1.0)
            fleet.restart_one()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found after all reservations had their time to expire."""

    standing: Standing
    entries: tuple[Entry, ...]
    bills: dict[str, tuple[int, int]]

    def of(self, *states: State) -> list[Entry]:
        """Return the entries of these states."""
        return [entry for entry in self.entries if entry.state in states]

    def difference(self, entries: list[Entry]) -> int:
        """Return by how many tokens these entries differ from the upstream's bills, each by itself."""
        return sum(abs(e.input - self.bills[e.user][0]) + abs(e.output - self.bills[e.user][1]) for e in entries)

    @property
    def unbilled(self) -> int:
        """Return how many of the upstream's bills have no entry of their own."""
        return len(self.bills.keys() - {e.user for e in self.of(State.SETTLED, State.ESTIMATED, State.UNSETTLED)})


async def drive(fleet: Fleet, bills_url: str, requests: int, limit: int) -> tuple[Tally, Verdict, float]:
    """Send all requests, make trouble, wait for what must expire, and look."""
    tally, numbers = Tally(), iter(range(requests))
    sent = Counted(numbers)
    counter = "|".join(("usd", "total", "UTC", "team", "", "", "total"))
    async with opened(fleet.store) as store:
        watching = asyncio.create_task(watch(store, counter, limit, tally))
        began = time.monotonic()
        making = asyncio.create_task(trouble(fleet, lambda: sent.count / requests, tally))
        await asyncio.gather(*(client(fleet.url, sent, tally, seed) for seed in range(CLIENTS)))
        seconds = time.monotonic() - began
        await making
        await asyncio.sleep(2 * EXPIRY_S + 3)
        watching.cancel()
        (standing,) = await store.standings(TEAM, [counter])
        entries = tuple([entry async for entry in store.entries(Span(0, time.time() + 60), TEAM)])
        async with aiohttp.ClientSession() as session, session.get(bills_url) as reply:
            bills = {user: (int(bill[0]), int(bill[1])) for user, bill in (await reply.json()).items()}
    return tally, Verdict(standing, entries, bills), seconds


class Counted:
    """An iterator that knows how many it has given."""

    def __init__(self, source: Iterator[int]) -> None:
        self._source = source
        self.count = 0

    def __iter__(self) -> Iterator[int]:
        return self

    def __next__(self) -> int:
        value = next(self._source)
        self.count += 1
        return value


@contextlib.asynccontextmanager
async def opened(store: Store) -> AsyncIterator[Store]:
    """Open the store for the block."""
    await store.open()
    try:
        yield store
    finally:
        await store.close()


def show(name: str, limit: int, tally: Tally, verdict: Verdict, seconds: float) -> bool:
    """Print what was found; return whether all of it is as it must be."""
    unsettled, estimated = verdict.of(State.UNSETTLED), verdict.of(State.ESTIMATED)
    settled = verdict.of(State.SETTLED)
    charged = sum(e.cost_nano or 0 for e in verdict.entries if e.state is not State.FREE)
    total = sum(tally.statuses.values())
    rows = [
        ("requests sent", f"{total:,} in {seconds:.0f} s ({total / seconds:,.0f}/s)", True),
        ("replies", ", ".join(f"{k} {v:,}" for k, v in sorted(tally.statuses.items())), True),
        ("looks at the counter", f"{tally.readings:,}", tally.readings > 0),
        ("spent + reserved over the limit", str(tally.over), tally.over == 0),
        ("spent of the limit", f"${verdict.standing.spent / NANO:.6f} of ${limit / NANO}", True),
        ("reservations left after the expiry", str(verdict.standing.reserved), verdict.standing.reserved == 0),
        ("counter against ledger, nano-USD", str(verdict.standing.spent - charged), verdict.standing.spent == charged),
        (
            "settled entries that differ from the bill",
            str(verdict.difference(settled)),
            not verdict.difference(settled),
        ),
        ("billed, but not in the ledger", str(verdict.unbilled), verdict.unbilled == 0),
        (
            "estimated entries, tokens off",
            f"{len(estimated):,}, {verdict.difference(known(verdict, estimated)):,}",
            True,
        ),
        (
            "unsettled entries, in flight at the kill",
            f"{len(unsettled)}, {tally.at_kill}",
            len(unsettled) <= tally.at_kill,
        ),
    ]
    table = Table(title=f"Budgets on {name}: {CLIENTS} clients, {fleet_text(name)}")
    for heading in ("what", "found", "as it must be"):
        table.add_column(heading)
    for what, found, good in rows:
        table.add_row(what, found, "yes" if good else "NO")
    console().print(table)
    return all(good for _, _, good in rows)


def known(verdict: Verdict, entries: list[Entry]) -> list[Entry]:
    """Return those of the entries that the upstream has billed at all."""
    return [entry for entry in entries if entry.user in verdict.bills]


def fleet_text(name: str) -> str:
    """Return in words what was run."""
    return (
        "two workers, one killed" if name == "sqlite" else "four gateways behind nginx, one killed, store stopped twice"
    )


def run(name: str, requests: int) -> bool:
    """Run one store's fleet from its start to its end."""
    with tempfile.TemporaryDirectory(prefix="context-gateway-budgets-") as folder, contextlib.ExitStack() as stack:
        port = free_port()
        upstream = stack.enter_context(running(["-m", "benchmarks.billing", str(port)], port)).url
        make = sqlite_fleet if name == "sqlite" else redis_fleet
        usd = round(LIMIT_USD * requests / 20_000, 6)
        fleet = stack.enter_context(make(Path(folder), Wanted(upstream, TEAM, KEY, usd, EXPIRY_S)))
        limit = round(usd * NANO)
        return show(name, limit, *asyncio.run(drive(fleet, upstream + "/bills", requests, limit)))


def main() -> None:
    """Parse the arguments, run, end with 1 where something is not as it must be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--stores", default="redis,sqlite")
    options = parser.parse_args()
    good = [run(name, options.requests) for name in options.stores.split(",")]
    raise SystemExit(0 if all(good) else 1)


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    main()
