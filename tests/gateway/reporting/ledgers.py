"""A ledger of some thousand mixed requests in a real store, and its figures, added up one entry at a time."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from random import Random

from msgspec import structs

from gateway.store.contract import Hold, Reservation, Settlement, Store
from gateway.store.entries import Entry, Span, State
from gateway.store.sqlite import SqliteStore

DAY_S = 86400.0
START = datetime(2026, 11, 1, tzinfo=UTC).timestamp()
DAYS = 20
SPAN = Span(START, START + DAYS * DAY_S)
NASTY = '<script>alert("x")</script>'
TEAMS = ("acme", "=HYPERLINK(1)", NASTY)
MODELS = ("gpt-4o-mini", "o3", "</table><img src=http://evil.example/x onerror=alert(1)>", "my-own")
_UNPRICED = "my-own"


def entries(count: int, seed: int = 7) -> list[Entry]:
    """Return entries of many kinds; day 5 has none."""
    random = Random(seed)
    return [_entry(random, number) for number in range(count)]


def _entry(random: Random, number: int) -> Entry:
    day = random.choice([day for day in range(DAYS) if day != 5])
    team, model = random.choice(TEAMS), random.choice(MODELS)
    entry = Entry(
        id=f"req-{number}",
        time=START + day * DAY_S + random.uniform(0, DAY_S - 1),
        team=team,
        key="key_1",
        user=f"user {number % 7}",
        model=model,
        upstream="main",
        route="chat",
        total_ms=random.uniform(5, 9000),
        overhead_ms=random.uniform(0.1, 40),
    )
    kind = random.random()
    if kind < 0.05:
        return structs.replace(entry, state=State.FREE, status=429, error="insufficient_quota")
    if kind < 0.08:
        return structs.replace(entry, state=State.FREE, status=502, error="upstream_unreachable")
    state = State.ESTIMATED if kind < 0.12 else State.SETTLED
    return _billed(random, structs.replace(entry, state=state, status=200))


def _billed(random: Random, entry: Entry) -> Entry:
    original = random.randrange(100, 100_000)
    windowed = original > 4000
    if windowed and int(entry.id.removeprefix("req-")) % 5 == 0:
        return _in_shadow(random, entry, original)
    forwarded = original // random.randrange(2, 30) if windowed else original
    priced = entry.model != _UNPRICED
    return structs.replace(
        entry,
        decision="applied" if windowed else "bypassed",
        tokens_original=original,
        tokens_forwarded=forwarded,
        input=forwarded + 7,
        cached=random.randrange(forwarded),
        output=random.randrange(2000),
        cost_nano=random.randrange(10**9) if priced else None,
        saved_nano=random.randrange(-(10**8), 10**9) if priced else None,
        first_byte_ms=random.uniform(3, 900),
    )


def _in_shadow(random: Random, entry: Entry, original: int) -> Entry:
    window, priced = random.randrange(100, original), entry.model != _UNPRICED
    return structs.replace(
        entry,
        decision="shadow",
        tokens_original=original,
        tokens_forwarded=original,
        input=original + 7,
        tokens_window=window,
        cost_nano=random.randrange(10**9) if priced else None,
        would_save_nano=random.randrange(-(10**8), 10**9) if priced and entry.state is State.SETTLED else None,
    )


def lapsed(count: int) -> list[Entry]:
    """Return entries of requests whose gateway died."""
    return [
        Entry(
            id=f"lost-{number}",
            time=START + 1 + number,
            team=TEAMS[0],
            user="user 1",
            model=MODELS[0],
            upstream="main",
            route="chat",
            state=State.UNSETTLED,
            input=5000,
            output=300,
            cost_nano=10**7,
        )
        for number in range(count)
    ]


def day_of(entry: Entry) -> str:
    """Return the entry's day."""
    return datetime.fromtimestamp(entry.time, UTC).date().isoformat()


async def fill(store: Store, made: Iterable[Entry]) -> None:
    """Settle the entries; let the reservations of those that are unsettled expire."""
    await asyncio.gather(*(_write(store, entry) for entry in made))
    await store.expire(START + 1)


async def _write(store: Store, entry: Entry) -> None:
    if entry.state is State.UNSETTLED:
        hold = Hold("usd", 1, 10**12, 1, None)
        await store.reserve(Reservation(entry.id, entry.team, (hold,), START, entry))
    else:
        await store.settle(Settlement(entry.id, entry.team, (), entry))


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Store]:
    """Open the store of the configuration in that folder."""
    store = SqliteStore(folder / "gateway.db", "process")
    await store.open()
    try:
        yield store
    finally:
        await store.close()
