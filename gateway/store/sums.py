"""Sums over the ledger's entries, by groups; sqlite_ledger.py has the same in SQL."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from functools import lru_cache

from gateway.store.entries import Entry, Group, State, Usages


@dataclass(slots=True)
class _Totals:
    """What Usages holds beside the group."""

    requests: int = 0
    windowed: int = 0
    tokens_original: int = 0
    tokens_forwarded: int = 0
    input: int = 0
    cached: int = 0
    cache_written: int = 0
    output: int = 0
    reasoning: int = 0
    priced: int = 0
    cost_nano: int = 0
    saved_nano: int = 0
    refused: int = 0
    failed: int = 0
    estimated: int = 0
    unsettled: int = 0
    timed: int = 0
    total_ms: float = 0.0
    overhead_ms: float = 0.0
    first_bytes: int = 0
    first_byte_ms: float = 0.0
    slowest_ms: float = 0.0
    shadowed: int = 0
    tokens_shadowed: int = 0
    tokens_window: int = 0
    shadow_priced: int = 0
    would_save_nano: int = 0

    def add(self, entry: Entry) -> None:
        """Add one entry."""
        self.requests += 1
        self.input += entry.input
        self.cached += entry.cached
        self.cache_written += entry.cache_written
        self.output += entry.output
        self.reasoning += entry.reasoning
        self._add_outcome(entry)
        self._add_optional(entry)
        self._add_times(entry)
        if entry.tokens_window is not None:
            self._add_shadow(entry, entry.tokens_window)

    def _add_outcome(self, entry: Entry) -> None:
        self.windowed += entry.decision == "applied" and entry.tokens_forwarded is not None
        self.refused += entry.status == 429
        self.failed += entry.status >= 500
        self.estimated += entry.state is State.ESTIMATED
        self.unsettled += entry.state is State.UNSETTLED

    def _add_optional(self, entry: Entry) -> None:
        if entry.tokens_original is not None and entry.tokens_forwarded is not None:
            self.tokens_original += entry.tokens_original
            self.tokens_forwarded += entry.tokens_forwarded
        if entry.cost_nano is not None:
            self.priced += 1
            self.cost_nano += entry.cost_nano
        self.saved_nano += entry.saved_nano or 0

    def _add_times(self, entry: Entry) -> None:
        self.timed += entry.total_ms > 0
        self.total_ms += entry.total_ms
        self.overhead_ms += entry.overhead_ms
        self.slowest_ms = max(self.slowest_ms, entry.total_ms)
        if entry.first_byte_ms is not None:
            self.first_bytes += 1
            self.first_byte_ms += entry.first_byte_ms

    def _add_shadow(self, entry: Entry, tokens: int) -> None:
        self.shadowed += 1
        self.tokens_shadowed += entry.tokens_original or 0
        self.tokens_window += tokens
        self.shadow_priced += entry.would_save_nano is not None
        self.would_save_nano += entry.would_save_nano or 0


_NAMES = tuple(field.name for field in fields(_Totals))


class Sums:
    """Sums by groups, to which entries are added as they are read."""

    def __init__(self, groups: Sequence[Group]) -> None:
        self._values = tuple(_VALUES[group] for group in groups)
        self._totals: dict[tuple[str, ...], _Totals] = {}

    def add(self, entries: Iterable[Entry]) -> None:
        """Add the entries."""
        for entry in entries:
            group = tuple(value(entry) for value in self._values)
            totals = self._totals.get(group)
            if totals is None:
                totals = self._totals[group] = _Totals()
            totals.add(entry)

    def usages(self) -> tuple[Usages, ...]:
        """Return the sums in the order of the groups' values."""
        return tuple(
            Usages(group, **{name: getattr(totals, name) for name in _NAMES})
            for group, totals in sorted(self._totals.items(), key=lambda item: item[0])
        )


@lru_cache(maxsize=4096)
def _hour(number: int) -> str:
    return datetime.fromtimestamp(number * 3600, UTC).strftime("%Y-%m-%dT%H:00")


_VALUES: Mapping[Group, Callable[[Entry], str]] = {
    Group.TEAM: lambda entry: entry.team,
    Group.KEY: lambda entry: entry.key,
    Group.USER: lambda entry: entry.user,
    Group.MODEL: lambda entry: entry.model,
    Group.UPSTREAM: lambda entry: entry.upstream,
    Group.ROUTE: lambda entry: entry.route,
    Group.STATE: lambda entry: entry.state.value,
    Group.STATUS: lambda entry: str(entry.status),
    Group.REASON: lambda entry: entry.reason,
    Group.DAY: lambda entry: _hour(int(entry.time // 3600))[:10],
    Group.HOUR: lambda entry: _hour(int(entry.time // 3600)),
}
