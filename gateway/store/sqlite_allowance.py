"""What this worker may set aside by itself: it leases some of each counter, and asks the file again when that is used.

All of it runs in the event loop, between two of whose turns nothing else changes it. A reservation that fits is
subtracted here and appended to the worker's journal; nothing waits for anybody. One that does not goes to the file,
where what is free here is given back first: so no request is refused for what its own worker has leased. What other
workers have leased is asked back before a request is refused for it.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

from gateway.store.contract import (
    Granted,
    Hold,
    Refused,
    Reservation,
    Settled,
    Settlement,
    Standing,
    StoreUnavailableError,
)
from gateway.store.sqlite_holder import Holder, Lease
from gateway.store.sqlite_journal import Journal
from gateway.store.sqlite_leases import Ask, Borrowed, Notice, Repaid
from gateway.store.sqlite_memory import Key
from gateway.store.sqlite_sums import Finished
from gateway.store.sqlite_threads import Writer

SLACK_S = 10.0  # by which leases outlive the reservations of their time
_TICK_S = 0.25
_BUSY_S = 0.1  # between a team's requests; for one now and then nothing is leased
_IDLE_TICKS = 4  # after which what nobody uses is given back
_COOL_S = 2.0  # for which nothing is leased of what others wanted back
_PAUSES_S = (0.03, 0.07, 0.15, 0.25, 0.25)  # before a refusal, for others to give back what they have leased
_FRUITLESS_S = 10.0  # for which nobody waits again, where that was in vain: they may be dead
_OLDEST_JOURNAL_S = 60.0
_STUCK_S = 1.0  # for which a journal that is too full to be turned is left as it is
_MANY = 64  # settlements at once: there will be more in a moment
_MOST = 2048  # of what is remembered for a while

K = TypeVar("K")
V = TypeVar("V")


class Allowance:
    """Reserves and settles, in the file only where it has to."""

    def __init__(self, writer: Writer, journals: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._writer = writer
        self._journals = journals
        self._clock = clock
        self._holder = Holder()
        self._known: OrderedDict[Key, None] = (
            OrderedDict()
        )  # reservations in the file, and those that were settled lately
        self._asked: OrderedDict[str, float] = OrderedDict()  # when a team's request was last reserved in the file
        self._cool: OrderedDict[Key, float] = OrderedDict()
        self._fruitless: OrderedDict[Key, float] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def take(self, reservation: Reservation) -> Granted | None:
        """Take all holds of what is leased, if they fit."""
        holder, key = self._holder, (reservation.team, reservation.id)
        if reservation.expires > holder.until or key in self._known or holder.journal is None:
            return None
        taken: list[tuple[Hold, Lease]] = []
        for hold in reservation.holds:
            lease = holder.leases.get((reservation.team, hold.counter))
            if lease is None or not lease.take(hold):
                return self._untaken(taken)
            taken.append((hold, lease))
        try:
            holder.journal.add(reservation)
        except OSError:
            return self._untaken(taken)
        holder.open[key] = reservation
        holder.latest = reservation.expires
        _put(self._known, key, None)
        return Granted(tuple([Standing(hold.counter, lease.spent, lease.reserved) for hold, lease in taken]))

    async def reserve(self, reservation: Reservation) -> Granted | Refused:
        """Take all holds, or none."""
        if self.is_here((reservation.team, reservation.id)):
            standings = await self._writer.do(lambda batch: batch.standings(reservation))
            return Granted(self.seen(reservation.team, standings))
        granted = self.take(reservation)
        if granted is not None:
            return granted
        borrowed = await self._borrow(reservation)
        for pause in _PAUSES_S:
            if not isinstance(borrowed.answer, Refused):
                return borrowed.answer
            place = (reservation.team, reservation.holds[borrowed.answer.hold].counter)
            if not self._is_free(place):  # it is where this worker itself has leased some meanwhile
                if not borrowed.contested or self._fruitless.get(place, 0.0) > self._clock():
                    return borrowed.answer
                await asyncio.sleep(pause)
            borrowed = await self._borrow(reservation)
        if isinstance(borrowed.answer, Refused):
            _put(self._fruitless, place, self._clock() + _FRUITLESS_S)
        return borrowed.answer

    def note(self, settlement: Settlement) -> None:
        """Note how a request ended that is to be settled soon: should this process die before, others settle it."""
        holder = self._holder
        if holder.end(settlement) is not None and holder.journal is not None:
            with suppress(OSError):
                holder.journal.settle(settlement)

    async def settle_all(self, settlements: Sequence[Settlement]) -> tuple[Settled, ...]:
        """Settle requests, wherever they were reserved."""
        holder = self._holder
        finished, until = Finished.of([(own, holder.settle(own)) for own in settlements]), self._renewed()
        # What was set aside here, and nobody has tried to settle yet, is not in the file.
        doubtful = frozenset(_doubtful(holder, finished))
        try:
            future = self._writer.submit(
                lambda batch: batch.repay(holder.name, finished, until, doubtful),
                tuple(doubtful),
                # In the file nothing becomes free by it. Of few somebody may want to see what they cost.
                patient=len(finished.rows) >= _MANY and not doubtful,
            )
        except StoreUnavailableError:
            _not_ended(holder, finished)
            raise
        holder.under_way += 1
        future.add_done_callback(partial(self._repaid, holder, finished, until))
        return self._seen((await asyncio.shield(future)).settled, settlements)

    async def renew(self, expires: float) -> None:
        """Let what is set aside here expire later."""
        if self._holder.open:
            await self._give_back([], until=expires + SLACK_S)

    def is_here(self, key: Key) -> bool:
        """Whether the reservation is one that the file does not know."""
        return key in self._holder.open

    def seen(self, team: str, standings: Iterable[Standing]) -> tuple[Standing, ...]:
        """Return the standings of the file without what is reserved in it but free here."""
        leases = self._holder.leases
        return tuple(
            Standing(own.counter, own.spent, own.reserved - lease.free)
            if (lease := leases.get((team, own.counter))) is not None
            else own
            for own in standings
        )

    async def close(self) -> None:
        """Give back what is leased; what is not settled stays, to be charged when it expires."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        holder = self._holder
        if holder.open:
            await self._give_back([(key, holder.take_free(key)) for key in holder.leases])
            if holder.journal is not None:
                holder.journal.close()
                holder.journal = None
        elif holder.leases or holder.under_way:
            with suppress(StoreUnavailableError):
                await asyncio.shield(self._leave())

    @staticmethod
    def _untaken(taken: Iterable[tuple[Hold, Lease]]) -> None:
        for hold, lease in taken:
            lease.undo(hold)

    async def _borrow(self, reservation: Reservation) -> Borrowed:
        holder, team = self._holder, reservation.team
        keys = [(team, hold.counter) for hold in reservation.holds]
        lease = self._is_busy(team) and team not in holder.asking and not self._cooling(keys)
        back = tuple(map(holder.take_free, keys))
        ask = Ask(holder.name, not holder.until, back, reservation.expires + SLACK_S, lease)
        try:
            future = self._writer.submit(lambda batch: batch.borrow(reservation, ask), [(team, reservation.id)])
        except StoreUnavailableError:
            for key, amount in zip(keys, back, strict=True):
                holder.put_free(key, amount)
            raise
        holder.under_way += 1
        if lease:
            holder.asking.add(team)
        future.add_done_callback(partial(self._borrowed, holder, reservation, ask))
        return await asyncio.shield(future)

    def _borrowed(self, holder: Holder, reservation: Reservation, ask: Ask, future: "asyncio.Future[Borrowed]") -> None:
        holder.under_way -= 1
        if ask.lease:
            holder.asking.discard(reservation.team)
        keys = [(reservation.team, hold.counter) for hold in reservation.holds]
        if future.cancelled() or future.exception() is not None:
            for key, amount in zip(keys, ask.back, strict=True):
                holder.put_free(key, amount)
            return
        borrowed = future.result()
        if isinstance(borrowed.answer, Granted):
            _put(self._known, (reservation.team, reservation.id), None)
        if any(borrowed.leased):
            self._lease(holder, reservation.holds, keys, borrowed)
            holder.until = max(holder.until, ask.until)
        self._noticed(holder, borrowed.notice)  # last: what was leased just now may be wanted too

    def _lease(self, holder: Holder, holds: Sequence[Hold], keys: Sequence[Key], borrowed: Borrowed) -> None:
        for hold, key, standing, amount in zip(holds, keys, borrowed.answer.standings, borrowed.leased, strict=True):
            if amount:
                lease = holder.leases.setdefault(key, Lease())
                lease.free += amount
                lease.limit, lease.idle, lease.stripped = hold.limit, 0, False
                lease.spent, lease.reserved = standing.spent, standing.reserved
                if not self._has_journal(holder):
                    _put(self._cool, key, self._clock() + _COOL_S)
        self._tick_later()

    def _repaid(
        self,
        holder: Holder,
        finished: Finished,
        until: float,
        future: "asyncio.Future[Repaid]",
    ) -> None:
        holder.under_way -= 1
        if future.cancelled() or future.exception() is not None:
            _not_ended(holder, finished)
            return
        repaid = future.result()
        if not self._noticed(holder, repaid.notice):
            return
        holder.until = max(holder.until, until)
        for (settlement, shrinks), settled in zip(finished.settlements, repaid.settled, strict=True):
            if shrinks is not None:
                holder.forget(_key(settlement), settled.standings)
            else:
                _put(self._known, _key(settlement), None)
        self._shorten(holder)

    def _seen(self, settled: tuple[Settled, ...], settlements: Sequence[Settlement]) -> tuple[Settled, ...]:
        """Return the same without what is free here."""
        if not self._holder.leases:
            return settled
        return tuple(
            Settled(one.applied, one.before, self.seen(settlement.team, one.standings)) if one.standings else one
            for one, settlement in zip(settled, settlements, strict=True)
        )

    def _noticed(self, holder: Holder, notice: Notice) -> bool:
        """Do what the file has let the worker know; False where its leases are gone."""
        if notice.lost and holder.until:  # one that has leased nothing yet is not in the file
            if holder is self._holder:
                self._holder = Holder()
                if holder.journal is not None:
                    holder.journal.remove()
            return False
        wanted = [key for key in notice.wanted if key in holder.leases and not holder.leases[key].stripped]
        if wanted and holder is self._holder:
            for key in wanted:
                holder.leases[key].stripped = True
                _put(self._cool, key, self._clock() + _COOL_S)
            self._send_back([(key, holder.take_free(key)) for key in wanted], frozenset(wanted))
        return True

    async def _give_back(self, amounts: Sequence[tuple[Key, int]], until: float = 0.0) -> None:
        with suppress(StoreUnavailableError):
            await asyncio.shield(self._send_back(amounts, until=until))

    def _send_back(
        self, amounts: Sequence[tuple[Key, int]], stripped: frozenset[Key] = frozenset(), until: float = 0.0
    ) -> "asyncio.Future[Notice]":
        holder = self._holder
        future = self._writer.submit(lambda batch: batch.give_back(holder.name, amounts, stripped, until))
        holder.under_way += 1
        future.add_done_callback(partial(self._given_back, holder, amounts, until))
        return future

    def _given_back(
        self, holder: Holder, amounts: Sequence[tuple[Key, int]], until: float, future: "asyncio.Future[Notice]"
    ) -> None:
        holder.under_way -= 1
        if future.cancelled() or future.exception() is not None:
            for key, amount in amounts:
                holder.put_free(key, amount)
        elif self._noticed(holder, future.result()):
            holder.until = max(holder.until, until)

    def _leave(self) -> "asyncio.Future[None]":
        """Give all back, and go on as another worker, who holds nothing."""
        holder, self._holder = self._holder, Holder()
        future = self._writer.submit(lambda batch: batch.leave(holder.name))
        future.add_done_callback(partial(_left, holder))
        return future

    def _tick_later(self) -> None:
        if self._timer is None and not self._closed:
            self._timer = asyncio.get_running_loop().call_later(_TICK_S, self._tick)

    def _tick(self) -> None:
        """Give back what nobody uses, and see whether others want what somebody does."""
        self._timer, holder = None, self._holder
        for key, lease in list(holder.leases.items()):
            lease.idle += 1
            if not lease.free and not lease.used:
                del holder.leases[key]
        with suppress(StoreUnavailableError):
            if not holder.leases and not holder.open and not holder.under_way:
                self._leave()
                return
            idle = [key for key, lease in holder.leases.items() if lease.idle >= _IDLE_TICKS or lease.stripped]
            self._send_back([(key, holder.take_free(key)) for key in idle])
            self._shorten(holder)
        self._tick_later()

    def _shorten(self, holder: Holder) -> None:
        """Rid the journal of what is settled, before it is large or the ledger has forgotten that it was."""
        journal, now = holder.journal, self._clock()
        if journal is None or journal.is_empty or now - holder.stuck < _STUCK_S:
            return
        if journal.is_full or now - holder.turned > _OLDEST_JOURNAL_S:
            try:
                holder.turn(journal, now)
            except OSError:
                holder.stuck = now

    def _is_free(self, key: Key) -> bool:
        lease = self._holder.leases.get(key)
        return lease is not None and lease.free > 0

    def _has_journal(self, holder: Holder) -> bool:
        if holder.journal is None:
            with suppress(OSError):
                holder.journal, holder.turned = Journal(self._journals / holder.name), self._clock()
        return holder.journal is not None

    def _is_busy(self, team: str) -> bool:
        """Whether the team's requests follow each other closely: for a single one nothing is leased."""
        last, now = self._asked.pop(team, 0.0), self._clock()
        _put(self._asked, team, now)
        return now - last < _BUSY_S

    def _cooling(self, keys: Iterable[Key]) -> bool:
        now = self._clock()
        return bool(self._cool) and any(self._cool.get(key, 0.0) > now for key in keys)

    def _renewed(self) -> float:
        """Return when leases shall expire instead; 0 where there is time."""
        latest = self._holder.latest
        return latest + SLACK_S if latest and latest > self._holder.until - SLACK_S / 2 else 0.0


def _left(holder: Holder, future: "asyncio.Future[None]") -> None:
    if not future.cancelled() and future.exception() is None and holder.journal is not None:
        holder.journal.remove()


def _key(settlement: Settlement) -> Key:
    return settlement.team, settlement.id


def _doubtful(holder: Holder, finished: Finished) -> Iterable[Key]:
    if finished.rows:  # all are the holder's own
        return holder.doubtful.intersection(finished.rows)
    return (_key(own) for own, of in finished.settlements if of is None or _key(own) in holder.doubtful)


def _not_ended(holder: Holder, finished: Finished) -> None:
    for settlement, shrinks in finished.settlements:
        if shrinks is not None:
            holder.did_not_end(_key(settlement))


def _put(into: OrderedDict[K, V], key: K, value: V) -> None:
    """Remember it; of many the latest.

    A plain dict would look for its first key through all that were deleted before.
    """
    into[key] = value
    if len(into) > _MOST:
        into.popitem(last=False)
