"""The store on Redis (6.2 or later) or Valkey, for any number of replicas.

A round trip reserves, one settles, and callers at the same time share them. Every step of a team is one script, so
that it happens as a whole; durable is what Redis makes durable. Repeating what timed out is harmless: a reservation
or settlement is known by its id. That takes an entry's time, by which the ledger is kept, to stay the same.

Each script keeps to one slot, but nothing here finds its way about a cluster: that takes a proxy.
"""

import asyncio
import logging
import re
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress

from gateway.store import redis_receipts
from gateway.store.breaker import Breaker
from gateway.store.contract import (
    Change,
    Granted,
    Kind,
    OnChange,
    Refused,
    Reservation,
    Settled,
    Settlement,
    Standing,
    StoreUnavailableError,
)
from gateway.store.entries import Entry, Group, Span, Usages
from gateway.store.queries import Page, Place, Query, place
from gateway.store.receipts import Receipt, packed
from gateway.store.redis_keys import Keys
from gateway.store.redis_ledger import Ledger, walk
from gateway.store.redis_line import Line, pool_of, signs_of_life
from gateway.store.redis_records import is_readable, lapsed_of, reserved, reserving, settled, settling
from gateway.store.redis_scripts import Command, Value, scripts

_LOG = logging.getLogger(__name__)

# Of what has no end, as all that is kept here, only these policies throw anything away.
_EVICTING = re.compile(rb"maxmemory_policy:(allkeys-\S+)")
_UNBOUNDED = re.compile(rb"maxmemory:0\r")
_REPORT_S = 10.0  # for each page of a report, and in pruning
_TOGETHER = 64  # teams asked about in one round trip
_STEP = 200  # reservations that expire in one script


class _Open:
    """What an open store works with: a line for requests, and one for reports."""

    def __init__(self, url: str, keys: Keys, timeout_s: float, breaker: Breaker) -> None:
        pool = pool_of(url)
        self.line = Line(pool, keys, timeout_s, breaker)
        self.reports = Line(pool, keys, max(timeout_s, _REPORT_S), breaker, prompt_s=timeout_s)
        self.ledger = Ledger(self.line, keys)
        self.reporting = Ledger(self.reports, keys)

    async def close(self) -> None:
        await asyncio.gather(self.line.close(), self.reports.close())


