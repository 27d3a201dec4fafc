"""Reserving, settling, expiring, renewing and repeating in any order: each store does as a simple model does."""

import asyncio
import tempfile
from collections import Counter
from collections.abc import Coroutine, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from gateway.store import sqlite_allowance
from gateway.store.contract import Charge, Granted, Hold, Refused, Reservation, Settled, Settlement, Standing, Store
from gateway.store.entries import Entry, State
from tests.gateway.store.cases import NOW, entry, ledger
from tests.gateway.store.leasing import Clock, allowance, in_file, journal_files, leased, opened, reservations, rows
from tests.gateway.store.stores import STORES

T = TypeVar("T")

LIMITS = {"usd": 30, "tokens": 50, "requests": 4}
IDS = st.tuples(st.sampled_from(["acme", "other"]), st.sampled_from([f"r{number}" for number in range(5)]))
AMOUNTS = st.integers(0, 20)
HOLDS = st.dictionaries(st.sampled_from(sorted(LIMITS)), st.tuples(AMOUNTS, AMOUNTS), max_size=3)
CHARGES = st.dictionaries(st.sampled_from(sorted(LIMITS)), AMOUNTS, max_size=3)
SECONDS = st.integers(1, 50)

Key = tuple[str, str]  # team and id, or team and counter


@dataclass
class Model:
    """What a store should hold."""

    spent: Counter[Key] = field(default_factory=Counter)
    reserved: Counter[Key] = field(default_factory=Counter)
    live: dict[Key, Reservation] = field(default_factory=dict)
    lapsed: dict[Key, Reservation] = field(default_factory=dict)
    settled: set[Key] = field(default_factory=set)
    overcharged: set[Key] = field(default_factory=set)  # counters that were charged more than was held

    def standings(self, team: str, counters: list[str]) -> tuple[Standing, ...]:
        return tuple(Standing(name, self.spent[team, name], self.reserved[team, name]) for name in counters)

    def reserve(self, asked: Reservation) -> Granted | Refused:
        key, names = (asked.team, asked.id), [hold.counter for hold in asked.holds]
        if key not in self.live and key not in self.lapsed and key not in self.settled:
            for place, hold in enumerate(asked.holds):
                at = (asked.team, hold.counter)
                if self.spent[at] + self.reserved[at] + hold.amount > hold.limit:
                    return Refused(place, self.standings(asked.team, names))
            self.live[key] = asked
            self.reserved.update({(asked.team, hold.counter): hold.amount for hold in asked.holds})
        return Granted(self.standings(asked.team, names))

    def settle(self, made: Settlement) -> Settled:
        key, names = (made.team, made.id), [charge.counter for charge in made.charges]
        if key in self.settled:
            return Settled(applied=False, before=(), standings=())
        before = tuple(self.spent[made.team, name] for name in names)
        held: dict[str, int] = {}
        if freed := self.live.pop(key, None):
            held = {hold.counter: hold.amount for hold in freed.holds}
            self.reserved.subtract({(made.team, name): amount for name, amount in held.items()})
        if charged := self.lapsed.pop(key, None):
            held = {hold.counter: hold.lapsed for hold in charged.holds}
            self.spent.subtract({(made.team, name): amount for name, amount in held.items()})
        for charge in made.charges:
            self.charge((made.team, charge.counter), charge.amount, held.get(charge.counter, 0))
        self.settled.add(key)
        return Settled(True, before, self.standings(made.team, names))

    def charge(self, counter: Key, amount: int, held: int) -> None:
        self.spent[counter] += amount
        if amount > held:
            self.overcharged.add(counter)

    def expire(self, now: float) -> set[Key]:
        gone = {key: made for key, made in self.live.items() if made.expires <= now}
        for key, made in gone.items():
            del self.live[key]
            self.lapsed[key] = made
            for hold in made.holds:
                self.reserved[made.team, hold.counter] -= hold.amount
                self.charge((made.team, hold.counter), hold.lapsed, hold.amount)
        return set(gone)

    def renew(self, keys: list[Key], expires: float) -> None:
        for key in keys:
            if made := self.live.get(key):
                later = max(made.expires, expires)
                self.live[key] = Reservation(made.id, made.team, made.holds, later, made.entry)


