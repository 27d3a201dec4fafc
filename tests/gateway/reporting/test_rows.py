from dataclasses import fields
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.reporting.rows import Row, nothing, table
from gateway.store.entries import Group, Usages

BY = (Group.TEAM, Group.STATE)
COUNTS = st.integers(0, 2**60)
EXACT = (
    "requests",
    "windowed",
    "tokens_original",
    "tokens_forwarded",
    "tokens_saved",
    "input",
    "cached",
    "cache_written",
    "output",
    "reasoning",
    "unpriced",
    "refused",
    "failed",
    "estimated",
    "unsettled",
    "shadowed",
    "tokens_shadowed",
    "tokens_window",
    "tokens_would_save",
    "shadow_unpriced",
)


def row(**known: int | float) -> Row:
    """Return the row of one team's settled requests."""
    return table([Usages(("acme", "settled"), **known)], BY, (Group.TEAM,)).rows[0]  # type: ignore[arg-type]


def test_a_row_is_made_of_sums() -> None:
    found = row(
        requests=4,
        windowed=2,
        tokens_original=10_000,
        tokens_forwarded=2_500,
        input=2_600,
        cached=600,
        cache_written=50,
        output=300,
        reasoning=100,
        priced=3,
        cost_nano=1_234_567_891,
        saved_nano=-5,
        refused=1,
        failed=2,
        estimated=1,
        unsettled=1,
        timed=4,
        total_ms=400.0,
        overhead_ms=10.0,
        first_bytes=2,
        first_byte_ms=90.0,
        slowest_ms=250.0,
        shadowed=3,
        tokens_shadowed=8_000,
        tokens_window=2_000,
        shadow_priced=2,
        would_save_nano=-7,
    )
    assert found == Row(
        group=("acme",),
        requests=4,
        windowed=2,
        tokens_original=10_000,
        tokens_forwarded=2_500,
        tokens_saved=7_500,
        effective_tokens=0.25,
        input=2_600,
        cached=600,
        cache_written=50,
        output=300,
        reasoning=100,
        cost_usd=Decimal("1.234567891"),
        unpriced=1,
        saved_usd=Decimal("-0.000000005"),
        mean_total_ms=100.0,
        mean_overhead_ms=2.5,
        mean_first_byte_ms=45.0,
        slowest_ms=250.0,
        refused=1,
        failed=2,
        estimated=1,
        unsettled=1,
        shadowed=3,
        tokens_shadowed=8_000,
        tokens_window=2_000,
        tokens_would_save=6_000,
        would_save_share=0.75,
        would_save_usd=Decimal("-0.000000007"),
        shadow_unpriced=1,
    )


def test_what_is_not_known_is_none_and_not_0() -> None:
    found = row(requests=3, tokens_original=500, tokens_forwarded=500)
    assert (found.effective_tokens, found.cost_usd, found.saved_usd) == (None, None, None)
    assert (found.would_save_share, found.would_save_usd, found.shadow_unpriced) == (None, None, 0)
    in_shadow = row(requests=1, priced=1, cost_nano=5, shadowed=1, tokens_shadowed=9, tokens_window=3)
    assert (in_shadow.would_save_usd, in_shadow.shadow_unpriced, in_shadow.saved_usd) == (None, 1, Decimal(0))
    assert (found.mean_first_byte_ms, found.unpriced, found.mean_total_ms) == (None, 3, None)
    assert row(requests=1, saved_nano=-9).saved_usd == Decimal("-0.000000009")
    none = nothing("2026-11-01")
    assert (none.group, none.requests, none.mean_total_ms, none.cost_usd) == (("2026-11-01",), 0, None, None)


def test_requests_on_which_nothing_was_spent_are_not_of_unknown_cost() -> None:
    usages = [Usages(("acme", "free"), requests=5), Usages(("acme", "settled"), requests=3, priced=2)]
    found = table(usages, BY, (Group.TEAM,))
    assert (found.rows[0].requests, found.rows[0].unpriced, found.total.unpriced) == (8, 1, 1)
    by_state = table(usages, BY, (Group.STATE,))
    assert [(one.group, one.unpriced) for one in by_state.rows] == [(("free",), 0), (("settled",), 1)]


@st.composite
def ledgers(draw: st.DrawFn) -> list[Usages]:
    groups = st.tuples(st.sampled_from("abc"), st.sampled_from(["settled", "free", "estimated"]))
    made = []
    for group in draw(st.lists(groups, unique=True, max_size=9)):
        numbers = {field.name: draw(COUNTS) for field in fields(Usages) if field.type is int}
        numbers["priced"] = draw(st.integers(0, numbers["requests"]))
        numbers["saved_nano"] = draw(st.integers(-(2**60), 2**60)) if numbers["priced"] else 0
        numbers["cost_nano"] *= bool(numbers["priced"])
        numbers["shadow_priced"] = draw(st.integers(0, numbers["shadowed"]))
        numbers["would_save_nano"] = draw(st.integers(-(2**60), 2**60)) if numbers["shadow_priced"] else 0
        made.append(Usages(group, **numbers))
    return made


@given(ledgers(), st.integers(1, 4))
def test_the_total_is_exactly_the_sum_of_the_rows(usages: list[Usages], most: int) -> None:
    found = table(usages, BY, (Group.TEAM,), most)
    rows = [*found.rows, *([found.rest] if found.rest else [])]
    for name in EXACT:
        assert getattr(found.total, name) == sum(getattr(one, name) for one in rows)
    for name in ("cost_usd", "saved_usd", "would_save_usd"):
        known = [value for one in rows if (value := getattr(one, name)) is not None]
        assert getattr(found.total, name) == (sum(known) if known else None)


def test_rows_are_in_the_order_of_their_values_and_the_total_has_none() -> None:
    usages = [Usages((team, "settled"), requests=1) for team in ("b", "c", "a")]
    found = table(usages, BY, (Group.TEAM,))
    assert [one.group for one in found.rows] == [("a",), ("b",), ("c",)]
    assert (found.total.group, found.total.requests, found.rest, found.others) == (("",), 3, None, 0)


def test_of_many_groups_the_dearest_are_shown_and_the_others_summed() -> None:
    usages = [Usages((f"team {n}", "settled"), requests=n, priced=n, cost_nano=100 - n) for n in range(1, 10)]
    found = table(usages, BY, (Group.TEAM,), most=2)
    assert [one.group for one in found.rows] == [("team 1",), ("team 2",)]
    assert found.rest is not None
    assert (found.others, found.rest.requests, found.rest.cost_usd) == (7, 42, Decimal("6.58e-7"))


def test_sums_of_a_ledger_of_nothing() -> None:
    found = table([], BY, (Group.TEAM,))
    assert (found.rows, found.total.requests, found.total.mean_total_ms) == ((), 0, None)


@pytest.mark.parametrize("groups", [(), (Group.STATE, Group.TEAM)])
def test_groups_in_any_order_or_none(groups: tuple[Group, ...]) -> None:
    found = table([Usages(("acme", "free"), requests=2)], BY, groups)
    assert [one.group for one in found.rows] == [() if not groups else ("free", "acme")]
