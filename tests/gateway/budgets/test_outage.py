from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.budgets.limits import Limit, Unit
from gateway.budgets.outage import Outage
from gateway.budgets.periods import Stretch
from gateway.budgets.standing import Standings
from gateway.policies import BudgetSettings
from gateway.store.contract import Charge, Hold, Standing

DAY = Stretch("2026-11-24", 1000.0, 2000.0)
MONTH = Limit("month", Unit.TOKENS, 100, Stretch("2026-11", 0.0, 5000.0), BudgetSettings(tokens=100))
TODAY = Limit("day", Unit.TOKENS, 50, DAY, BudgetSettings(tokens=50, period="day"))
RATE = Limit("rate", Unit.RATE_TOKENS, 30, Stretch("15:30", 1500.0, 1560.0))


def hold(limit: Limit, amount: int) -> Hold:
    return limit.hold(0, amount)


def outage(spent: int | None = None, reserved: int = 0, replicas: int = 2) -> Outage:
    """Return an open outage; `spent` and `reserved` are what was last heard of the month's budget."""
    standings = Standings()
    if spent is not None:
        standings.heard("acme", (Standing("month", spent, reserved),))
    return Outage("open", replicas, standings)


def admits(of: Outage, amount: int, limit: Limit = MONTH) -> bool:
    return of.admits("acme", [limit], [hold(limit, amount)])


def test_closed_admits_nobody() -> None:
    standings = Standings()
    standings.heard("acme", (Standing("month", 0, 0),))
    closed = Outage("closed", 1, standings)
    assert not admits(closed, 1)
    assert not admits(closed, 0)


@pytest.mark.parametrize(
    ("spent", "reserved", "replicas", "share"),
    [(0, 0, 1, 100), (0, 0, 2, 50), (0, 0, 3, 33), (40, 11, 2, 24), (100, 0, 2, 0), (90, 90, 2, 0), (99, 0, 2, 0)],
)
def test_a_replica_spends_its_share_of_what_was_left(spent: int, reserved: int, replicas: int, share: int) -> None:
    own = outage(spent, reserved, replicas)
    assert not admits(own, share + 1)
    assert admits(own, share)
    assert not admits(own, 1)


def test_of_a_running_period_of_which_nothing_is_known_nothing_is_spent() -> None:
    own = outage()
    assert not admits(own, 1)
    own.began(1500.0)
    assert not admits(own, 1)
    assert not admits(own, 1, TODAY)


def test_of_a_period_that_began_meanwhile_a_share_is_spent() -> None:
    own = outage()
    own.began(1000.0)
    assert admits(own, 25, TODAY)
    assert not admits(own, 1, TODAY)


def test_when_it_began_does_not_move() -> None:
    own = outage()
    own.began(999.0)
    own.began(1500.0)
    assert admits(own, 25, TODAY)


def test_an_outage_that_is_over_says_nothing_of_the_next() -> None:
    own = outage()
    own.began(900.0)
    own.over()
    own.began(1100.0)
    assert not admits(own, 1, TODAY), "between the two others may have spent all of it"


def test_of_rates_a_share_is_let_through_each_minute() -> None:
    own = outage()
    assert admits(own, 15, RATE)
    assert not admits(own, 1, RATE)
    assert admits(own, 15, replace(RATE, counter="next"))


def test_all_limits_or_none() -> None:
    own = outage(0)
    assert not own.admits("acme", [MONTH, RATE], [hold(MONTH, 50), hold(RATE, 16)])
    assert own.admits("acme", [MONTH, RATE], [hold(MONTH, 50), hold(RATE, 15)])


def test_teams_are_told_apart() -> None:
    own = outage(0)
    assert not own.admits("other", [MONTH], [hold(MONTH, 1)])
    assert admits(own, 50)


def test_what_was_not_spent_is_given_back() -> None:
    own = outage(0)
    assert admits(own, 50)
    own.gives_back("acme", [hold(MONTH, 50)], [20])
    assert not admits(own, 31)
    assert admits(own, 30)


def test_what_the_store_was_told_of_counts_there() -> None:
    standings = Standings()
    standings.heard("acme", (Standing("month", 0, 0),))
    own = Outage("open", 2, standings)
    assert admits(own, 50)
    own.gives_back("acme", [hold(MONTH, 50)], [20])
    own.told("acme", [Charge("month", 20, None)])
    standings.heard("acme", (Standing("month", 20, 0),))
    assert not admits(own, 41)
    assert admits(own, 40)


def test_what_the_store_was_not_told_of_yet_counts_in_the_next_outage() -> None:
    own = outage(0)
    own.began(10.0)
    assert admits(own, 50)
    own.over()
    assert not admits(own, 1), "the request is still under way, and no store knows of it"


@given(
    st.integers(1, 5),
    st.integers(0, 120),
    st.integers(0, 60),
    st.lists(
        st.tuples(st.integers(0, 60), st.floats(0, 1), st.sampled_from(["runs", "ends", "told", "back"])), max_size=25
    ),
)
def test_no_replica_ever_spends_more_than_its_share(
    replicas: int, spent: int, reserved: int, requests: list[tuple[int, float, str]]
) -> None:
    standings = Standings()
    standings.heard("acme", (Standing("month", spent, reserved),))
    own = Outage("open", replicas, standings)
    share = max(0, 100 - spent - reserved) // replicas
    held = untold = 0
    for amount, part, becomes in requests:
        own.began(10.0)
        fits = held + untold + amount <= share
        assert admits(own, amount) == fits
        assert held + untold <= 100 // replicas
        if becomes == "back":
            own.over()
        if not fits:
            continue
        held += amount
        if becomes in ("ends", "told"):
            charged = int(amount * part)
            own.gives_back("acme", [hold(MONTH, amount)], [charged])
            held, untold = held - amount, untold + charged
            if becomes == "told":
                own.told("acme", [Charge("month", charged, None)])
                spent, untold = spent + charged, untold - charged
                standings.heard("acme", (Standing("month", spent, reserved),))
                share = max(0, 100 - spent - reserved) // replicas
