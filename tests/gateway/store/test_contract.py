"""Sentence by sentence, what a store promises; on each store."""

import asyncio

from gateway.store.contract import Change, Granted, Kind, Refused, Settled, Standing, Store
from gateway.store.entries import State
from tests.gateway.store.cases import NOW, TEAM, entry, hold, ledger, put, reservation, settlement, state


async def test_all_holds_are_taken_and_the_standings_are_in_their_order(store: Store) -> None:
    await store.settle(settlement("r0", ("tokens", 3)))
    granted = await store.reserve(reservation("r1", hold("usd", 10), hold("tokens", 20)))
    assert granted == Granted((Standing("usd", 0, 10), Standing("tokens", 3, 20)))
    assert await state(store, "tokens") == (3, 20)


async def test_what_does_not_fit_takes_nothing_and_the_first_such_hold_is_told(store: Store) -> None:
    await store.reserve(reservation("r0", hold("b", 95), hold("c", 95)))
    refused = await store.reserve(reservation("r1", hold("a", 10), hold("b", 6), hold("c", 6)))
    assert refused == Refused(1, (Standing("a", 0, 0), Standing("b", 0, 95), Standing("c", 0, 95)))
    assert [await state(store, counter) for counter in "abc"] == [(0, 0), (0, 95), (0, 95)]


async def test_a_hold_that_reaches_the_limit_fits_and_one_more_does_not(store: Store) -> None:
    await store.settle(settlement("r0", ("usd", 40)))
    await store.reserve(reservation("r1", hold(amount=50)))
    assert isinstance(await store.reserve(reservation("r2", hold(amount=11))), Refused)
    assert await store.reserve(reservation("r2", hold(amount=10))) == Granted((Standing("usd", 40, 60),))
    assert isinstance(await store.reserve(reservation("r3", hold(amount=1))), Refused)


async def test_of_a_counter_over_its_limit_not_even_nothing_can_be_held(store: Store) -> None:
    await store.settle(settlement("r0", ("usd", 101)))
    assert isinstance(await store.reserve(reservation("r1", hold(amount=0))), Refused)
    assert isinstance(await store.reserve(reservation("r1", hold(amount=0, limit=101))), Granted)


async def test_two_holds_of_one_counter_must_fit_together(store: Store) -> None:
    refused = await store.reserve(reservation("r1", hold(amount=60), hold(amount=60)))
    assert refused == Refused(1, (Standing("usd", 0, 0), Standing("usd", 0, 0)))
    granted = await store.reserve(reservation("r1", hold(amount=60), hold(amount=40)))
    assert granted == Granted((Standing("usd", 0, 100), Standing("usd", 0, 100)))
    await store.settle(settlement("r1"))
    assert await state(store) == (0, 0)


async def test_a_reservation_may_hold_nothing(store: Store) -> None:
    assert await store.reserve(reservation("r1")) == Granted(())
    assert (await store.expire(NOW + 61))[0].state is State.UNSETTLED


async def test_large_amounts_are_exact(store: Store) -> None:
    large = 9_000_000_000_000_001  # nano-USD; not a number of 53 bits, as Lua's are
    await store.settle(settlement("r0", ("usd", large)))
    assert await store.reserve(reservation("r1", hold(amount=1, limit=large))) == Refused(
        0, (Standing("usd", large, 0),)
    )
    assert await store.reserve(reservation("r1", hold(amount=1, limit=large + 1))) == Granted(
        (Standing("usd", large, 1),)
    )


async def test_the_same_reservation_again_is_granted_and_takes_nothing(store: Store) -> None:
    await store.reserve(reservation("r1", hold(amount=60)))
    assert await store.reserve(reservation("r1", hold(amount=60))) == Granted((Standing("usd", 0, 60),))
    assert await state(store) == (0, 60)


async def test_a_reservation_that_was_settled_is_granted_and_takes_nothing(store: Store) -> None:
    await store.reserve(reservation("r1", hold(amount=60)))
    await store.settle(settlement("r1", ("usd", 7)))
    assert await store.reserve(reservation("r1", hold(amount=60))) == Granted((Standing("usd", 7, 0),))
    assert await state(store) == (7, 0)


