from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from pathlib import Path

import pytest
import pytest_asyncio

from gateway.reporting.gather import Scope, charted, groups_of, tabled
from gateway.reporting.rows import Row, Table
from gateway.store.contract import Store
from gateway.store.entries import Entry, Group, Span, State
from tests.gateway.reporting.ledgers import DAY_S, SPAN, START, TEAMS, day_of, entries, fill, lapsed, opened

ENTRIES = [*entries(2000), *lapsed(20)]
KEYS: dict[Group, Callable[[Entry], str]] = {
    Group.TEAM: lambda entry: entry.team,
    Group.MODEL: lambda entry: entry.model,
    Group.USER: lambda entry: entry.user,
    Group.DAY: day_of,
    Group.STATE: lambda entry: entry.state,
}


@pytest_asyncio.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with opened(tmp_path) as store:
        await fill(store, ENTRIES)
        yield store


def assert_holds(found: Table, of: list[Entry]) -> None:
    """Hold each row to the entries it sums, added up one by one."""
    parts: dict[tuple[str, ...], list[Entry]] = {}
    for entry in of:
        parts.setdefault(tuple(KEYS[group](entry) for group in found.groups), []).append(entry)
    assert [row.group for row in found.rows] == sorted(parts)
    for row in found.rows:
        assert_sums(row, parts[row.group])
    assert_sums(found.total, of)


def assert_sums(row: Row, of: list[Entry]) -> None:
    counted = [entry for entry in of if entry.tokens_original is not None]
    priced = [entry for entry in of if entry.cost_nano is not None]
    assert row.requests == len(of)
    assert row.tokens_original == sum(entry.tokens_original or 0 for entry in counted)
    assert row.tokens_saved == row.tokens_original - sum(entry.tokens_forwarded or 0 for entry in counted)
    assert (row.input, row.cached, row.output) == tuple(
        sum(getattr(entry, name) for entry in of) for name in ("input", "cached", "output")
    )
    assert (row.cost_usd or 0) == Decimal(sum(entry.cost_nano or 0 for entry in priced)) / 10**9
    assert (row.saved_usd or 0) == Decimal(sum(entry.saved_nano or 0 for entry in priced)) / 10**9
    assert row.unpriced == sum(entry.cost_nano is None and entry.state is not State.FREE for entry in of)
    assert row.refused == sum(entry.status == 429 for entry in of)
    assert row.failed == sum(entry.status >= 500 for entry in of)
    assert row.estimated == sum(entry.state is State.ESTIMATED for entry in of)
    assert row.unsettled == sum(entry.state is State.UNSETTLED for entry in of)
    shadowed = [entry for entry in of if entry.tokens_window is not None]
    assert (row.shadowed, row.tokens_window) == (len(shadowed), sum(entry.tokens_window or 0 for entry in shadowed))
    assert row.tokens_shadowed - row.tokens_would_save == row.tokens_window
    assert row.tokens_shadowed == sum(entry.tokens_original or 0 for entry in shadowed)
    assert (row.would_save_usd or 0) == Decimal(sum(entry.would_save_nano or 0 for entry in shadowed)) / 10**9
    assert row.shadow_unpriced == sum(entry.would_save_nano is None for entry in shadowed)
    times = [entry.total_ms for entry in of if entry.state is not State.UNSETTLED]
    assert row.mean_total_ms == (pytest.approx(sum(times) / len(times)) if times else None)


@pytest.mark.parametrize("text", ["", "team", "team,model", "user,day,model", "state"])
async def test_sums_by_any_groups_are_those_of_the_entries(store: Store, text: str) -> None:
    assert_holds(await tabled(store, Scope(SPAN, groups_of(text))), ENTRIES)


async def test_a_span_and_a_team_leave_the_others_out(store: Store) -> None:
    span = Span(START + 2 * DAY_S, START + 4 * DAY_S)
    own = [entry for entry in ENTRIES if entry.team == TEAMS[1] and span.since <= entry.time < span.until]
    assert 0 < len(own) < len(ENTRIES) / 4
    assert_holds(await tabled(store, Scope(span, (Group.DAY,), TEAMS[1])), own)


@pytest.mark.parametrize("text", ["team,model", "user"])
async def test_charts_hold_what_the_table_does(store: Store, text: str) -> None:
    found = await charted(store, Scope(SPAN, groups_of(text)))
    for one in (found.table, found.days, found.teams, found.models):
        assert_holds(one, ENTRIES)


def test_groups_are_named_in_a_list_each_once() -> None:
    assert groups_of(" team, model,team,") == (Group.TEAM, Group.MODEL)
    with pytest.raises(ValueError, match="'colour': expected some of team, key, user, model"):
        groups_of("team,colour")
