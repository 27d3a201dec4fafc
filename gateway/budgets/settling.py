"""The stage after the reply: what was spent is charged and written to the ledger, off the client's path."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal

from gateway.budgets.admission import Admission, Ticket
from gateway.budgets.limits import NANO, Limit, Unit
from gateway.budgets.standing import Reached, Standings, reached
from gateway.record import RequestRecord
from gateway.store.contract import Charge, Settled, Settlement, Store, StoreUnavailableError
from gateway.store.entries import Entry, State

_PAUSE_S = 0.25  # before a store that is away is asked again
_MOST_WAITING = 200_000  # settlements; beyond that the oldest are given up, and said to be lost
_BATCH = 512
_PATIENCE_S = 10.0  # at the end, for a store that is away


@dataclass(frozen=True, slots=True)
class Told:
    """Whom settling tells what: soft limits reached, settlements lost."""

    reached: Callable[[Reached], None]
    lost: Callable[[int], None]


class Settling:
    """Hands settlements to the store until each is made; nothing is lost on a clean stop."""

    def __init__(self, store: Store, admission: Admission, standings: Standings, told: Told) -> None:
        self._store = store
        self._admission = admission
        self._standings = standings
        self._told = told
        self._waiting: deque[tuple[Ticket, Settlement]] = deque()
        self._in_hand = 0
        self._some = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def settle(self, ticket: Ticket, record: RequestRecord) -> None:
        """Take over a request that is finished; returns at once."""
        settlement = Settlement(ticket.id, ticket.team, tuple(charges(ticket, record)), entry_of(record))
        if ticket.local:
            held = {charge.counter: charge.amount for charge in settlement.charges}
            self._admission.outage.gives_back(ticket.team, ticket.holds, [held.get(h.counter, 0) for h in ticket.holds])
        self._waiting.append((ticket, settlement))
        if len(self._waiting) > _MOST_WAITING:
            self._give_up(self._waiting.popleft()[0])
        self._some.set()
        self._idle.clear()

    async def run(self) -> None:
        """Settle what comes, for ever."""
        while True:
            await self._some.wait()
            self._some.clear()
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
                self._in_hand = len(batch)
                failed = await self._settled(batch)
                self._in_hand = 0
                if failed:
                    self._waiting.extendleft(reversed(failed))
                    await asyncio.sleep(_PAUSE_S)
            self._idle.set()

    async def finish(self) -> None:
        """Wait until all that was taken over is settled, some seconds at most."""
        try:
            await asyncio.wait_for(self._idle.wait(), _PATIENCE_S)
        except TimeoutError:
            self._told.lost(len(self._waiting) + self._in_hand)

    async def _settled(self, batch: list[tuple[Ticket, Settlement]]) -> list[tuple[Ticket, Settlement]]:
        """Settle the batch, all at once; return what the store could not be told."""
        answers = await asyncio.gather(*(self._store.settle(own) for _, own in batch), return_exceptions=True)
        failed = []
        for (ticket, settlement), answer in zip(batch, answers, strict=True):
            if isinstance(answer, StoreUnavailableError):
                failed.append((ticket, settlement))
            elif isinstance(answer, BaseException):
                self._give_up(ticket)
            else:
                self._heard(ticket, settlement, answer)
        return failed

    def _give_up(self, ticket: Ticket) -> None:
        """Leave a settlement undone; its reservation, renewed no more, is charged when it expires."""
        self._admission.let_go(ticket.team, ticket.id)
        self._told.lost(1)

    def _heard(self, ticket: Ticket, settlement: Settlement, settled: Settled) -> None:
        self._admission.let_go(ticket.team, ticket.id)
        if ticket.local:
            self._admission.outage.told(ticket.team, settlement.charges)
        self._standings.heard(ticket.team, settled.standings)
        for passed in reached(ticket.team, ticket.limits, settled):
            self._told.reached(passed)


def charges(ticket: Ticket, record: RequestRecord) -> Iterator[Charge]:
    """Yield what the request is charged on each of its limits."""
    usage = record.usage
    tokens = usage.prompt + usage.completion if usage and record.state is not State.FREE else 0
    nano = nano_of(record.cost.usd) or 0
    for limit in ticket.limits:
        if limit.unit is not Unit.CONCURRENT:
            yield _charge(limit, nano, tokens)


def _charge(limit: Limit, nano: int, tokens: int) -> Charge:
    return Charge(limit.counter, limit.amount(nano, tokens), limit.stretch.until)


def nano_of(usd: Decimal | None) -> int | None:
    """Return dollars as nano-dollars, rounded up."""
    return None if usd is None else int((usd * NANO).to_integral_value(ROUND_CEILING))


def entry_of(record: RequestRecord) -> Entry:
    """Return the ledger's entry of a finished request."""
    usage, stages = record.usage, record.stages
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
        cost_nano=nano_of(record.cost.usd),
        saved_nano=nano_of(record.cost.saved_usd),
        total_ms=stages.total,
        first_byte_ms=stages.first_byte,
        overhead_ms=stages.overhead,
    )
