"""The stage after the reply: what was spent is charged and written to the ledger, off the client's path."""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal

from gateway.budgets.admission import Admission, Ticket
from gateway.budgets.limits import Unit
from gateway.budgets.standing import Reached, Standings, reached
from gateway.pricing import nano_of
from gateway.record import RequestRecord
from gateway.store.contract import Charge, Settled, Settlement, Store, StoreUnavailableError
from gateway.store.entries import Entry, State
from gateway.windowing.types import Decision, Reason

_PAUSE_S = 0.25  # before a store that is away is asked again
_MOST_WAITING = 200_000  # settlements; those beyond that are given up, and said to be lost
_BATCH = 512
# What one request costs the store it costs several together: finished ones wait a moment for each other, or for the
# next that reserves.
_TOGETHER_S = 0.05
_PATIENCE_S = 10.0  # at the end, for a store that is away


@dataclass(frozen=True, slots=True)
class Told:
    """Whom settling tells what: soft limits reached, settlements lost."""

    reached: Callable[[Reached], None]
    lost: Callable[[int], None]


_Finished = tuple[Ticket, Settlement]


class Settling:
    """Hands settlements to the store until each is made; nothing is lost on a clean stop."""

    def __init__(self, store: Store, admission: Admission, standings: Standings, told: Told) -> None:
        self._store = store
        self._admission = admission
        self._standings = standings
        self._told = told
        self._waiting: deque[_Finished] = deque()
        self._unsettled = 0  # in `_waiting` or in a batch
        self._timer: asyncio.TimerHandle | None = None
        self._batches: set[asyncio.Task[None]] = set()

    def settle(self, ticket: Ticket, record: RequestRecord) -> None:
        """Take over a request that is finished; returns at once."""
        entry = entry_of(record)
        settlement = Settlement(ticket.id, ticket.team, charges(ticket, entry), entry)
        if ticket.local:
            held = {charge.counter: charge.amount for charge in settlement.charges}
            self._admission.outage.gives_back(ticket.team, ticket.holds, [held.get(h.counter, 0) for h in ticket.holds])
        self._unsettled += 1
        if self._unsettled > _MOST_WAITING:
            self._give_up(ticket)
            return
        self._waiting.append((ticket, settlement))
        self._store.note(settlement)
        if len(settlement.charges) < len(ticket.limits):  # one is of requests at the same time
            self.flush()  # The caller's next request may already be on its way to another worker.
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_TOGETHER_S, self.flush)

    def flush(self) -> bool:
        """Hand all that waits to the store with the next turn of the event loop; return whether there is anything.

        No batch waits for the one before.
        """
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        some = bool(self._waiting)
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
            task = asyncio.create_task(self._settle(batch))
            self._batches.add(task)
            task.add_done_callback(self._batches.discard)
        return some

    async def finish(self) -> None:
        """Wait until all that was taken over is settled, some seconds at most."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE_S):
                while self.flush() or self._batches:
                    await asyncio.wait(self._batches)
        # What is still here waits for a store that is away.
        self._told.lost(self._unsettled)

    async def _settle(self, batch: list[_Finished]) -> None:
        """Settle the batch; while the store is away it waits, and comes again with whatever came meanwhile."""
        try:
            answers = await self._store.settle_all([own for _, own in batch])
        except StoreUnavailableError:
            await asyncio.sleep(_PAUSE_S)
            self._waiting.extendleft(reversed(batch))
            self.flush()
        except Exception:  # noqa: BLE001 - one of them cannot be done; the others can
            await self._settle_each(batch)
        else:
            for (ticket, settlement), settled in zip(batch, answers, strict=True):
                self._heard(ticket, settlement, settled)

    async def _settle_each(self, batch: list[_Finished]) -> None:
        if len(batch) == 1:
            self._give_up(batch[0][0])
            return
        for one in batch:
            await self._settle([one])

    def _give_up(self, ticket: Ticket) -> None:
        """Leave a settlement undone; its reservation, renewed no more, is charged when it expires.

        Of a `local` one the store may hold nothing: what it spent goes on counting in this process's share alone.
        """
        self._unsettled -= 1
        self._admission.let_go(ticket.team, ticket.id)
        self._told.lost(1)

    def _heard(self, ticket: Ticket, settlement: Settlement, settled: Settled) -> None:
        self._unsettled -= 1
        self._admission.let_go(ticket.team, ticket.id)
        if ticket.local:
            self._admission.outage.told(ticket.team, settlement.charges)
        if not settled.standings:  # as of all but the last of a batch
            return
        self._standings.heard(ticket.team, settled.standings)
        for passed in reached(ticket.team, ticket.limits, settled, self._standings):
            self._told.reached(passed)


def charges(ticket: Ticket, entry: Entry) -> tuple[Charge, ...]:
    """Return what the request is charged on each of its limits, but for how many there may be at the same time."""
    tokens = entry.input + entry.output if entry.state is not State.FREE else 0
    nano = entry.cost_nano or 0
    return tuple(
        [
            Charge(limit.counter, limit.amount(nano, tokens), limit.stretch.until)
            for limit in ticket.limits
            if limit.unit is not Unit.CONCURRENT
        ]
    )


def _nano(usd: Decimal | None) -> int | None:
    return None if usd is None else nano_of(usd)


def entry_of(record: RequestRecord) -> Entry:
    """Return the ledger's entry of a finished request."""
    usage, stages = record.usage, record.stages
    in_shadow = record.decision is Decision.SHADOW and record.reason is Reason.RELEVANCE
    return Entry(
        id=record.id,
        time=record.time.timestamp(),
        team=record.team,
        key=record.key,
        user=record.user,
        model=record.model or "",
        upstream=record.upstream or "",
        route=record.route,
        state=record.state,
        status=record.status,
        error=record.error or "",
        decision=record.decision or "",
        reason=record.reason or "",
        stream=record.stream,
        tokens_original=record.tokens_original,
        tokens_forwarded=record.tokens_forwarded,
        input=usage.prompt if usage else 0,
        cached=usage.cached if usage else 0,
        cache_written=usage.cache_written if usage else 0,
        output=usage.completion if usage else 0,
        reasoning=usage.reasoning if usage else 0,
        cost_nano=_nano(record.cost.usd),
        saved_nano=_nano(record.cost.saved_usd),
        total_ms=stages.total,
        first_byte_ms=stages.first_byte,
        overhead_ms=stages.overhead,
        tokens_window=record.tokens_window if in_shadow else None,
        would_save_nano=_nano(record.cost.would_save_usd),
    )
