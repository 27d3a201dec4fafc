"""The embedded store: one SQLite file for one machine and all its workers.

Callers' operations are committed together by one thread for each process; that is what makes them cheap. A
reservation is in the file before reserve() returns. With durability "process" the file outlives any process, but
SQLite leaves it to the operating system when the disk gets it, so that a power cut can lose the last seconds; with
"power" each commit waits for the disk. Documents wait for the disk always.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from gateway.store import sqlite_documents, sqlite_ledger, sqlite_receipts
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
from gateway.store.sqlite_allowance import Allowance
from gateway.store.sqlite_batch import STEP
from gateway.store.sqlite_memory import Key
from gateway.store.sqlite_schema import journals, make
from gateway.store.sqlite_threads import Durability, Reader, Tidier, Writer


class _Open:
    """What an open store works with; `reader` answers at once, `reporter` may take its time."""

    def __init__(self, path: Path, durability: Durability, on_change: OnChange | None) -> None:
        self.writer = Writer(path, durability, on_change)
        self.reader = Reader(path)
        self.reporter = Reader(path)
        self.tidier = Tidier(path)
        # What must outlive a power cut is in no journal: each reservation waits for the disk.
        self.allowance = Allowance(self.writer, journals(path)) if durability == "process" else None

    async def close(self) -> None:
        if self.allowance is not None:
            await self.allowance.close()
        await self.tidier.close()
        await self.reporter.close()
        await self.reader.close()
        await self.writer.close()  # the last one: it writes the log back and removes it


class SqliteStore:
    """The store in one file; `on_change` is told when it can't be written, and when it can again."""

    def __init__(self, path: Path, durability: Durability, on_change: OnChange | None = None) -> None:
        self._on_change = on_change
        self._path = path
        self._durability = durability
        self._open: _Open | None = None

    async def open(self) -> None:
        """Make the file where there is none; raise StoreFileError where it cannot be the store's."""
        await asyncio.to_thread(make, self._path)
        self._open = _Open(self._path, self._durability, self._on_change)

    async def close(self) -> None:
        """Commit what was handed in, close the file."""
        if self._open is not None:
            await self._open.close()

    def take(self, reservation: Reservation) -> Granted | None:
        """Take all holds of what this worker has leased, if they fit."""
        allowance = self._open.allowance if self._open is not None else None
        return None if allowance is None else allowance.take(reservation)

    async def reserve(self, reservation: Reservation) -> Granted | Refused:
        """Take all holds, or none."""
        if (allowance := self._opened.allowance) is not None:
            return await allowance.reserve(reservation)
        key = (reservation.team, reservation.id)
        return await self._opened.writer.do(lambda batch: batch.reserve(reservation), [key])

    def note(self, settlement: Settlement) -> None:
        """Note how a request ended, where others would find that."""
        if self._open is not None and self._open.allowance is not None:
            self._open.allowance.note(settlement)

    async def settle(self, settlement: Settlement) -> Settled:
        """Settle a request."""
        return (await self.settle_all([settlement]))[0]

    async def settle_all(self, settlements: Sequence[Settlement]) -> tuple[Settled, ...]:
        """Settle several requests."""
        if (allowance := self._opened.allowance) is not None:
            return await allowance.settle_all(settlements)
        keys = [(own.team, own.id) for own in settlements]
        return await self._opened.writer.do(lambda batch: tuple(map(batch.settle, settlements)), keys)

    async def renew(self, reservations: Mapping[str, Sequence[str]], expires: float) -> None:
        """Let the reservations expire later."""
        if (allowance := self._opened.allowance) is not None:
            await allowance.renew(expires)
            reservations = {
                team: [id_ for id_ in ids if not allowance.is_here((team, id_))] for team, ids in reservations.items()
            }
        await self._opened.writer.do(lambda batch: batch.renew(reservations, expires))

    async def expire(self, now: float) -> tuple[Entry, ...]:
        """Charge what has expired until now, a step at a time."""
        found: list[Entry] = []
        while step := await self._opened.writer.do(lambda batch: batch.expire(now)):
            found += step
            if len(step) < STEP:
                break
        return tuple(found)

    async def standings(self, team: str, counters: Sequence[str]) -> tuple[Standing, ...]:
        """Return the counters' states."""
        found = await self._opened.reader.get(partial(_standings, team=team, counters=counters))
        allowance = self._opened.allowance
        return found if allowance is None else allowance.seen(team, found)

    async def unsettled(self, team: str | None = None) -> tuple[Entry, ...]:
        """Return the unsettled entries, oldest first."""
        return await self._opened.reader.get(partial(sqlite_ledger.unsettled, team=team))

    async def entries(self, span: Span, team: str | None = None) -> AsyncIterator[Entry]:
        """Yield the entries of that time, a page at a time."""
        page: tuple[Entry, ...] = ()
        while True:
            after = place(page[-1]) if page else None
            page = await self._opened.reporter.get(partial(sqlite_ledger.page, span=span, team=team, after=after))
            for entry in page:
                yield entry
            if len(page) < sqlite_ledger.PAGE:
                return

    async def usage(self, span: Span, groups: Sequence[Group], team: str | None = None) -> tuple[Usages, ...]:
        """Return the sums over the entries of that time."""
        return await self._opened.reporter.get(partial(sqlite_ledger.usage, span=span, groups=groups, team=team))

    async def latest(self, query: Query, before: Place | None, limit: int) -> Page:
        """Return the latest entries that the query asks for."""
        return await self._opened.reporter.get(partial(sqlite_ledger.latest, query=query, before=before, limit=limit))

    async def find(self, id_: str, span: Span) -> Entry | None:
        """Return the entry of that id and time."""
        return await self._opened.reporter.get(partial(sqlite_ledger.find, id_=id_, span=span))

    async def keep(self, receipts: Sequence[Receipt], most: int) -> None:
        """Write receipts, and forget all but the latest."""
        rows = await asyncio.to_thread(lambda: [(own.team, own.id, packed(own)) for own in receipts])
        await self._opened.writer.do(lambda batch: batch.keep(rows, most))

    async def receipt(self, team: str, id_: str) -> Receipt | None:
        """Return a request's receipt."""
        return await self._opened.reader.get(partial(sqlite_receipts.receipt, team=team, id_=id_))

    async def prune(self, before: float) -> int:
        """Forget old entries, receipts and counters, a step at a time."""
        if last := await self._opened.reporter.get(partial(sqlite_receipts.ended, before=before)):
            await self._opened.writer.do(lambda batch: batch.forget_receipts(last))
        counters = await self._opened.reporter.get(partial(_ended, before=before))
        for start in range(0, len(counters), STEP):
            await self._forget(counters[start : start + STEP], before)
        forgotten = 0
        while step := await self._opened.writer.do(lambda batch: batch.forget(before)):
            forgotten += step
            if step < STEP:
                break
        return forgotten

    async def touch(self) -> None:
        """Write what changes nothing."""
        await self._opened.writer.do(lambda batch: batch.touch())

    async def danger(self) -> str:
        """Know of nothing."""
        return ""

    async def version(self) -> int:
        """Return the documents' version."""
        return await self._opened.reader.get(sqlite_documents.version)

    async def documents(self, kind: Kind) -> Mapping[str, bytes]:
        """Return all documents of the kind."""
        return await self._opened.reader.get(partial(sqlite_documents.documents, kind=kind))

    async def change(self, changes: Sequence[Change], version: int) -> bool:
        """Change documents, unless others did since that version."""
        return await self._opened.writer.do(lambda batch: batch.change(changes, version), lasting=True)

    async def _forget(self, counters: Sequence[Key], before: float) -> None:
        await self._opened.writer.do(lambda batch: batch.forget_counters(counters, before))

    @property
    def _opened(self) -> _Open:
        if self._open is None:
            raise StoreUnavailableError("the store is not open")
        return self._open


def _standings(db: sqlite3.Connection, team: str, counters: Sequence[str]) -> tuple[Standing, ...]:
    query = "SELECT spent, reserved FROM counters WHERE team = ? AND counter = ?"
    rows = [db.execute(query, (team, counter)).fetchone() for counter in counters]
    return tuple(Standing(counter, *(row or (0, 0))) for counter, row in zip(counters, rows, strict=True))


def _ended(db: sqlite3.Connection, before: float) -> list[Key]:
    return db.execute("SELECT team, counter FROM counters WHERE until < ? AND reserved = 0", (before,)).fetchall()
