"""What belongs to callers' means, put together: the store, teams and keys, admission, settling, sweeping."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from gateway import logs
from gateway.budgets.admission import Admission
from gateway.budgets.settling import Settling, Told
from gateway.budgets.standing import Reached, Standings
from gateway.budgets.sweeping import Sweeper
from gateway.config import Settings
from gateway.metrics import Metrics
from gateway.pricing import PriceBook
from gateway.spending import Spending
from gateway.store.contract import StoreUnavailableError
from gateway.store.entries import Entry
from gateway.stores import store_of
from gateway.teams.roster import Roster
from gateway.upstreams.candidates import Candidates


class Accounts:
    """The state that outlives requests, and the tasks that look after it."""

    def __init__(
        self,
        settings: Settings,
        config: Path | None,
        candidates: Candidates,
        prices: Mapping[str, PriceBook],
        metrics: Metrics,
    ) -> None:
        self._metrics = metrics
        self.store = store_of(settings, config, self._store_changed)
        self.roster = Roster(settings, self.store, lambda event, detail: logs.event(event, detail=detail or None))
        standings = Standings()
        admission = Admission(self.store, settings, prices, standings)
        settling = Settling(self.store, admission, standings, Told(self._reached, self._lost))
        self.spending = Spending(settings, self.roster, candidates, prices, admission, settling, standings)
        self._sweeper = Sweeper(
            self.store,
            admission,
            settings.spending.reservation_s,
            settings.store.retention_days,
            self._expired,
            failed=_sweep_failed,
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
        settling = self.spending.settling
        tasks = [asyncio.create_task(work) for work in (self.roster.run(), self._sweeper.run())]
        try:
            yield
        finally:
            await settling.finish()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.store.close()

    def _reached(self, passed: Reached) -> None:
        logs.event("budget_reached", team=passed.team, percent=passed.percent, detail=passed.text)
        self._metrics.budget_reached(passed.team, passed.percent)
        self.spending.warn(passed)

    def _lost(self, count: int) -> None:
        if count:
            logs.event("settlements_lost", count=count)
            self._metrics.settlements_lost(count)

    def _expired(self, entries: Sequence[Entry]) -> None:
        logs.event("reservations_expired", count=len(entries), ids=[entry.id for entry in entries[:20]])
        self._metrics.unsettled(entries)

    def _store_changed(self, there: bool) -> None:
        logs.event("store", status="back" if there else "away")
        self._metrics.store_there(there)


def _sweep_failed(error: Exception) -> None:
    logs.event("sweep_failed", error=type(error).__name__, where=logs.place(error))
