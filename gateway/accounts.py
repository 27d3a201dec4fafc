"""What belongs to callers' means, put together: the store, teams and keys, admission, settling, sweeping."""

import asyncio
import os
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from gateway import logs
from gateway.budgets.admission import Admission
from gateway.budgets.limits import Limit, Spender, limits_of
from gateway.budgets.periods import Calendar
from gateway.budgets.settling import Settling, Told
from gateway.budgets.standing import Reached, Standings
from gateway.budgets.sweeping import Sweeper
from gateway.config import WORKERS_VARIABLE, Settings
from gateway.endings import Endings
from gateway.metrics import Metrics
from gateway.pricing import PriceBook, priced
from gateway.spending import Spending
from gateway.store.contract import StoreUnavailableError
from gateway.store.entries import Entry
from gateway.stores import store_of
from gateway.teams.roster import Roster
from gateway.upstreams.candidates import Candidates

_MOST_WARNINGS = 16  # of a team that nobody has been told of yet


class Accounts:
    """The state that outlives requests, and the tasks that look after it."""

    def __init__(self, settings: Settings, config: Path | None, metrics: Metrics) -> None:
        self._metrics = metrics
        self._warnings: dict[str, deque[str]] = {}
        self._prices: Mapping[str, PriceBook] = {}
        self.endings = Endings()
        self.store = store_of(settings, config, self._store_changed)
        self.roster = Roster(settings, self.store, lambda event, detail: logs.event(event, detail=detail or None))
        self._standings = Standings()
        workers = int(os.environ.get(WORKERS_VARIABLE, "1"))
        self._admission = Admission(self.store, settings, self._standings, workers=workers)
        self.settling = Settling(self.store, self._admission, self._standings, Told(self._reached, self._lost))
        self._sweeper = Sweeper(
            self.store,
            self._admission,
            settings.spending.reservation_s,
            settings.store.retention_days,
            self._expired,
            self._limits,
            self._reached,
            self._standings,
            failed=_sweep_failed,
        )

    def configured(self, settings: Settings, candidates: Candidates, prices: Mapping[str, PriceBook]) -> Spending:
        """Let these settings hold from now on, and return the stages that hold requests to them."""
        self._admission.configure(settings, prices)
        self._prices = prices
        self.roster.declare(settings.teams)
        return Spending(
            settings,
            self.roster,
            candidates,
            prices,
            self._admission,
            self.settling,
            self._standings,
            self.endings,
            self._warnings,
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Open the store and look after what is in it; at the end, settle what is left.

        Raises:
            StoreUnavailableError: SQLite's file can't be used.
        """
        await self.store.open()
        try:
            await self.roster.refresh()
        except StoreUnavailableError as error:
            logs.event("store", status="away", detail=str(error))
        tasks = [asyncio.create_task(work) for work in (self.roster.run(), self._sweeper.run())]
        try:
            yield
        finally:
            await self.finish()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.store.close()

    async def finish(self) -> None:
        """Settle all that has ended."""
        await self.endings.finish()
        await self.settling.finish()

    def _limits(self, entry: Entry) -> tuple[Limit, ...]:
        """Return the limits on which an entry was reserved, as they are now."""
        policy = self.roster.policy(entry.team)
        if policy is None or policy.unlimited:
            return ()
        spender = Spender(self.roster.counted_as(entry.key), entry.user, priced(self._prices, entry.model), entry.model)
        return limits_of(policy, spender, Calendar(), entry.time)

    def _reached(self, passed: Reached) -> None:
        logs.event("budget_reached", team=passed.team, percent=passed.percent, detail=passed.text)
        self._metrics.budget_reached(passed.team, passed.percent)
        self._warnings.setdefault(passed.team, deque(maxlen=_MOST_WARNINGS)).append(passed.text)

    def _lost(self, count: int) -> None:
        if count:
            logs.event("settlements_lost", count=count)
            self._metrics.settlements_lost(count)

    def _expired(self, entries: Sequence[Entry]) -> None:
        logs.event("reservations_expired", count=len(entries), ids=[entry.id for entry in entries[:20]])
        self._metrics.unsettled(entries)

    def _store_changed(self, there: bool, why: str) -> None:
        if there:
            logs.event("store", status="back")
        else:
            logs.event("store", status="away", detail=why)
        self._metrics.store_there(there)


def _sweep_failed(error: Exception) -> None:
    logs.event("sweep_failed", error=type(error).__name__, where=logs.place(error))