class Interleaving(RuleBasedStateMachine):
    """A store and the model, side by side."""

    name = "sqlite"

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.model = Model()
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        folder = self.stack.enter_context(tempfile.TemporaryDirectory())
        self.store: Store = self.run(self.stack.enter_async_context(STORES[self.name](Path(folder))))

    def run(self, call: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(call)

    def teardown(self) -> None:
        self.run(self.stack.aclose())
        self.runner.close()

    @initialize()
    def is_empty(self) -> None:
        assert self.run(ledger(self.store)) == []

    @rule(key=IDS, holds=HOLDS, seconds=SECONDS)
    def reserve(self, key: Key, holds: dict[str, tuple[int, int]], seconds: int) -> None:
        taken = tuple(Hold(name, amount, LIMITS[name], lapsed, None) for name, (amount, lapsed) in holds.items())
        team, id_ = key
        asked = Reservation(id_, team, taken, self.now + seconds, entry(id_, team=team))
        assert self.run(self.store.reserve(asked)) == self.model.reserve(asked)

    @rule(key=IDS, charges=CHARGES)
    def settle(self, key: Key, charges: dict[str, int]) -> None:
        team, id_ = key
        made = Settlement(
            id_, team, tuple(Charge(name, amount, None) for name, amount in charges.items()), entry(id_, team=team)
        )
        assert self.run(self.store.settle(made)) == self.model.settle(made)

    @rule(seconds=SECONDS)
    def expire(self, seconds: int) -> None:
        self.now += seconds
        found = self.run(self.store.expire(self.now))
        assert {(lapsed.team, lapsed.id) for lapsed in found} == self.model.expire(self.now)

    @rule(keys=st.lists(IDS, max_size=4), seconds=SECONDS)
    def renew(self, keys: list[Key], seconds: int) -> None:
        by_team: dict[str, list[str]] = {}
        for team, id_ in keys:
            by_team.setdefault(team, []).append(id_)
        self.run(self.store.renew(by_team, self.now + seconds))
        self.model.renew(keys, self.now + seconds)

    @invariant()
    def standings_are_the_model_s(self) -> None:
        for team in ("acme", "other"):
            found = self.run(self.store.standings(team, list(LIMITS)))
            assert found == self.model.standings(team, list(LIMITS))
            for standing in found:
                if (team, standing.counter) not in self.model.overcharged:
                    assert standing.spent + standing.reserved <= LIMITS[standing.counter]

    @invariant()
    def entries_are_the_model_s(self) -> None:
        found = {(made.team, made.id): made.state for made in self.run(ledger(self.store))}
        lapsed = dict.fromkeys(self.model.lapsed, State.UNSETTLED)
        assert found == lapsed | dict.fromkeys(self.model.settled, State.SETTLED)
        assert {(made.team, made.id) for made in self.run(self.store.unsettled())} == set(lapsed)


@pytest.mark.parametrize("name", STORES)
def test_any_order_does_as_the_model_does(name: str) -> None:
    machine = type("Interleaving", (Interleaving,), {"name": name})
    run_state_machine_as_test(machine, settings=settings(max_examples=40, stateful_step_count=30, deadline=None))


LIMIT = 10_000  # much can be leased while requests are small, and a few large ones use it up
SIZES = st.one_of(st.integers(0, 20), st.integers(0, 20), st.integers(300, 3000))
EITHER = st.sampled_from([0, 1])


@dataclass(frozen=True)
class Under:
    """A request under way: the store that reserved it, which is None where that was closed, and what it holds."""

    store: int | None
    asked: Reservation

    @property
    def amount(self) -> int:
        return self.asked.holds[0].amount


class Sharing(RuleBasedStateMachine):
    """Two stores on one file, which lease and give back; only what is in the file counts."""

    def __init__(self) -> None:
        super().__init__()
        self.now, self.clock, self.number = NOW, Clock(), 0
        self.spent, self.ids = 0, 0
        self.under: dict[str, Under] = {}
        self.lapsed: dict[str, Under] = {}
        self.charged: dict[str, int] = {}  # when they lapsed
        self.late = False  # whether one was settled for more than it was charged when it lapsed
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "gateway.db"
        self.stores = [self.run(opened(self.path, self.clock)) for _ in range(2)]

    def run(self, call: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(call)

    def teardown(self) -> None:
        try:
            self.ends_even()
        finally:
            for store in self.stores:
                self.run(store.close())
            self.runner.close()
            self.folder.cleanup()

    def ends_even(self) -> None:
        for id_ in [id_ for id_, own in self.under.items() if own.store is not None]:
            self.finish(id_, 0)
        self.lapse(self.run(self.stores[0].expire(self.now + 10**6)))
        assert not self.under
        for store in self.stores:
            self.run(store.close())
        assert in_file(self.path) == (self.spent, 0)
        assert (leased(self.path), journal_files(self.path)) == (0, [])
        assert rows(self.path, "SELECT count(*) FROM ledger") == [(self.ids,)]

    @rule(by=EITHER, amounts=st.lists(SIZES, min_size=1, max_size=6), seconds=SECONDS, at_once=st.booleans())
    def reserve(self, by: int, amounts: list[int], seconds: int, at_once: bool) -> None:
        asked = []
        for amount in amounts:
            self.number += 1
            id_ = f"r{self.number}"
            held = (Hold("usd", amount, LIMIT, amount // 2, None),)
            asked.append(Reservation(id_, "acme", held, self.now + seconds, entry(id_)))
        for some in [asked] if at_once else [[one] for one in asked]:
            self.ask(by, some)

    def ask(self, by: int, asked: list[Reservation]) -> None:
        async def together() -> list[Granted | Refused]:
            return await asyncio.gather(*map(self.stores[by].reserve, asked))

        for own, answer in zip(asked, self.run(together()), strict=True):
            if isinstance(answer, Granted):
                self.under[own.id] = Under(by, own)
                self.ids += 1

    @rule(which=st.lists(st.tuples(st.integers(0, 99), st.integers(0, 4)), min_size=1, max_size=8))
    def settle(self, which: list[tuple[int, int]]) -> None:
        for place, quarters in which:
            if mine := [id_ for id_, own in (*self.under.items(), *self.lapsed.items()) if own.store is not None]:
                self.finish(mine[place % len(mine)], quarters)

    def finish(self, id_: str, quarters: int) -> None:
        """Settle a request for a part of what it held."""
        own = self.under.pop(id_, None) or self.lapsed.pop(id_)
        assert own.store is not None
        charge = own.amount * quarters // 4
        if id_ in self.charged:
            taken_back = self.charged.pop(id_)
            self.spent -= taken_back
            self.late |= charge > taken_back
        made = Settlement(id_, "acme", (Charge("usd", charge, None),), entry(id_))
        assert self.run(self.stores[own.store].settle(made)).applied
        assert not self.run(self.stores[own.store].settle(made)).applied
        self.spent += charge

    @rule(by=EITHER, seconds=st.integers(1, 120))
    def expire(self, by: int, seconds: int) -> None:
        self.now += seconds
        self.lapse(self.run(self.stores[by].expire(self.now)))

    def lapse(self, found: Iterable[Entry]) -> None:
        for gone in found:
            own = self.under.pop(gone.id)
            self.lapsed[gone.id] = own
            self.charged[gone.id] = own.asked.holds[0].lapsed
            self.spent += own.asked.holds[0].lapsed

    @rule(by=EITHER, seconds=SECONDS)
    def renew(self, by: int, seconds: int) -> None:
        mine = [id_ for id_, own in self.under.items() if own.store == by]
        self.run(self.stores[by].renew({"acme": mine}, self.now + seconds))

    @rule(by=EITHER, again=st.booleans())
    def idle(self, by: int, again: bool) -> None:
        async def ticks() -> None:
            for _ in range(6 if again else 1):
                if (timer := allowance(self.stores[by])._timer) is not None:
                    timer.cancel()
                allowance(self.stores[by])._tick()
                await self.stores[by].renew({}, 0.0)  # it has been done, then

        self.clock.now += 30 if again else 0.3
        self.run(ticks())

    @rule(by=EITHER)
    def restart(self, by: int) -> None:
        self.run(self.stores[by].close())
        self.stores[by] = self.run(opened(self.path, self.clock))
        for id_, own in self.under.items():
            if own.store == by:
                self.under[id_] = Under(None, own.asked)

    @invariant()
    def the_file_is_true(self) -> None:
        for store in self.stores:
            self.run(store.renew({}, 0.0))  # what was handed in before is done, then
        spent, reserved = in_file(self.path)
        held = sum(own.amount for own in self.under.values())
        assert spent == self.spent
        assert held <= reserved
        rowed = sum(self.under[id_].amount for id_ in reservations(self.path))
        assert reserved == rowed + leased(self.path)

    @invariant()
    def the_limit_holds(self) -> None:
        # A settlement after the reservation had lapsed may charge more than was held for it then.
        if not self.late:
            assert sum(in_file(self.path)) <= LIMIT


def test_stores_that_share_a_file_lease_without_ever_passing_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    # Ticks come where the machine says so: what a busy one does, and when, would be no two times the same.
    monkeypatch.setattr(sqlite_allowance, "_TICK_S", 10**6)
    monkeypatch.setattr(sqlite_allowance, "_PAUSES_S", (0.0, 0.0))
    run_state_machine_as_test(Sharing, settings=settings(max_examples=30, stateful_step_count=40, deadline=None))
