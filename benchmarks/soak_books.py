"""What the soak's ledger must say: every request once, what the upstream billed, nothing else."""

from collections import Counter
from dataclasses import dataclass

from benchmarks.books import disagreements
from benchmarks.soak_load import Seen
from gateway.store.contract import Standing
from gateway.store.entries import Entry, State

Bills = dict[str, tuple[int, int]]
_BILLED = (State.SETTLED, State.ESTIMATED)


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must hold, and what was found."""

    what: str
    found: str
    good: bool


def checks(seen: Seen, entries: list[Entry], standing: Standing, bills: Bills) -> list[Check]:
    """Return what must hold of the ledger."""
    by_id = {entry.id: entry for entry in entries}
    twice = len(entries) - len(by_id)
    lost = [name for name in seen.ids.values() if name not in by_id]
    strangers = _strangers(seen, entries)
    per_user = Counter(entry.user for entry in entries if entry.state in _BILLED)
    unbooked = [user for user in bills if per_user[user] != 1]
    settled = [entry for entry in entries if entry.state is State.SETTLED]
    off = sum(abs(e.input - bills[e.user][0]) + abs(e.output - bills[e.user][1]) for e in settled)
    states = Counter(str(entry.state) for entry in entries)
    apart = disagreements(entries, standing)
    return [
        Check("requests sent, entries", f"{seen.sent:,}, {len(entries):,}", len(entries) <= seen.sent),
        Check("entries by state", ", ".join(f"{k} {v:,}" for k, v in sorted(states.items())), not states["unsettled"]),
        Check("replies as they had to be", _words(seen.unexpected) or "all", not seen.unexpected),
        Check("answered, but not in the ledger", str(len(lost)), not lost),
        Check("twice in the ledger", str(twice), not twice),
        Check("in the ledger, but nobody's", str(strangers), not strangers),
        Check("billed, but not once in the ledger", str(len(unbooked)), not unbooked),
        Check("settled entries against bills, tokens off", f"{off} of {_tokens(settled):,}", not off and bool(settled)),
        Check("counter, ledger, reservations", "; ".join(apart) or "agree, nothing reserved", not apart),
    ]


def _strangers(seen: Seen, entries: list[Entry]) -> int:
    """Return how many entries belong to no request that was sent."""
    known = set(seen.ids.values())
    others = [entry for entry in entries if entry.id not in known and entry.user not in seen.left]
    # Of those who were refused before they had sent all, and went without reading why, only the number is known.
    unnamed = min(seen.unnamed, sum(not entry.user for entry in others))
    return len(others) - unnamed


def _tokens(entries: list[Entry]) -> int:
    return sum(entry.input + entry.output for entry in entries)


def _words(counts: Counter[tuple[str, str]]) -> str:
    return ", ".join(f"{kind} {how}: {count}" for (kind, how), count in sorted(counts.items()))
