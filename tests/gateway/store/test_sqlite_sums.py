"""Sums over settlements: what each counter is charged, and by how much its lease shrinks."""

from gateway.store.contract import Charge
from gateway.store.sqlite_sums import Sum, Sums
from tests.gateway.store.cases import NOW, TEAM, hold, reservation, settlement

NONE: frozenset[tuple[str, str]] = frozenset()
USD, TOKENS, OTHERS = (TEAM, "usd"), (TEAM, "tokens"), ("other", "usd")


def test_settlements_of_one_counter_add_up_and_the_last_says_so() -> None:
    sums = Sums()
    sums.add(
        0, settlement("r1", ("usd", 4), ("tokens", 7)), reservation("r1", hold("usd", 10), hold("tokens", 9)), NONE
    )
    sums.add(3, settlement("r2", ("usd", 2)), reservation("r2", hold("usd", 10)), NONE)
    sums.add(5, settlement("r3", ("usd", 1), team="other"), reservation("r3", hold("usd", 10), team="other"), NONE)
    assert dict(sums.take()) == {USD: Sum(6, 6, None, 3), TOKENS: Sum(7, 7, None, 0), OTHERS: Sum(1, 1, None, 5)}
    assert list(sums.take()) == []


def test_a_lease_shrinks_by_no_more_than_was_held_of_it() -> None:
    sums = Sums()
    sums.add(0, settlement("r1", ("usd", 25), ("late", 3)), reservation("r1", hold("usd", 10)), NONE)
    assert dict(sums.take()) == {USD: Sum(25, 10, None, 0), (TEAM, "late"): Sum(3, 0, None, 0)}


def test_what_others_want_back_shrinks_by_all_that_was_held() -> None:
    sums = Sums()
    sums.add(0, settlement("r1", ("usd", 4)), reservation("r1", hold("usd", 10), hold("tokens", 9)), frozenset([USD]))
    assert dict(sums.take()) == {USD: Sum(4, 10, None, 0), TOKENS: Sum()}  # the other one is held and not charged


def test_a_counter_is_kept_as_long_as_the_last_says() -> None:
    sums, of = Sums(), reservation("r1", hold("usd"))
    for place, until in enumerate((NOW, NOW + 5)):
        made = settlement("r1")
        sums.add(place, type(made)(made.id, made.team, (Charge("usd", 1, until),), made.entry), of, NONE)
    assert dict(sums.take()) == {USD: Sum(2, 2, NOW + 5, 1)}
