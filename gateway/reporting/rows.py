"""One row of a report, and all of them with their sum. Money is Decimal; what is not known is None, never 0."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from math import fsum

from gateway.pricing import usd_of
from gateway.store.entries import Group, State, Usages

_SUMMED = (
    "requests",
    "windowed",
    "tokens_original",
    "tokens_forwarded",
    "input",
    "cached",
    "cache_written",
    "output",
    "reasoning",
    "refused",
    "failed",
    "estimated",
    "unsettled",
    "shadowed",
    "tokens_shadowed",
    "tokens_window",
)


@dataclass(frozen=True, slots=True)
class Row:
    """Figures of the requests that share the values in `group`.

    `effective_tokens` is forwarded / original, None where nothing was windowed. `unpriced` requests may have cost
    something that is not known; cost and net saving (which can be negative) are those of the others, None where there
    are none. The work that was done on prompts of any is in the saving. Times are means in milliseconds, over the
    requests whose times are known.

    `shadowed` requests have a window that was made in shadow, of `tokens_window` for originals of `tokens_shadowed`.
    What these would have saved is in no other figure: nothing of it was saved. `would_save_share` is that of the
    tokens, None where there are none; `would_save_usd` sums what is known, that of `shadow_unpriced` is not.
    """

    group: tuple[str, ...]
    requests: int
    windowed: int
    tokens_original: int
    tokens_forwarded: int
    tokens_saved: int
    effective_tokens: float | None
    input: int
    cached: int
    cache_written: int
    output: int
    reasoning: int
    cost_usd: Decimal | None
    unpriced: int
    saved_usd: Decimal | None
    mean_total_ms: float | None
    mean_overhead_ms: float | None
    mean_first_byte_ms: float | None
    slowest_ms: float
    refused: int
    failed: int
    estimated: int
    unsettled: int
    shadowed: int
    tokens_shadowed: int
    tokens_window: int
    tokens_would_save: int
    would_save_share: float | None
    would_save_usd: Decimal | None
    shadow_unpriced: int


@dataclass(frozen=True, slots=True)
class Table:
    """Rows by groups, in the order of the groups' values, and the row of all of them.

    Where only the largest are shown, `rest` is the row of the other ones, `others` in number.
    """

    groups: tuple[Group, ...]
    rows: tuple[Row, ...]
    total: Row
    rest: Row | None = None
    others: int = 0

    @property
    def in_shadow(self) -> "Table":
        """The table without the groups that have no window in shadow."""
        rest = self.rest if self.rest and self.rest.shadowed else None
        return replace(self, rows=tuple(row for row in self.rows if row.shadowed), rest=rest)


def table(usages: Sequence[Usages], by: Sequence[Group], groups: Sequence[Group], most: int | None = None) -> Table:
    """Return the table by `groups` of sums by `by`, which must have these and the state among them.

    Of more than `most` groups, those with the highest cost are shown.
    """
    places = [by.index(group) for group in groups]
    parts: dict[tuple[str, ...], list[Usages]] = {}
    for usage in usages:
        parts.setdefault(tuple(usage.group[place] for place in places), []).append(usage)
    state = by.index(Group.STATE)
    none = ("",) * len(places)
    shown = sorted(sorted(parts, key=lambda group: _size(parts[group]), reverse=True)[:most])
    others = [part for group in parts.keys() - set(shown) for part in parts[group]]
    return Table(
        groups=tuple(groups),
        rows=tuple(_row(group, parts[group], state) for group in shown),
        total=_row(none, usages, state),
        rest=_row(none, others, state) if others else None,
        others=len(parts) - len(shown),
    )


def nothing(*group: str) -> Row:
    """Return the row of no requests."""
    return _row(group, (), 0)


def _size(parts: Sequence[Usages]) -> tuple[int, int]:
    return sum(part.cost_nano for part in parts), sum(part.requests for part in parts)


def _row(group: tuple[str, ...], parts: Sequence[Usages], state: int) -> Row:
    sums = {name: sum(getattr(part, name) for part in parts) for name in _SUMMED}
    original, forwarded = sums["tokens_original"], sums["tokens_forwarded"]
    timed = sum(part.timed for part in parts)
    priced, saved = (sum(getattr(part, name) for part in parts) for name in ("priced", "saved_nano"))
    known = sum(part.shadow_priced for part in parts)
    in_shadow, windows = sums["tokens_shadowed"], sums["tokens_window"]
    return Row(
        group=group,
        tokens_saved=original - forwarded,
        effective_tokens=forwarded / original if sums["windowed"] and original else None,
        cost_usd=usd_of(sum(part.cost_nano for part in parts)) if priced else None,
        unpriced=_unpriced(parts, state),
        saved_usd=usd_of(saved) if priced or saved else None,
        mean_total_ms=_mean((part.total_ms for part in parts), timed),
        mean_overhead_ms=_mean((part.overhead_ms for part in parts), timed),
        mean_first_byte_ms=_mean((part.first_byte_ms for part in parts), sum(part.first_bytes for part in parts)),
        slowest_ms=max((part.slowest_ms for part in parts), default=0.0),
        tokens_would_save=in_shadow - windows,
        would_save_share=(in_shadow - windows) / in_shadow if in_shadow else None,
        would_save_usd=usd_of(sum(part.would_save_nano for part in parts)) if known else None,
        shadow_unpriced=sums["shadowed"] - known,
        **sums,
    )


def _unpriced(parts: Iterable[Usages], state: int) -> int:
    """Count the requests of unknown cost; those on which nothing was spent have none."""
    return sum(part.requests - part.priced for part in parts if part.group[state] != State.FREE)


def _mean(sums: Iterable[float], count: int) -> float | None:
    return fsum(sums) / count if count else None
