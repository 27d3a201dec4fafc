"""Reserving, settling, expiring, renewing and repeating in any order: each store does as a simple model does."""

import asyncio
import tempfile
from collections import Counter
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from gateway.store.contract import Charge, Granted, Hold, Refused, Reservation, Settled, Settlement, Standing, Store
from gateway.store.entries import State
from tests.gateway.store.cases import NOW, entry, ledger
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
