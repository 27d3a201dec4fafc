"""Believable traffic of some weeks, written straight into a store: for the console's screenshots and its tests."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from random import Random

from msgspec import structs

from gateway.budgets.limits import Spender, limits_of
from gateway.budgets.periods import Calendar
from gateway.policies import KeyPolicy, TeamPolicy
from gateway.pricing import nano_of
from gateway.store.contract import Change, Charge, Kind, Settlement, Store
from gateway.store.entries import Entry, State
from gateway.store.receipts import Receipt, Span, SpanKind
from gateway.teams.keys import new_key
from gateway.teams.known import StoredKey

DAY_S = 86_400.0
_BATCH = 500
_RECEIPTS = 400
# USD for a million tokens: prompt, read from a cache, completion.
_PRICES = {
    "gpt-4o": (2.5, 1.25, 10.0),
    "gpt-4o-mini": (0.15, 0.075, 0.6),
    "gpt-4.1": (2.0, 0.5, 8.0),
    "gpt-4.1-mini": (0.4, 0.1, 1.6),
}
_QUIET = ("small", "small", "small", "small", "whole_document", "nothing_to_trim", "low_confidence", "no_saving")


@dataclass(frozen=True, slots=True)
class _Habits:
    """How a team calls: its share of all requests, which models, how long its prompts are."""

    share: float
    models: tuple[str, ...]
    users: tuple[str, ...]
    long: float  # share of oversized prompts
    tokens: int  # of one of these, in the middle


POLICIES: Mapping[str, TeamPolicy] = {
    "support-desk": TeamPolicy.model_validate(
        {
            "budget": [{"usd": 110, "period": "month", "soft": [50, 80, 95]}, {"usd": 8, "period": "day"}],
            "limits": {"requests_per_minute": 600, "concurrent": 64},
        }
    ),
    "research": TeamPolicy.model_validate({"budget": {"usd": 80, "period": "month", "soft": [80]}}),
    "contracts": TeamPolicy.model_validate(
        {"budget": {"usd": 260, "period": "month"}, "models": ["gpt-4o", "gpt-4.1"], "windowing": {"mode": "shadow"}}
    ),
    "developer-tools": TeamPolicy.model_validate({"budget": {"tokens": 20_000_000, "period": "week"}}),
    "mobile-app": TeamPolicy.model_validate({"budget": {"usd": 1, "period": "month"}}),
}
_HABITS = {
    "support-desk": _Habits(0.42, ("gpt-4o", "gpt-4o", "gpt-4o-mini"), ("desk-1", "desk-2", "desk-3"), 0.7, 38_000),
    "research": _Habits(0.16, ("gpt-4.1", "gpt-4o"), ("m.ortega", "l.novak", "a.brandt"), 0.8, 61_000),
    "contracts": _Habits(0.09, ("gpt-4.1", "gpt-4o"), ("legal-batch",), 0.9, 44_000),
    "developer-tools": _Habits(0.25, ("gpt-4.1-mini", "gpt-4.1"), ("ci", "ide"), 0.45, 24_000),
    "mobile-app": _Habits(0.08, ("gpt-4o-mini",), ("ios", "android"), 0.15, 9_000),
}


async def seed(store: Store, count: int, days: float, now: float, chance: int = 7) -> list[Entry]:
    """Write teams, a key each, and that many requests of the days until now; return the requests, oldest first."""
    keys = {team: await _team(store, team) for team in POLICIES}
    random = Random(chance)  # noqa: S311 - the same traffic each time
    found = sorted((_entry(random, keys, number, days, now) for number in range(count)), key=lambda own: own.time)
    calendar = Calendar()
    for first in range(0, count, _BATCH):
        await store.settle_all([_settlement(entry, calendar) for entry in found[first : first + _BATCH]])
    await store.keep([_receipt(random, entry) for entry in found[-_RECEIPTS:]], _RECEIPTS)
    return found


async def _team(store: Store, team: str) -> str:
    policy = Change(Kind.TEAM, team, POLICIES[team].model_dump_json(exclude_unset=True).encode())
    await store.change([policy], await store.version())
    ids = [await _key(store, team, name) for name in ("production", "laptops")]
    return ids[0]


async def _key(store: Store, team: str, name: str) -> str:
    stored = StoredKey.of(new_key(), team, KeyPolicy(name=name))
    kept = Change(Kind.KEY, stored.key().id, stored.model_dump_json().encode())
    await store.change([kept], await store.version())
    return stored.key().id


def _settlement(entry: Entry, calendar: Calendar) -> Settlement:
    spender = Spender(entry.key, entry.user, entry.model, entry.model)
    limits = limits_of(POLICIES[entry.team], spender, calendar, entry.time)
    tokens = entry.input + entry.output
    charges = (
        Charge(limit.counter, limit.amount(entry.cost_nano or 0, tokens), limit.stretch.until)
        for limit in limits
        if limit.budget is not None
    )
    return Settlement(entry.id, entry.team, tuple(charges), entry)


def _moment(random: Random, days: float, now: float) -> float:
    """Return a time of arrival: more by day than at night, fewer at weekends, more from week to week."""
    while True:
        time = now - random.random() * days * DAY_S
        hour = time % DAY_S / 3600
        busy = 0.12 + 0.88 * max(0.0, math.sin((hour - 6) / 13 * math.pi)) if 6 <= hour <= 19 else 0.12
        weekend = 0.35 if int(time // DAY_S + 4) % 7 in {0, 6} else 1.0
        growth = 0.7 + 0.3 * (1 - (now - time) / (days * DAY_S))
        if random.random() < busy * weekend * growth:
            return time


def _entry(random: Random, keys: Mapping[str, str], number: int, days: float, now: float) -> Entry:
    team = random.choices(list(_HABITS), [habits.share for habits in _HABITS.values()])[0]
    habits, time = _HABITS[team], _moment(random, days, now)
    entry = Entry(
        id=f"req-{int(time * 1000):012x}{number:020x}",
        time=time,
        team=team,
        key=keys[team],
        user=random.choice(habits.users),
        model=random.choice(habits.models),
        upstream="openai" if random.random() < 0.8 else "azure",
        route="chat",
        stream=random.random() < 0.6,
        overhead_ms=random.lognormvariate(0.4, 0.5),
    )
    chance = random.random()
    if chance < 0.012:
        return structs.replace(entry, state=State.FREE, status=429, error="insufficient_quota", total_ms=1.2)
    if chance < 0.018:
        return structs.replace(entry, state=State.FREE, status=502, error="upstream_unreachable", total_ms=3004.0)
    return _billed(random, entry, habits)


def _billed(random: Random, entry: Entry, habits: _Habits) -> Entry:
    long = random.random() < habits.long
    original = int(random.lognormvariate(math.log(habits.tokens if long else 900), 0.45 if long else 0.7))
    windowed = long and random.random() < 0.86 and entry.team != "contracts"
    forwarded = min(original, int(random.uniform(1400, 4200))) if windowed else original
    output = int(random.lognormvariate(5.4, 0.6))
    cached = int(forwarded * random.choice((0, 0, 0.3)))
    head = random.lognormvariate(6.3, 0.35)
    cost, instead = (_cost(entry.model, tokens, cached, output) for tokens in (forwarded, original))
    shadow = long and entry.team == "contracts"
    return structs.replace(
        entry,
        status=200,
        state=State.ESTIMATED if random.random() < 0.004 else State.SETTLED,
        decision="applied" if windowed else "shadow" if shadow else "bypassed",
        reason="relevance" if windowed or shadow else random.choice(_QUIET),
        tokens_original=original,
        tokens_forwarded=forwarded,
        input=forwarded + 7,
        cached=cached,
        output=output,
        cost_nano=cost,
        saved_nano=instead - cost - 900 if windowed else 0,
        overhead_ms=entry.overhead_ms + (random.lognormvariate(3.6, 0.4) if windowed else 0.0),
        first_byte_ms=head,
        total_ms=head + output * random.uniform(6, 11),
        tokens_window=original // 5 if shadow else None,
        would_save_nano=cost - _cost(entry.model, original // 5, 0, output) - 900 if shadow else None,
    )


def _cost(model: str, prompt: int, cached: int, output: int) -> int:
    fresh, read, completion = _PRICES[model]
    usd = ((prompt - cached) * fresh + cached * read + output * completion) / 1e6
    return nano_of(Decimal(str(usd)))


def _receipt(random: Random, entry: Entry) -> Receipt:
    windowed = entry.decision in {"applied", "shadow"}
    stages = [("receive", random.uniform(0.2, 2.0))]
    if windowed:
        names = ("parse", "question", "chunk", "lexical", "embed", "fuse", "splice")
        stages += [(f"window_{name}", random.lognormvariate(1.4, 0.8)) for name in names]
    stages += [("upstream_head", entry.first_byte_ms or 0.0), ("reply", entry.total_ms - (entry.first_byte_ms or 0.0))]
    return Receipt(
        id=entry.id,
        team=entry.team,
        time=entry.time,
        spans=tuple(_spans(random, entry)) if windowed else (),
        stages=tuple(stages),
        attempts=(f"{entry.upstream}: answered",) if entry.status == 200 else (f"{entry.upstream}: not_connected",),
        confidence=round(random.uniform(0.82, 0.97), 3) if windowed else None,
        overhead_ms=entry.overhead_ms,
    )


def _spans(random: Random, entry: Entry) -> Iterator[Span]:
    """Yield stretches that add up to the entry's tokens: some passages matter, and those beside them a little."""
    total, kept = entry.tokens_original or 0, entry.tokens_forwarded or 0
    sizes = _sizes(random, total)
    peaks = [random.randrange(1, max(2, len(sizes) - 1)) for _ in range(3)]
    scores = [_score(random, place, peaks) for place in range(len(sizes))]
    best, room = set(), kept - sizes[0] - sizes[-1]
    for place in sorted(range(1, len(sizes) - 1), key=lambda place: -scores[place]):
        if sizes[place] <= room:
            best.add(place)
            room -= sizes[place]
    yield Span(SpanKind.PROTECTED, sizes[0], None, True)
    for place in range(1, len(sizes) - 1):
        yield Span(SpanKind.CHUNK, sizes[place], round(scores[place], 3), place in best)
    yield Span(SpanKind.PROTECTED, sizes[-1], None, True)


def _score(random: Random, place: int, peaks: Sequence[int]) -> float:
    near = max(math.exp(-abs(place - peak) / 1.3) for peak in peaks)
    return min(1.0, 0.08 + 0.75 * near + random.uniform(0, 0.12))


def _sizes(random: Random, total: int) -> list[int]:
    sizes = [random.randrange(180, 420)]
    while sum(sizes) < total - 500:
        sizes.append(random.randrange(120, 480))
    return [*sizes, max(60, total - sum(sizes))]