async def test_a_reservation_that_expired_is_granted_and_takes_nothing(store: Store) -> None:
    await store.reserve(reservation("r1", hold(amount=60)))
    await store.expire(NOW + 61)
    assert await store.reserve(reservation("r1", hold(amount=60))) == Granted((Standing("usd", 60, 0),))
    assert await store.expire(NOW + 999) == ()


async def test_one_that_was_refused_may_be_asked_for_again(store: Store) -> None:
    await store.reserve(reservation("r0", hold(amount=60)))
    assert isinstance(await store.reserve(reservation("r1", hold(amount=60))), Refused)
    await store.settle(settlement("r0"))
    assert await store.reserve(reservation("r1", hold(amount=60))) == Granted((Standing("usd", 0, 60),))


async def test_a_settlement_frees_charges_and_writes_the_entry(store: Store) -> None:
    await store.settle(settlement("r0", ("usd", 3)))
    await store.reserve(reservation("r1", hold("usd", 50), hold("tokens", 20)))
    settled = await store.settle(settlement("r1", ("usd", 31), ("tokens", 9), status=200))
    assert settled == Settled(True, (3, 0), (Standing("usd", 34, 0), Standing("tokens", 9, 0)))
    assert (await ledger(store))[1] == entry("r1", status=200)
    assert await store.unsettled() == ()


async def test_counters_held_but_not_charged_are_freed(store: Store) -> None:
    await store.reserve(reservation("r1", hold("usd", 50), hold("requests", 1)))
    assert (await store.settle(settlement("r1", ("usd", 5)))).standings == (Standing("usd", 5, 0),)
    assert await state(store, "requests") == (0, 0)


async def test_a_settlement_may_charge_more_than_was_held(store: Store) -> None:
    await store.reserve(reservation("r1", hold(amount=50)))
    assert (await store.settle(settlement("r1", ("usd", 500)))).standings == (Standing("usd", 500, 0),)


async def test_the_same_settlement_again_changes_nothing(store: Store) -> None:
    await store.reserve(reservation("r1", hold(amount=50)))
    await store.settle(settlement("r1", ("usd", 5), output=1))
    again = await store.settle(settlement("r1", ("usd", 6), output=2))
    assert again == Settled(applied=False, before=(), standings=())
    assert await state(store) == (5, 0)
    assert [found.output for found in await ledger(store)] == [1]


async def test_without_a_reservation_charges_and_entry_are_made_all_the_same(store: Store) -> None:
    settled = await store.settle(settlement("r1", ("usd", 5)))
    assert settled == Settled(True, (0,), (Standing("usd", 5, 0),))
    assert await ledger(store) == [entry("r1")]
    assert not (await store.settle(settlement("r1", ("usd", 5)))).applied


async def test_several_are_settled_at_once_and_each_has_its_own_answer(store: Store) -> None:
    await store.reserve(reservation("r1", hold(amount=50)))
    await store.reserve(reservation("r2", hold(amount=50), team="other"))
    await store.settle(settlement("r0", ("usd", 1)))
    several = [
        settlement("r1", ("usd", 2)), settlement("r0", ("usd", 1)), settlement("r2", ("usd", 3), team="other"),
        settlement("r3", ("usd", 4)), settlement("r1", ("usd", 2)),
    ]  # fmt: skip
    assert await store.settle_all(several) == (
        Settled(True, (1,), (Standing("usd", 3, 0),)),
        Settled(False, (), ()),
        Settled(True, (0,), (Standing("usd", 3, 0),)),
        Settled(True, (3,), (Standing("usd", 7, 0),)),
        Settled(False, (), ()),
    )
    assert await store.settle_all([]) == ()
    assert len(await ledger(store)) == 4


async def test_what_expires_is_charged_as_lapsed_and_its_entry_is_unsettled(store: Store) -> None:
    await store.reserve(reservation("r1", hold("usd", 50, lapsed=30), hold("requests", 1, lapsed=0), model="m"))
    (lapsed,) = await store.expire(NOW + 60)
    assert lapsed == entry("r1", model="m", state=State.UNSETTLED)
    assert await store.unsettled() == (lapsed,)
    assert await ledger(store) == [lapsed]
    assert [await state(store, counter) for counter in ("usd", "requests")] == [(30, 0), (0, 0)]


