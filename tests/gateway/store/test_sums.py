"""Sums over entries are what SQLite's SQL makes of them."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.store.contract import Settlement
from gateway.store.entries import Entry, Group, Span, State, Usages
from gateway.store.sums import Sums
from tests.gateway.store.cases import NOW, entry
from tests.gateway.store.stores import STORES

ALWAYS = Span(0, NOW * 2)
WORDS = st.sampled_from(["", "a", "b", "é", "Z", "applied"])
COUNTS = st.integers(0, 10**6)
NULLABLE = ("tokens_original", "tokens_forwarded", "cost_nano", "saved_nano", "tokens_window", "would_save_nano")
EIGHTHS = st.integers(0, 10**6).map(lambda number: number / 8)  # sums of these are exact in any order
KNOWN: dict[str, st.SearchStrategy[Any]] = {
    "time": st.integers(0, 8 * 86400).map(lambda s: NOW + s / 2),
    **dict.fromkeys(["team", "key", "user", "model", "upstream", "route", "reason", "decision"], WORDS),
    "state": st.sampled_from(State),
    "status": st.sampled_from([0, 200, 429, 499, 500, 503]),
    **dict.fromkeys(["input", "cached", "cache_written", "output", "reasoning"], COUNTS),
    **dict.fromkeys(NULLABLE, st.none() | COUNTS),
    **dict.fromkeys(["total_ms", "overhead_ms"], EIGHTHS),
    "first_byte_ms": st.none() | EIGHTHS,
}
ROWS: st.SearchStrategy[list[dict[str, Any]]] = st.lists(st.fixed_dictionaries(KNOWN), min_size=1, max_size=12)
ENTRIES = ROWS.map(lambda rows: [entry(f"r{place}", **row) for place, row in enumerate(rows)])
GROUPS = ((), *((group,) for group in Group), (Group.MODEL, Group.DAY), (Group.STATUS, Group.TEAM, Group.STATE))


def summed(entries: Iterable[Entry], groups: Sequence[Group]) -> tuple[Usages, ...]:
    sums = Sums(groups)
    sums.add(entries)
    return sums.usages()


@pytest.mark.parametrize("name", STORES)
async def test_a_store_sums_as_the_function_does(name: str, tmp_path: Path) -> None:
    entries = example()
    async with STORES[name](tmp_path) as store:
        await store.settle_all([Settlement(made.id, made.team, (), made) for made in entries])
        for groups in GROUPS:
            assert await store.usage(ALWAYS, groups) == summed(entries, groups)


def example() -> list[Entry]:
    """Return entries of all sorts, the same ones every time."""
    words, states, statuses = ["", "a", "b", "é", "Z"], list(State), [0, 200, 429, 499, 500, 503]
    return [
        entry(
            f"r{n}", time=NOW + n * 1234.5, team=words[n % 4], key=words[n % 3], user=words[n % 5], model=words[n % 2],
            upstream=words[n % 4], route=words[n % 3], reason=words[n % 5], state=states[n % len(states)],
            status=statuses[n % 6], decision="applied" if n % 3 else "off", input=n, cached=n // 2, output=n % 7,
            tokens_original=None if n % 4 == 0 else 3 * n, tokens_forwarded=None if n % 5 == 0 else n,
            cost_nano=None if n % 6 == 0 else n * 1000, saved_nano=None if n % 7 == 0 else -n,
            total_ms=n / 8, overhead_ms=n / 16, first_byte_ms=None if n % 2 else n / 4, reasoning=n % 3,
            tokens_window=n if n % 3 == 0 else None, would_save_nano=None if n % 9 == 0 else 7 - n,
        )
        for n in range(300)
    ]  # fmt: skip


@settings(max_examples=50)
@given(ENTRIES)
def test_groups_add_up_to_the_whole(entries: list[Entry]) -> None:
    (whole,) = summed(entries, ())
    parts = summed(entries, (Group.MODEL, Group.DAY, Group.STATUS))
    assert [part.group for part in parts] == sorted({part.group for part in parts})
    for name in (
        "requests",
        "windowed",
        "input",
        "priced",
        "cost_nano",
        "refused",
        "failed",
        "total_ms",
        "first_bytes",
        "shadowed",
        "tokens_shadowed",
        "tokens_window",
        "shadow_priced",
        "would_save_nano",
    ):
        assert sum(getattr(part, name) for part in parts) == getattr(whole, name)
    assert whole.requests == len(entries)
    assert whole.slowest_ms == max(part.slowest_ms for part in parts)


def test_a_page_at_a_time_is_the_same() -> None:
    entries, sums = example(), Sums((Group.TEAM,))
    for start in range(0, len(entries), 7):
        sums.add(entries[start : start + 7])
    assert sums.usages() == summed(entries, (Group.TEAM,))


def test_of_nothing_there_is_no_row() -> None:
    assert summed([], ()) == ()
