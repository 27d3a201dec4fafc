"""Counters within a transaction."""

from gateway.store.contract import Charge, Hold, Standing
from gateway.store.sqlite_counters import Counter, held_by, standings_of, take
from tests.gateway.store.cases import NOW, hold


def test_holds_are_taken_all_at_once() -> None:
    counters = [Counter(50, 40, None), Counter(0, 0, None)]
    assert take((hold("usd", 10, 100), Hold("tokens", 5, 5, 5, NOW)), counters) is None
    assert counters == [Counter(50, 50, None, changed=True), Counter(0, 5, NOW, changed=True)]


def test_where_one_does_not_fit_none_is_taken_and_its_place_is_told() -> None:
    counters = [Counter(0, 0, 1.0), Counter(0, 3, 1.0), Counter(9, 9, 1.0), Counter(100, 0, 1.0)]
    holds = (hold("a", 10), hold("b", 5), hold("c", 83), hold("d", 1))
    assert take(holds, counters) == 2
    assert counters == [Counter(0, 0, 1.0), Counter(0, 3, 1.0), Counter(9, 9, 1.0), Counter(100, 0, 1.0)]


def test_nothing_is_needed_for_no_holds() -> None:
    assert take((), ()) is None


def test_a_charge_moves_what_is_spent_and_how_long_it_is_kept() -> None:
    counter = Counter(5, 2, None)
    counter.charge(7, NOW)
    assert counter == Counter(12, 2, NOW, changed=True)


def test_standings_and_what_is_held_are_in_the_order_of_the_holds() -> None:
    holds = (hold("usd", 10, 100, lapsed=4), Hold("tokens", 5, 5, 5, NOW))
    assert held_by(holds) == (("usd", 10, 4, None), ("tokens", 5, 5, NOW))
    counters = [Counter(1, 2, None), Counter(3, 4, None)]
    assert standings_of(holds, counters) == (Standing("usd", 1, 2), Standing("tokens", 3, 4))
    assert standings_of([Charge("other", 1, None)], counters[:1]) == (Standing("other", 1, 2),)
