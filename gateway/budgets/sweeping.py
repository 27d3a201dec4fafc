"""Reservations renewed while their requests live, charged when their process died; the ledger pruned."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gateway.budgets.admission import Admission
from gateway.store.contract import Store, StoreUnavailableError
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
