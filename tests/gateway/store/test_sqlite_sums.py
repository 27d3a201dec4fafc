"""Sums over settlements: what each counter is charged, and by how much its lease shrinks."""

from gateway.store.contract import Charge
from gateway.store.sqlite_sums import Finished, Sum, Sums, row
from tests.gateway.store.cases import NOW, TEAM, settlement

USD, TOKENS, OTHERS = (TEAM, "usd"), (TEAM, "tokens"), ("other", "usd")


def test_settlements_of_one_counter_add_up_and_the_last_says_so() -> None:
    sums = Sums()
    sums.add(0, settlement("r1", ("usd", 4), ("tokens", 7)), (("usd", 4), ("tokens", 7)))
    sums.add(3, settlement("r2", ("usd", 2)), (("usd", 2),))
    sums.add(5, settlement("r3", ("usd", 1), team="other"), (("usd", 1),))
    expected = {USD: Sum(6, 6, None, 3), TOKENS: Sum(7, 7, None, 0), OTHERS: Sum(1, 1, None, 5)}
    assert dict(sums.all) == expected
    assert dict(sums.take()) == expected
    assert list(sums.take()) == list(sums.all) == []


def test_what_is_charged_and_what_leases_shrink_by_are_two_sums() -> None:
    sums = Sums()
    sums.add(0, settlement("r1", ("usd", 25), ("late", 3)), (("usd", 10), ("tokens", 0)))
    assert dict(sums.take()) == {USD: Sum(25, 10, None, 0), (TEAM, "late"): Sum(3, 0, None, 0), TOKENS: Sum()}


def test_a_counter_is_kept_as_long_as_the_last_says() -> None:
    sums = Sums()
    for place, until in enumerate((NOW, NOW + 5)):
        made = settlement("r1")
        sums.add(place, type(made)(made.id, made.team, (Charge("usd", 1, until),), made.entry), (("usd", 1),))
    assert dict(sums.take()) == {USD: Sum(2, 2, NOW + 5, 1)}


def test_what_is_all_the_worker_s_own_is_made_ready_for_the_file() -> None:
    first, second = settlement("r1", ("usd", 4)), settlement("r2", ("usd", 2))
    ready = Finished.of([(first, (("usd", 4),)), (second, (("usd", 2),))])
    assert ready.rows == {(TEAM, "r1"): row(first), (TEAM, "r2"): row(second)}
    assert dict(ready.sums) == {USD: Sum(6, 6, None, 1)}
    assert row(first)[:3] == ("r1", NOW, TEAM)
    mixed = Finished.of([(first, (("usd", 4),)), (second, None)])
    assert (mixed.rows, list(mixed.sums), len(mixed.settlements)) == ({}, [], 2)
