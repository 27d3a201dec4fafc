"""What a worker knows of its leases: what is free and what is used always sum up to what it has."""

import pytest

from gateway.store.contract import Standing
from gateway.store.sqlite_holder import Holder, Lease
from tests.gateway.store.cases import TEAM, hold, reservation, settlement

USD, KEY = (TEAM, "usd"), (TEAM, "r1")


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


def _ended(holder: Holder, charge: int) -> Lease:
    held = reservation("r1", hold(amount=30))
    lease = holder.leases[USD]
    assert lease.take(held.holds[0])
    holder.open[KEY] = held
    assert holder.end(settlement("r1", ("usd", charge))) is not None
    return lease


@pytest.mark.parametrize(("charge", "shrinks"), [(0, 0), (10, 10), (30, 30), (99, 30)])
def test_the_lease_shrinks_by_what_was_spent_but_never_by_more_than_was_held(
    holder: Holder, charge: int, shrinks: int
) -> None:
    lease = _ended(holder, charge)
    assert (lease.free, lease.used) == (50 - shrinks, 0)
    assert (lease.spent, lease.reserved) == (20, 5 + shrinks)  # until the file has it
    assert holder.settle(settlement("r1", ("usd", charge))) == (("usd", shrinks),)
    holder.forget(KEY, (Standing("usd", 20 + charge, 70),))
    assert (lease.spent, lease.reserved) == (20 + charge, 70 - lease.free)
    assert (holder.open, holder.ended, holder.ending) == ({}, {}, set())


def test_what_others_want_is_not_free_again(holder: Holder) -> None:
    holder.leases[USD].stripped = True
    lease = _ended(holder, 10)
    assert (lease.free, lease.used, lease.reserved) == (20, 0, 35)
    assert holder.settle(settlement("r1", ("usd", 10))) == (("usd", 30),)


def test_a_request_ends_once_and_is_on_its_way_once(holder: Holder) -> None:
    lease = _ended(holder, 10)
    assert holder.end(settlement("r1", ("usd", 3))) is None
    assert holder.settle(settlement("r1", ("usd", 3))) == (("usd", 10),)  # by what was said first
    assert holder.settle(settlement("r1", ("usd", 3))) is None
    holder.did_not_end(KEY)
    assert holder.settle(settlement("r1", ("usd", 3))) == (("usd", 10),)
    assert (lease.free, holder.doubtful) == (40, {KEY})


def test_one_that_holds_nothing_here_does_not_end_here(holder: Holder) -> None:
    assert (holder.end(settlement("r2")), holder.settle(settlement("r2"))) == (None, None)
    holder.open[TEAM, "r2"] = reservation("r2", hold("other", 7))
    assert holder.settle(settlement("r2", ("other", 1), ("third", 2))) == (("other", 7),)
    holder.forget((TEAM, "r2"), (Standing("other", 1, 0), Standing("third", 2, 0)))
    assert holder.leases == {USD: Lease(limit=100, free=50, spent=20, reserved=5)}


def test_no_two_have_one_name() -> None:
    assert Holder().name != Holder().name
