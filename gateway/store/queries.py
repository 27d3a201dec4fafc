"""Questions to the ledger that are answered newest first, a page at a time."""

import string
from dataclasses import dataclass
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

    def wants(self, entry: Entry) -> bool:
        """Whether it asks for the entry; sqlite_ledger.py has the same in SQL."""
        if not self.since <= entry.time < self.until or self.team not in (None, entry.team):
            return False
        if self.status is not None and not self.status[0] <= entry.status <= self.status[1]:
            return False
        return all(getattr(entry, name) == value for name, value in self.values) and self._says(entry)

    def _says(self, entry: Entry) -> bool:
        text = folded(self.text)
        return entry.id.startswith(self.text) or any(text in folded(name) for name in (entry.user, entry.model))


@dataclass(frozen=True, slots=True)
class Page:
    """Entries, newest first, and the place before which there may be more; None: there is nothing before them.

    Only so many entries are looked at for a page: it can have fewer than were asked for, or none, and yet be followed.
    """

    entries: tuple[Entry, ...]
    then: Place | None


def place(entry: Entry) -> Place:
    """Return the entry's place in the ledger's order."""
    return Place(entry.time, entry.team, entry.id)


def folded(text: str) -> str:
    """Return the text without ASCII's capital letters."""
    return text.translate(_FOLDED)
