"""Questions to the ledger that are answered newest first, a page at a time."""

import string
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from operator import attrgetter
from typing import NamedTuple

from gateway.store.entries import Entry, State

_FOLDED = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


class Place(NamedTuple):
    """Where an entry is in the ledger's order."""

    time: float
    team: str
    id: str


@dataclass(frozen=True, slots=True)
class Query:
    """Which entries are asked for: those of since <= time < until with all of these values; None: whatever they are.

    `status` is the lowest and the highest; `text` is what an id begins with, or what is in a user's or model's name,
    capital letters of ASCII or not.
    """

    since: float
    until: float
    team: str | None = None
    key: str | None = None
    user: str | None = None
    model: str | None = None
    reason: str | None = None
    decision: str | None = None
    state: State | None = None
    status: tuple[int, int] | None = None
    text: str = ""

    @property
    def values(self) -> tuple[tuple[str, str], ...]:
        """The entries' fields that must have a value, with it; the team's is not among them."""
        wanted = (
            ("key", self.key),
            ("user", self.user),
            ("model", self.model),
            ("reason", self.reason),
            ("decision", self.decision),
            ("state", self.state),
        )
        return tuple((name, value) for name, value in wanted if value is not None)

    def among(self, entries: Iterable[Entry]) -> Iterator[Entry]:
        """Yield the entries that it asks for; sqlite_ledger.py has the same in SQL."""
        found: Iterator[Entry] = (entry for entry in entries if self.since <= entry.time < self.until)
        if self.team is not None:
            found = _of(found, "team", self.team)
        for name, value in self.values:
            found = _of(found, name, value)
        if self.status is not None:
            found = _between(found, *self.status)
        return _saying(found, self.text) if self.text else found


@dataclass(frozen=True, slots=True)
class Page:
    """Entries, newest first, and the place before which there may be more; None: there is nothing before them.

    Only so many entries are looked at for a page: it can have fewer than were asked for, or none, and yet be followed.
    """

    entries: tuple[Entry, ...]
    then: Place | None


def _of(entries: Iterator[Entry], name: str, value: str) -> Iterator[Entry]:
    of = attrgetter(name)
    return (entry for entry in entries if of(entry) == value)


def _between(entries: Iterator[Entry], lowest: int, highest: int) -> Iterator[Entry]:
    return (entry for entry in entries if lowest <= entry.status <= highest)


def _saying(entries: Iterator[Entry], text: str) -> Iterator[Entry]:
    low = folded(text)
    return (
        entry
        for entry in entries
        if entry.id.startswith(text) or low in folded(entry.user) or low in folded(entry.model)
    )


def place(entry: Entry) -> Place:
    """Return the entry's place in the ledger's order."""
    return Place(entry.time, entry.team, entry.id)


def folded(text: str) -> str:
    """Return the text without ASCII's capital letters."""
    return text.translate(_FOLDED)
