"""What a worker knows of its leases: what is free and what is used always sum up to what it has."""

import pytest

from gateway.store.contract import Settled, Standing
from gateway.store.sqlite_holder import Holder, Lease
from tests.gateway.store.cases import TEAM, hold, reservation, settlement

USD = (TEAM, "usd")


@pytest.fixture
def holder() -> Holder:
    return Holder(leases={USD: Lease(limit=100, free=50, spent=20, reserved=5)})


def test_what_fits_is_taken_and_can_be_undone() -> None:
    lease = Lease(limit=100, free=50, spent=20, reserved=5, idle=3)
    assert lease.take(hold(amount=30))
    assert lease == Lease(limit=100, free=20, used=30, spent=20, reserved=35)
    assert lease.take(hold(amount=20))
    lease.undo(hold(amount=20))
    lease.undo(hold(amount=30))
    assert lease == Lease(limit=100, free=50, spent=20, reserved=5)


@pytest.mark.parametrize("asked", [hold(amount=51), hold(amount=1, limit=99), hold(amount=1, limit=101)])
def test_what_does_not_fit_or_was_leased_under_another_limit_is_not_taken(asked: object) -> None:
    lease = Lease(limit=100, free=50, idle=3)
    assert not lease.take(asked)  # type: ignore[arg-type]
    assert lease == Lease(limit=100, free=50, idle=3)


def test_what_is_free_can_be_given_away_and_put_back(holder: Holder) -> None:
    assert (holder.take_free(USD), holder.take_free(USD), holder.take_free((TEAM, "other"))) == (50, 0, 0)
    holder.put_free(USD, 50)
    holder.put_free((TEAM, "none"), 0)
    assert {key: lease.free for key, lease in holder.leases.items()} == {USD: 50}
    del holder.leases[USD]
    holder.put_free(USD, 3)
    assert holder.leases == {USD: Lease(free=3)}


def _ended(holder: Holder, charge: int, *, applied: bool = True, stripped: frozenset[tuple[str, str]]) -> Lease:
    lease = holder.leases[USD]
    assert lease.take(hold(amount=30))
    standings = (Standing("usd", 20 + charge, 70),) if applied else ()
    settled = Settled(applied, (20,) if applied else (), standings)
    holder.end(reservation("r1", hold(amount=30)), settlement("r1", ("usd", charge)), settled, stripped)
    return lease


@pytest.mark.parametrize(("charge", "free"), [(0, 50), (10, 40), (30, 20), (99, 20)])
def test_the_lease_shrinks_by_what_was_spent_but_never_by_more_than_was_held(
    holder: Holder, charge: int, free: int
) -> None:
    lease = _ended(holder, charge, stripped=frozenset())
    assert (lease.free, lease.used) == (free, 0)
    assert (lease.spent, lease.reserved) == (20 + charge, 70 - free)


def test_what_others_want_is_not_free_again(holder: Holder) -> None:
    lease = _ended(holder, 10, stripped=frozenset([USD]))
    assert (lease.free, lease.used) == (20, 0)


@pytest.mark.parametrize("stripped", [frozenset(), frozenset([USD])])
def test_what_had_been_settled_before_spends_nothing_of_the_lease(
    holder: Holder, stripped: frozenset[tuple[str, str]]
) -> None:
    lease = _ended(holder, 10, applied=False, stripped=stripped)
    assert (lease.free, lease.used, lease.spent) == (50, 0, 20)


def test_what_is_leased_no_more_is_passed_over(holder: Holder) -> None:
    settled = Settled(True, (0, 0), (Standing("other", 1, 0), Standing("third", 2, 0)))
    holder.end(reservation("r1", hold("other")), settlement("r1", ("other", 1), ("third", 2)), settled, frozenset())
    assert holder.leases == {USD: Lease(limit=100, free=50, spent=20, reserved=5)}


def test_what_is_stripped_is_told_and_no_two_have_one_name(holder: Holder) -> None:
    holder.leases[TEAM, "tokens"] = Lease(stripped=True)
    assert holder.stripped == {(TEAM, "tokens")}
    assert Holder().name != Holder().name