async def test_what_has_not_expired_stays(store: Store) -> None:
    await store.reserve(reservation("r1", hold(), expires=NOW + 60))
    await store.reserve(reservation("r2", hold(), expires=NOW + 61))
    assert [lapsed.id for lapsed in await store.expire(NOW + 60)] == ["r1"]
    assert await store.expire(NOW + 60) == ()
    assert await state(store) == (10, 10)


async def test_many_expire_at_once(store: Store) -> None:
    many = [f"r{number}" for number in range(1200)]
    await asyncio.gather(*(store.reserve(reservation(id_, hold(amount=1, limit=9999))) for id_ in many))
    assert {lapsed.id for lapsed in await store.expire(NOW + 60)} == set(many)
    assert await state(store) == (1200, 0)


async def test_a_late_settlement_takes_back_what_was_charged_and_replaces_the_entry(store: Store) -> None:
    await store.settle(settlement("r0", ("usd", 7)))
    await store.reserve(reservation("r1", hold("usd", 50), hold("requests", 1)))
    await store.expire(NOW + 60)
    settled = await store.settle(settlement("r1", ("usd", 5), state=State.CORRECTED))
    assert settled == Settled(True, (57,), (Standing("usd", 12, 0),))
    assert await state(store, "requests") == (0, 0)
    assert await store.unsettled() == ()
    assert {found.id: found.state for found in await ledger(store)} == {"r0": State.SETTLED, "r1": State.CORRECTED}
    assert not (await store.settle(settlement("r1", ("usd", 5)))).applied


async def test_renewed_reservations_expire_later(store: Store) -> None:
    for id_ in ("r1", "r2", "r3"):
        await store.reserve(reservation(id_, hold()))
    await store.reserve(reservation("r1", hold(), team="other"))
    await store.renew({TEAM: ["r1", "r2"], "other": ["r1"]}, NOW + 120)
    assert [lapsed.id for lapsed in await store.expire(NOW + 119)] == ["r3"]
    assert {(lapsed.team, lapsed.id) for lapsed in await store.expire(NOW + 120)} == {
        (TEAM, "r1"), (TEAM, "r2"), ("other", "r1"),
    }  # fmt: skip


async def test_renewing_passes_over_those_that_are_gone(store: Store) -> None:
    await store.reserve(reservation("r1", hold()))
    await store.reserve(reservation("r2", hold()))
    await store.settle(settlement("r1"))
    await store.renew({TEAM: ["r1", "r2", "never"], "nobody": ["r2"]}, NOW + 120)
    assert await store.expire(NOW + 119) == ()
    assert await state(store) == (0, 10)


async def test_counters_and_ids_are_a_team_s_own(store: Store) -> None:
    await store.reserve(reservation("r1", hold(amount=90)))
    assert isinstance(await store.reserve(reservation("r1", hold(amount=90), team="other")), Granted)
    await store.settle(settlement("r1", ("usd", 1), team="other"))
    assert (await state(store), await state(store, team="other")) == ((0, 90), (1, 0))


async def test_names_may_hold_anything(store: Store) -> None:
    team, counter, id_ = "a{b}:c é\n", "usd:{key}:'x\" *?[]", "req {1}:\t"
    await store.reserve(reservation(id_, hold(counter), team=team))
    assert await state(store, counter, team) == (0, 10)
    assert [found.id for found in await store.expire(NOW + 60)] == [id_]
    assert (await store.settle(settlement(id_, (counter, 1), team=team))).applied
    assert [found.team for found in await ledger(store, team=team)] == [team]


async def test_standings_are_in_the_order_asked_for_and_an_unused_counter_is_at_0(store: Store) -> None:
    await store.settle(settlement("r1", ("usd", 5)))
    assert await store.standings(TEAM, ["never", "usd"]) == (Standing("never", 0, 0), Standing("usd", 5, 0))
    assert await store.standings(TEAM, []) == ()


async def test_concurrent_reservations_never_pass_the_limit(store: Store) -> None:
    asked = [store.reserve(reservation(f"r{number}", hold(amount=7), hold("all", 7, 9999))) for number in range(50)]
    outcomes = await asyncio.gather(*asked)
    assert sum(isinstance(outcome, Granted) for outcome in outcomes) == 14
    assert [await state(store, counter) for counter in ("usd", "all")] == [(0, 98), (0, 98)]


