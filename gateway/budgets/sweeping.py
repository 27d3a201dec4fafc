"""Reservations renewed while their requests live, charged when their process died; the ledger pruned."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gateway.budgets.admission import Admission
from gateway.budgets.limits import Limit
from gateway.budgets.standing import Reached, Standings, reached
from gateway.store.contract import Settled, Store, StoreUnavailableError
from gateway.store.entries import Entry

_PRUNE_S = 3600.0
_DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Sweeper:
    """Looks after the reservations of this process, and after those that no process looks after any more."""

    store: Store
    admission: Admission
    reservation_s: float
    retention_days: int
    expired: Callable[[Sequence[Entry]], None]
    limits: Callable[[Entry], Sequence[Limit]]  # those on which the entry was reserved
    reached: Callable[[Reached], None]
    standings: Standings
    clock: Callable[[], float] = time.time
    failed: Callable[[Exception], None] = lambda _error: None

    async def run(self) -> None:
        """Sweep three times in the life of a reservation, for ever; a store that is away is asked again later.

        What else goes wrong is told to `failed`, once until a sweep succeeds again.
        """
        pruned, failing = 0.0, False
        while True:
            try:
                await self.sweep()
                if self.clock() - pruned > _PRUNE_S:
                    pruned = self.clock()
                    await self.store.prune(pruned - self.retention_days * _DAY_S)
                failing = False
            except StoreUnavailableError:
                self.admission.outage.began(self.clock())  # Said by the store's breaker already.
            except Exception as error:  # noqa: BLE001 - were this to end, what lives would be charged as dead
                if not failing:
                    self.failed(error)
                failing = True
            await asyncio.sleep(self.reservation_s / 3)

    async def sweep(self) -> None:
        """Renew what is open here, and charge what has expired anywhere."""
        own = {team: tuple(ids) for team, ids in self.admission.open.items() if ids}
        if own:
            await self.store.renew(own, self.clock() + self.reservation_s)
        lapsed = await self.store.expire(self.clock())
        self.admission.outage.over()
        if lapsed:
            self.expired(lapsed)
            await self._announce(lapsed)

    async def _announce(self, lapsed: Sequence[Entry]) -> None:
        """Tell of the soft limits that were passed by what nobody settled."""
        limits: dict[str, dict[str, Limit]] = {}
        charged: Counter[tuple[str, str]] = Counter()
        for entry in lapsed:
            for limit in self.limits(entry):
                if limit.budget is not None and limit.budget.soft:
                    limits.setdefault(entry.team, {})[limit.counter] = limit
                    amount = limit.amount(entry.cost_nano or 0, entry.input + entry.output)
                    charged[entry.team, limit.counter] += amount
        for team, own in limits.items():
            now = await self.store.standings(team, list(own))
            before = tuple([known.spent - charged[team, known.counter] for known in now])
            for passed in reached(team, tuple(own.values()), Settled(True, before, now), self.standings):
                self.reached(passed)