class RedisStore:
    """The store in Redis, under keys that begin with `prefix`; waits `timeout_ms` for each round trip.

    `on_change` is told when Redis goes away and when it is back. Reports (entries, usage) and pruning wait
    longer for Redis than everything else.
    """

    def __init__(self, url: str, timeout_ms: int, *, prefix: str = "cg", on_change: OnChange | None = None) -> None:
        pool_of(url)  # raises ValueError where that is no URL
        self._url = url
        self._timeout_s = timeout_ms / 1000
        self._keys = Keys(prefix)
        self._breaker = Breaker(on_change)
        self._state: _Open | None = None

    async def open(self) -> None:
        """Make ready; a Redis that is away is asked again with the first operation."""
        self._state = _Open(self._url, self._keys, self._timeout_s, self._breaker)
        with suppress(StoreUnavailableError):
            await self.version()

    async def close(self) -> None:
        """Finish what was handed in, hang up."""
        if self._state is not None:
            await self._state.close()

    def take(self, reservation: Reservation) -> Granted | None:
        """Leave it to `reserve`: what a replica that is gone had set aside, nobody would know."""

    async def reserve(self, reservation: Reservation) -> Granted | Refused:
        """Take all holds, or none."""
        return reserved(reservation, await self._line.operate(reservation.team, reserving(reservation)))

    def note(self, settlement: Settlement) -> None:
        """Note nothing: what others could find is only there, a round trip away."""

    async def settle(self, settlement: Settlement) -> Settled:
        """Settle a request."""
        return settled(settlement, await self._line.operate(settlement.team, settling(settlement)))

    async def settle_all(self, settlements: Sequence[Settlement]) -> tuple[Settled, ...]:
        """Settle several requests."""
        answers = await self._line.operate_all([(made.team, settling(made)) for made in settlements])
        return tuple(settled(made, answer) for made, answer in zip(settlements, answers, strict=True))

    async def renew(self, reservations: Mapping[str, Sequence[str]], expires: float) -> None:
        """Let the reservations expire later."""
        teams = [team for team, ids in reservations.items() if ids]
        for start in range(0, len(teams), _TOGETHER):
            part = teams[start : start + _TOGETHER]
            await self._line.ask([self._renewing(team, reservations[team], expires) for team in part])

    def _renewing(self, team: str, ids: Sequence[str], expires: float) -> Command:
        return ("ZADD", self._keys.expiries(team), "XX", "GT", *(value for id_ in ids for value in (expires, id_)))

    async def expire(self, now: float) -> tuple[Entry, ...]:
        """Charge what has expired until now."""
        found: list[Entry] = []
        teams = await self._opened.ledger.teams()
        await self._line.tell_again(teams)
        for start in range(0, len(teams), _TOGETHER):
            part = teams[start : start + _TOGETHER]
            counts = await self._line.ask([("ZCOUNT", self._keys.expiries(team), "-inf", repr(now)) for team in part])
            for team, count in zip(part, counts, strict=True):
                found += await self._expired(team, now) if count else []
        return tuple(sorted(found, key=place))

    async def _expired(self, team: str, now: float) -> list[Entry]:
        script = scripts().expire.call(self._keys.of_scripts(team), self._keys.base(team), repr(now), _STEP)
        found: list[Entry] = []
        while True:
            (flat,) = await self._line.ask([script])
            for id_, stored in zip(flat[::2], flat[1::2], strict=True):
                found.append(lapsed_of(team, id_.decode(), stored))
                if not is_readable(stored):
                    _LOG.warning("reservation_unreadable: the reservation of %s, team %s", id_.decode(), team)
            if len(flat) < 2 * _STEP:
                return found

    async def standings(self, team: str, counters: Sequence[str]) -> tuple[Standing, ...]:
        """Return the counters' states."""
        replies = await self._line.ask([("HMGET", self._keys.counter(team, name), "s", "r") for name in counters])
        return tuple(
            Standing(name, int(spent or 0), int(reserved_ or 0))
            for name, (spent, reserved_) in zip(counters, replies, strict=True)
        )

    async def unsettled(self, team: str | None = None) -> tuple[Entry, ...]:
        """Return the unsettled entries, oldest first."""
        return await self._opened.ledger.unsettled(team)

    def entries(self, span: Span, team: str | None = None) -> AsyncIterator[Entry]:
        """Yield the entries of that time."""
        return self._opened.reporting.entries(span, team)

    async def usage(self, span: Span, groups: Sequence[Group], team: str | None = None) -> tuple[Usages, ...]:
        """Return the sums over the entries of that time."""
        return await self._opened.reporting.usage(span, groups, team)

    async def latest(self, query: Query, before: Place | None, limit: int) -> Page:
        """Return the latest entries that the query asks for."""
        return await self._opened.reporting.latest(query, before, limit)

    async def find(self, id_: str, span: Span) -> Entry | None:
        """Return the entry of that id and time."""
        return await self._opened.reporting.find(id_, span)

    async def keep(self, receipts: Sequence[Receipt], most: int) -> None:
        """Write receipts, and forget all but the latest."""
        rows = await asyncio.to_thread(lambda: [(own.team, own.id, packed(own)) for own in receipts])
        await redis_receipts.keep(self._opened.reports, self._keys, rows, most)

    async def receipt(self, team: str, id_: str) -> Receipt | None:
        """Return a request's receipt."""
        return await redis_receipts.receipt(self._opened.reports, self._keys, team, id_)

    async def prune(self, before: float) -> int:
        """Forget old entries, receipts and counters."""
        await redis_receipts.forget(self._opened.reports, self._keys, before)
        return await self._opened.reporting.prune(before)

    async def touch(self) -> None:
        """Write what expires by itself, and run a script that does nothing."""
        await self._line.ask(signs_of_life(self._keys))

    async def danger(self) -> str:
        """Say whether Redis throws keys away when its memory is full; one that may not be asked has its word."""
        with suppress(StoreUnavailableError):
            (said,) = await self._line.ask([("INFO", "memory")])
            policy = _EVICTING.search(said)
            if policy and not _UNBOUNDED.search(said):
                return f"its maxmemory-policy {policy[1].decode()} forgets budgets when its memory is full"
        return ""

    async def version(self) -> int:
        """Return the documents' version."""
        (version,) = await self._line.ask([("GET", self._keys.version)])
        return int(version or 0)

    async def documents(self, kind: Kind) -> Mapping[str, bytes]:
        """Return all documents of the kind."""
        pages = walk(self._line, [self._keys.documents(kind)])
        return {name.decode(): document async for rows in pages for _, name, document in rows}

    async def change(self, changes: Sequence[Change], version: int) -> bool:
        """Change documents, unless others did since that version."""
        kinds = tuple(Kind)
        keys = (self._keys.version, *map(self._keys.documents, kinds))
        # Not counted up: should Redis lose its data, a count could come to what it was before.
        args: list[Value] = [secrets.randbits(52), version]
        for made in changes:
            place = kinds.index(made.kind) + 2
            args += (-place, made.name, b"") if made.document is None else (place, made.name, made.document)
        (done,) = await self._line.ask([scripts().change.call(keys, *args)])
        return bool(done)

    @property
    def _line(self) -> Line:
        return self._opened.line

    @property
    def _opened(self) -> _Open:
        if self._state is None:
            raise StoreUnavailableError("the store is not open")
        return self._state