async def test_concurrent_settlements_of_one_request_are_applied_once(store: Store) -> None:
    await store.reserve(reservation("r1", hold()))
    outcomes = await asyncio.gather(*(store.settle(settlement("r1", ("usd", 3))) for _ in range(20)))
    assert sum(outcome.applied for outcome in outcomes) == 1
    assert await state(store) == (3, 0)


async def test_unsettled_entries_are_oldest_first_and_of_a_team_where_one_is_named(store: Store) -> None:
    for id_, team, at in (("r1", TEAM, NOW + 2), ("r2", TEAM, NOW + 1), ("r3", "other", NOW)):
        await store.reserve(reservation(id_, team=team, time=at))
    await store.expire(NOW + 60)
    assert [found.id for found in await store.unsettled()] == ["r3", "r2", "r1"]
    assert [found.id for found in await store.unsettled(TEAM)] == ["r2", "r1"]


async def test_documents_are_kept_by_kind_and_name(store: Store) -> None:
    await put(store, Kind.TEAM, "acme", b"{}")
    await put(store, Kind.KEY, "acme", b"\x00\xff")
    await put(store, Kind.TEAM, "other", b"")
    assert await store.documents(Kind.TEAM) == {"acme": b"{}", "other": b""}
    assert await store.documents(Kind.KEY) == {"acme": b"\x00\xff"}


async def test_a_document_is_replaced_and_removed(store: Store) -> None:
    await put(store, Kind.TEAM, "acme", b"1")
    await put(store, Kind.TEAM, "acme", b"2")
    assert await store.documents(Kind.TEAM) == {"acme": b"2"}
    await put(store, Kind.TEAM, "acme", None)
    await put(store, Kind.TEAM, "never", None)
    assert await store.documents(Kind.TEAM) == {}


async def test_the_version_changes_with_documents_and_with_nothing_else(store: Store) -> None:
    versions = [await store.version()]
    for document in (b"1", b"2", None):
        await put(store, Kind.KEY, "k", document)
        versions.append(await store.version())
    assert len(set(versions)) == 4
    await store.settle(settlement("r1", ("usd", 1)))
    await store.touch()
    assert await store.version() == versions[-1]


async def test_documents_change_together_and_only_where_nobody_changed_them_since(store: Store) -> None:
    before = await store.version()
    assert await store.change([Change(Kind.TEAM, "a", b"1"), Change(Kind.KEY, "k", b"")], before)
    for late in (before, before + 12345):
        assert not await store.change([Change(Kind.TEAM, "a", None), Change(Kind.TEAM, "b", b"2")], late)
    assert await store.documents(Kind.TEAM) == {"a": b"1"}
    assert await store.change([Change(Kind.TEAM, "a", None), Change(Kind.KEY, "j", b"2")], await store.version())
    assert (await store.documents(Kind.TEAM), await store.documents(Kind.KEY)) == ({}, {"k": b"", "j": b"2"})


async def test_of_many_changes_at_once_one_is_made(store: Store) -> None:
    version = await store.version()
    changes = [[Change(Kind.TEAM, "race", b"%d" % number)] for number in range(20)]
    done = await asyncio.gather(*(store.change(change, version) for change in changes))
    assert done.count(True) == 1
    assert await store.documents(Kind.TEAM) == {"race": b"%d" % done.index(True)}


async def test_closing_finishes_what_was_handed_in(store: Store) -> None:
    asked = [asyncio.create_task(store.settle(settlement(f"r{number}", ("usd", 1)))) for number in range(100)]
    await asyncio.sleep(0)
    await store.close()
    assert [settled.applied for settled in await asyncio.gather(*asked)] == [True] * 100


async def test_a_caller_that_is_cancelled_harms_no_other(store: Store) -> None:
    asked = [asyncio.create_task(store.reserve(reservation(f"r{number}", hold(amount=1)))) for number in range(20)]
    await asyncio.sleep(0)
    asked[3].cancel()
    outcomes = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes].count(Granted) == 19
    assert (await state(store))[1] in {19, 20}  # whether it took effect is not known
