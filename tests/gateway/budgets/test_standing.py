from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.budgets.limits import Limit, Unit
from gateway.budgets.periods import Stretch
from gateway.budgets.standing import Reached, Standings, amount, described, reached
from gateway.policies import BudgetSettings
from gateway.pricing import NANO
from gateway.store.contract import Settled, Standing

NOVEMBER = Stretch("2026-11", 0.0, 100.0)


def limit(most: int = 1000, counter: str = "c", **fields: object) -> Limit:
    return Limit(counter, Unit.TOKENS, most, NOVEMBER, BudgetSettings.model_validate({"tokens": most} | fields))


RATE = Limit("r", Unit.RATE_TOKENS, 10, NOVEMBER)


def standings(spent: int, counter: str = "c", reserved: int = 0) -> Standings:
    found = Standings()
    found.heard("acme", (Standing(counter, spent, reserved),))
    return found


def test_the_latest_counts_team_by_team() -> None:
    found = standings(1)
    found.heard("acme", (Standing("c", 2, 3), Standing("d", 4, 0)))
    assert found.of("acme", limit()) == Standing("c", 2, 3)
    assert found.of("acme", limit(counter="d")) == Standing("d", 4, 0)
    assert found.of("other", limit()) is None


def test_what_is_remembered_is_bounded_and_the_latest() -> None:
    found = Standings()
    for number in range(25_000):
        found.heard("acme", (Standing("used", number, 0), Standing(str(number), 0, 0)))
    assert found.of("acme", limit(counter="used")) == Standing("used", 24_999, 0)
    assert found.of("acme", limit(counter="24999")) is not None
    assert found.of("acme", limit(counter="0")) is None


@pytest.mark.parametrize(
    ("spent", "size"), [(0, None), (799, None), (800, 1000), (949, 1000), (950, 500), (1000, 500), (2000, 500)]
)
def test_windows_narrow_at_the_edge(spent: int, size: int | None) -> None:
    steps = limit(narrow={80: 1000, 95: 500})
    assert standings(spent).narrowest("acme", [steps]) == size


@pytest.mark.parametrize(("most", "edge"), [(1, 1), (3, 3), (7, 6), (999, 800), (10**15 - 1, 8 * 10**14)])
def test_an_edge_between_two_tokens_is_the_upper(most: int, edge: int) -> None:
    steps = limit(most, narrow={80: 1000})
    assert standings(edge - 1).narrowest("acme", [steps]) is None
    assert standings(edge).narrowest("acme", [steps]) == 1000


def test_what_is_only_reserved_narrows_nothing() -> None:
    assert standings(0, reserved=1000).narrowest("acme", [limit(narrow={1: 1000})]) is None


def test_the_narrowest_of_all_limits_holds() -> None:
    found = Standings()
    found.heard("acme", (Standing("c", 900, 0), Standing("d", 900, 0), Standing("r", 10, 0)))
    several = [limit(), limit(narrow={80: 700}), limit(counter="d", narrow={50: 600, 80: 900}), RATE]
    assert found.narrowest("acme", several) == 600
    assert found.narrowest("acme", several[:2]) == 700
    assert found.narrowest("acme", [several[0], RATE]) is None
    assert found.narrowest("acme", []) is None
    assert found.narrowest("other", several) is None


def settled(before: int, after: int, counter: str = "c") -> Settled:
    return Settled(True, (before,), (Standing(counter, after, 0),))


def percents(before: int, after: int, of: Limit) -> list[int]:
    return [passed.percent for passed in reached("acme", [of], settled(before, after), Standings())]


@pytest.mark.parametrize(
    ("before", "after", "announced"),
    [
        (0, 499, []), (0, 500, [50]), (499, 500, [50]), (500, 501, []), (500, 500, []), (499, 800, [50, 80]),
        (0, 5000, [50, 80]), (800, 5000, []), (5000, 0, []), (800, 799, []), (799, 800, [80]),
    ],
)  # fmt: skip
def test_soft_limits_at_the_edge(before: int, after: int, announced: list[int]) -> None:
    assert percents(before, after, limit(soft=(80, 50))) == announced


@given(
    st.integers(0, 10**6),
    st.lists(st.integers(1, 99), max_size=6),
    st.lists(st.integers(0, 400_000), max_size=30),
)
def test_each_soft_limit_is_announced_once_in_order(most: int, soft: list[int], charges: list[int]) -> None:
    of, spent, announced = limit(most, soft=soft), 0, list[int]()
    for charge in charges:
        announced += percents(spent, spent + charge, of)
        spent += charge
    passed = sorted({percent for percent in soft if most and Fraction(spent * 100, most) >= percent})
    assert announced == passed


def test_whose_limit_it_was() -> None:
    mine, other = limit(soft=(50,)), limit(counter="d", soft=(50,))
    both = Settled(True, (0, 0, 0), (Standing("c", 500, 0), Standing("d", 400, 0), Standing("r", 10, 0)))
    (found,) = reached("acme", [mine, other, RATE], both, Standings())
    assert found == Reached("acme", mine, 50)
    assert found.text == "50% of the 1,000 tokens a month is spent"


def test_what_was_settled_before_announces_nothing() -> None:
    assert list(reached("acme", [limit(soft=(50,))], Settled(False, (), ()), Standings())) == []


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"usd": 5}, "the $5.00 a month"),
        ({"usd": 1234.5, "period": "day", "per": "user"}, "the $1,234.50 a day of each user"),
        ({"tokens": 1000, "period": "hour"}, "the 1,000 tokens an hour"),
        ({"tokens": 1, "period": "total", "per": "key"}, "the 1 tokens in total of each key"),
        ({"usd": 0.005, "period": "week"}, "the $0.005 a week"),
    ],
)
def test_budgets_in_words(fields: dict[str, object], words: str) -> None:
    budget = BudgetSettings.model_validate(fields)
    unit, most = (Unit.TOKENS, budget.tokens or 0) if budget.usd is None else (Unit.USD, round(budget.usd * NANO))
    assert described(Limit("c", unit, most, NOVEMBER, budget)) == words


@pytest.mark.parametrize(
    ("unit", "words"),
    [
        (Unit.REQUESTS, "1,500 requests per minute"),
        (Unit.RATE_TOKENS, "1,500 tokens per minute"),
        (Unit.CONCURRENT, "1,500 requests at the same time"),
    ],
)
def test_rates_in_words(unit: Unit, words: str) -> None:
    assert described(Limit("r", unit, 1500, NOVEMBER)) == words


@pytest.mark.parametrize(
    ("nano", "words"),
    [
        (0, "$0.00"),
        (NANO, "$1.00"),
        (10**7, "$0.01"),
        (12_345_678, "$0.012345678"),
        (1_005_000_000, "$1.005"),
        (1_004_600_000, "$1.0046"),
        (5 * NANO + 1, "$5.000000001"),
        (1234 * NANO + 10**8, "$1,234.10"),
    ],
)
def test_money_in_words(nano: int, words: str) -> None:
    assert amount(Unit.USD, nano) == words


def test_a_limit_that_is_lowered_below_what_is_spent_is_announced_once() -> None:
    standings, announced = Standings(), list[tuple[int, int]]()
    for most, before in ((1000, 0), (1000, 300), (600, 310), (600, 320), (900, 330), (500, 410), (500, 420)):
        passed = reached("acme", [limit(most, soft=(50, 80))], settled(before, before + 10), standings)
        announced += [(most, each.percent) for each in passed]
    assert announced == [(600, 50), (500, 50), (500, 80)]
