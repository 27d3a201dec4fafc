from datetime import UTC, datetime
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.budgets.limits import Limit, Spender, Unit, limits_of
from gateway.budgets.periods import Calendar
from gateway.policies import BudgetSettings, RateSettings, TeamPolicy
from gateway.pricing import NANO
from gateway.store.contract import Hold

NOW = datetime(2026, 11, 24, 15, 30, 12, tzinfo=UTC).timestamp()
MIDNIGHT = datetime(2026, 11, 25, tzinfo=UTC).timestamp()
SPENDER = Spender("key_1", "ann", "gpt-4o", "gpt-4o-2024-08-06")


def limits(*budgets: BudgetSettings, spender: Spender = SPENDER, rates: RateSettings | None = None) -> list[Limit]:
    policy = TeamPolicy(budget=budgets or None, limits=rates or RateSettings())
    return list(limits_of(policy, spender, Calendar(), NOW))


def counter(spender: Spender = SPENDER, **fields: Any) -> str:
    """Return the name of the one counter of a budget of 100 tokens, or of what is said otherwise."""
    (limit,) = limits(BudgetSettings(**({} if "usd" in fields else {"tokens": 100}) | fields), spender=spender)
    return limit.counter


def test_a_team_without_limits_has_none() -> None:
    assert limits() == []


def test_budgets_come_first_in_their_order_then_rates() -> None:
    found = limits(
        BudgetSettings(usd=5, period="day"),
        BudgetSettings(tokens=7),
        rates=RateSettings(requests_per_minute=1, tokens_per_minute=2, concurrent=3),
    )
    assert [(limit.unit, limit.most) for limit in found] == [
        (Unit.USD, 5 * NANO), (Unit.TOKENS, 7), (Unit.REQUESTS, 1), (Unit.RATE_TOKENS, 2), (Unit.CONCURRENT, 3)
    ]  # fmt: skip
    assert [limit.budget is None for limit in found] == [False, False, True, True, True]
    assert len({limit.counter for limit in found}) == 5


def test_what_a_request_sets_aside_on_each() -> None:
    usd, tokens, requests, rate, concurrent = limits(
        BudgetSettings(usd=5, period="day"),
        BudgetSettings(tokens=7, period="total"),
        rates=RateSettings(requests_per_minute=1, tokens_per_minute=2, concurrent=3),
    )
    minute = datetime(2026, 11, 24, 15, 31, tzinfo=UTC).timestamp()
    assert usd.hold(40, 30) == Hold(usd.counter, 40, 5 * NANO, 40, MIDNIGHT)
    assert tokens.hold(40, 30) == Hold(tokens.counter, 30, 7, 30, None)
    assert requests.hold(40, 30) == Hold(requests.counter, 1, 1, 1, minute)
    assert rate.hold(40, 30) == Hold(rate.counter, 30, 2, 30, minute)
    assert concurrent.hold(40, 30) == Hold("concurrent", 1, 3, 0, None), "a dead process has no requests under way"


@given(st.integers(0, 900_000_000))
def test_money_is_what_is_written_to_the_cent(cents: int) -> None:
    (limit,) = limits(BudgetSettings(usd=cents / 100))
    assert limit.most == cents * 10**7


def test_less_than_a_nano_dollar_is_nothing() -> None:
    assert [limits(BudgetSettings(usd=usd))[0].most for usd in (0, 1e-10, 1e-9, 0.0000000019)] == [0, 0, 1, 1]


@pytest.mark.parametrize(
    "changed",
    [{"tokens": 5}, {"soft": (50, 80)}, {"narrow": {80: 1000}}, {"tokens": 0, "soft": (1,), "narrow": {99: 100}}],
)
def test_a_counter_goes_on_when_its_limit_is_changed(changed: dict[str, Any]) -> None:
    for fields in ({}, {"per": "user"}, {"models": ("gpt-4o",)}, {"period": "day", "time_zone": "Asia/Kolkata"}):
        assert counter(**fields | changed) == counter(**fields)


def test_money_counts_on_when_its_limit_is_changed() -> None:
    assert counter(usd=1) == counter(usd=2.5, soft=(10,))


def test_a_counter_goes_on_when_models_are_put_in_another_order() -> None:
    assert counter(models=("gpt-4o", "o3")) == counter(models=("o3", "gpt-4o"))


