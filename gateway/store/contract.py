"""What a store promises; sqlite.py and redis.py keep it, one suite of contract tests holds both to it.

Every limit is a counter of `spent` and `reserved`, both integers (nano-USD, tokens or requests). A reservation sets
amounts aside on several counters at once, or on none; a settlement replaces them by what was really spent and writes
the request's ledger entry in the same step. So spent + reserved <= limit holds at every moment, and nothing is lost
or billed twice when a process dies or a call is repeated.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from enum import StrEnum
from typing import Protocol

import msgspec

from gateway.store.entries import Entry, Group, Span, Usages
from gateway.store.queries import Page, Place, Query
from gateway.store.receipts import Receipt

# Told whether the store is there (False when it goes away, True when it is back), and why it is not.
OnChange = Callable[[bool, str], None]


class StoreUnavailableError(Exception):
    """The store does not answer, or not in time; whether a call took effect is not known."""


class Hold(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """An amount to set aside of one counter, whose spent + reserved must not exceed `limit`.

    `lapsed` is what is charged when the reservation expires with nobody to settle it. The counter is forgotten some
    time after `until` (seconds since the epoch; None: kept for ever).
    """

    counter: str
    amount: int
    limit: int
    lapsed: int
    until: float | None


class Reservation(msgspec.Struct, frozen=True, gc=False):
    """Holds to take all at once or not at all; `entry` goes into the ledger, unsettled, when it expires.

    Counters' names are unique within a team. `expires` is in seconds since the epoch.
    """

    id: str
    team: str
    holds: tuple[Hold, ...]
    expires: float
    entry: Entry


class Standing(msgspec.Struct, frozen=True, gc=False):
    """The state of one counter."""

    counter: str
    spent: int
    reserved: int


class Granted(msgspec.Struct, frozen=True, gc=False):
    """All holds were taken; standings after that, in the order of the holds."""

    standings: tuple[Standing, ...]


class Refused(msgspec.Struct, frozen=True, gc=False):
    """Nothing was taken, since the hold at place `hold` (the first such) does not fit; standings as they are."""

    hold: int
    standings: tuple[Standing, ...]


class Charge(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """An amount to add to what a counter has spent."""

    counter: str
    amount: int
    until: float | None


class Settlement(msgspec.Struct, frozen=True, gc=False):
    """The end of one request: all that its reservation holds is freed, the charges are made, the entry is written.

    Without a reservation of that id (none was needed, or the store was away) charges and entry are made all the same.
    Of one that had expired, what was charged then is taken back first, and its unsettled entry is replaced.
    """

    id: str
    team: str
    charges: tuple[Charge, ...]
    entry: Entry


class Settled(msgspec.Struct, frozen=True, gc=False):
    """What a settlement did: `applied` is False for one that had been made before, and changed nothing.

    `before` holds what each charge's counter had spent until then, `standings` their state afterwards; both are empty
    where it was not applied. Of several that are made at once, the last that charges a counter may tell it for all.
    """

    applied: bool
    before: tuple[int, ...]
    standings: tuple[Standing, ...]


class Kind(StrEnum):
    """Kinds of documents that are made at run time."""

    TEAM = "team"
    KEY = "key"


class Change(msgspec.Struct, frozen=True, gc=False):
    """A document to write; None removes it."""

    kind: Kind
    name: str
    document: bytes | None


class Store(Protocol):
    """The state that workers and replicas share. Every method may raise StoreUnavailableError."""

    async def open(self) -> None:
        """Make ready for use; to be awaited once, in the event loop that uses the store."""

    async def close(self) -> None:
        """Finish what was handed in, and let go of everything."""

    def take(self, reservation: Reservation) -> Granted | None:
        """Take all holds at once where this process can by itself; None: `reserve` has to ask. Durable as that."""

    async def reserve(self, reservation: Reservation) -> Granted | Refused:
        """Take all holds, or none; durable when it returns. The same id again returns Granted and takes nothing."""

    def note(self, settlement: Settlement) -> None:
        """Note how a request ended that is to be settled soon, where that costs next to nothing; returns at once.

        Should this process die before, its reservation is settled so when it expires, instead of charged.
        """

    async def settle(self, settlement: Settlement) -> Settled:
        """Settle a request; the same id again changes nothing."""

    async def settle_all(self, settlements: Sequence[Settlement]) -> tuple[Settled, ...]:
        """Settle several requests at once; as `settle`, of which each has its own answer."""

    async def renew(self, reservations: Mapping[str, Sequence[str]], expires: float) -> None:
        """Let the reservations, ids by team, expire later; those that are gone are passed over."""

    async def expire(self, now: float) -> tuple[Entry, ...]:
        """Charge what has expired until now: each hold's `lapsed`. Return the entries, which are unsettled now."""

    async def standings(self, team: str, counters: Sequence[str]) -> tuple[Standing, ...]:
        """Return the counters' states, in their order; one never used is at 0."""

    async def unsettled(self, team: str | None = None) -> tuple[Entry, ...]:
        """Return the entries of reservations that expired and were not settled since, oldest first."""

    def entries(self, span: Span, team: str | None = None) -> AsyncIterator[Entry]:
        """Yield the ledger's entries of that time, unsettled ones too, oldest first."""

    async def usage(self, span: Span, groups: Sequence[Group], team: str | None = None) -> tuple[Usages, ...]:
        """Return the sums over the ledger's entries of that time, unsettled ones too, by groups, in their order."""

    async def latest(self, query: Query, before: Place | None, limit: int) -> Page:
        """Return the ledger's latest entries that the query asks for, unsettled ones too, before that place."""

    async def find(self, id_: str, span: Span) -> Entry | None:
        """Return the entry of that id and time, of whichever team; None if there is none."""

    async def keep(self, receipts: Sequence[Receipt], most: int) -> None:
        """Write receipts, all of which the latest `most` are kept; one of the same team and id is replaced."""

    async def receipt(self, team: str, id_: str) -> Receipt | None:
        """Return a request's receipt; None where it has none, or has it no more."""

    async def prune(self, before: float) -> int:
        """Forget settled entries, receipts, and counters whose `until` is before; return how many entries."""

    async def touch(self) -> None:
        """Write something that changes nothing, to see whether that can be done."""

    async def danger(self) -> str:
        """Say what is set up so that what is kept can be lost without an error; "" where nothing is known of."""

    async def version(self) -> int:
        """Return a number that changes whenever a document does; 0 where none has been made yet."""

    async def documents(self, kind: Kind) -> Mapping[str, bytes]:
        """Return all documents of the kind, by name."""

    async def change(self, changes: Sequence[Change], version: int) -> bool:
        """Make all changes, if the documents' version is still this one; return whether. Durable when it returns."""