DIFFERENT: tuple[dict[str, Any], ...] = (
    {}, {"usd": 1}, {"period": "day"}, {"period": "week"}, {"period": "hour"}, {"period": "total"},
    {"time_zone": "Europe/Vienna"}, {"per": "key"}, {"per": "user"}, {"per": "model"}, {"models": ("gpt-4o",)},
    {"models": ("gpt-4o", "o3")}, {"models": ("gpt-4o,o3", "gpt-4o")}, {"models": ("gpt-4o", "gpt-4o|o3")},
    {"per": "user", "models": ("gpt-4o",)}, {"per": "model", "models": ("gpt-4o",)},
)  # fmt: skip


def test_budgets_that_count_something_else_have_counters_of_their_own() -> None:
    for one, other in combinations(DIFFERENT, 2):
        assert counter(**one) != counter(**other)
    assert len({limit.counter for limit in limits(*_all_different())}) == len(DIFFERENT)


def _all_different() -> list[BudgetSettings]:
    return [BudgetSettings(**({} if "usd" in fields else {"tokens": 1}) | fields) for fields in DIFFERENT]


def test_periods_have_counters_of_their_own() -> None:
    policy = TeamPolicy(budget=BudgetSettings(tokens=1, period="day"))
    days = [limits_of(policy, SPENDER, Calendar(), NOW + day * 86_400)[0] for day in range(3)]
    assert len({limit.counter for limit in days}) == 3
    assert [limit.stretch.until for limit in days] == [MIDNIGHT + day * 86_400 for day in range(3)]


def test_of_budgets_that_count_the_same_the_tightest_holds_and_nothing_counts_twice() -> None:
    wide, tight = BudgetSettings(tokens=100, soft=(50,)), BudgetSettings(tokens=10, narrow={80: 1000})
    for budgets in ((wide, tight), (tight, wide), (wide, tight, wide)):
        assert [limit.budget for limit in limits(*budgets)] == [tight]


@pytest.mark.parametrize(
    ("per", "same"),
    [
        ("team", {"key": "key_2", "user": "bob", "model": "o3"}),
        ("key", {"user": "bob", "model": "o3"}),
        ("user", {"key": "key_2", "model": "o3"}),
        ("model", {"key": "key_2", "user": "bob", "asked_model": "gpt-4o"}),
    ],
)
def test_whose_spending_counts(per: str, same: dict[str, str]) -> None:
    fields = {"key": "key_1", "user": "ann", "model": "gpt-4o", "asked_model": "gpt-4o-2024-08-06"}
    alike = Spender(**fields | same)
    assert counter(per=per) == counter(alike, per=per)
    if per != "team":
        assert counter(per=per) != counter(Spender(**fields | {per: "another"}), per=per)


def test_a_dated_name_is_no_way_round_a_models_budget() -> None:
    for budget in (BudgetSettings(tokens=1, models=("gpt-4o",)), BudgetSettings(tokens=1, per="model")):
        plain = limits(budget, spender=Spender("key_1", "", "gpt-4o", "gpt-4o"))
        assert plain == limits(budget, spender=SPENDER)
        assert len(plain) == 1


def test_a_budget_for_a_name_as_it_is_asked_for() -> None:
    dated = BudgetSettings(tokens=1, models=("gpt-4o-2024-08-06",))
    assert len(limits(dated)) == 1
    assert limits(dated, spender=Spender("key_1", "", "gpt-4o", "gpt-4o-2024-11-20")) == []


def test_a_models_budget_is_not_for_other_models() -> None:
    assert limits(BudgetSettings(tokens=1, models=("gpt-4o",)), spender=Spender("k", "", "o3", "o3")) == []


names = st.text(max_size=300) | st.text("|,%2c\ud800\udfff", max_size=6)


@given(names, names)
def test_no_name_gets_at_anothers_counter(one: str, other: str) -> None:
    counters = [counter(Spender("k", user, "gpt-4o", "gpt-4o"), per="user") for user in (one, other)]
    assert (counters[0] == counters[1]) == (one == other)


@given(names, st.sampled_from(["user", "model"]))
def test_no_name_gets_at_another_budgets_counter(name: str, per: str) -> None:
    spender = Spender("key_1", name, name, name)
    policy = TeamPolicy(budget=tuple(_all_different()))
    found = limits_of(policy, spender, Calendar(), NOW)
    assert len({limit.counter for limit in found}) == len(found)
    for limit in found:
        assert limit.counter.count("|") == 6
        assert limit.counter.isascii()
        assert len(limit.counter) < 500


def test_rates_are_the_teams_whoever_asks() -> None:
    rates = RateSettings(requests_per_minute=1, tokens_per_minute=2, concurrent=3)
    assert limits(rates=rates) == limits(rates=rates, spender=Spender("key_2", "bob", "o3", "o3"))
    assert [limit.stretch.until for limit in limits(rates=rates)] == [NOW - 12 + 60, NOW - 12 + 60, None]
