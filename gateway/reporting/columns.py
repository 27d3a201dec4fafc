"""The figures of a row: their names, and how each is written, exactly for programs and shortened for people."""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from gateway.reporting.rows import Row

Figure = int | float | Decimal | None
UNKNOWN = "–"
_CENT = Decimal("0.01")
_STEPS = ((10**9, "B"), (10**6, "M"), (10**3, "K"))


class Unit(StrEnum):
    """What a figure is."""

    COUNT = "count"
    USD = "USD"
    MS = "ms"
    SHARE = "share"


@dataclass(frozen=True, slots=True)
class Column:
    """One figure of every row: the row's attribute of that name."""

    name: str
    title: str
    unit: Unit = Unit.COUNT
    brief: str = ""  # the title where there is little room

    def of(self, row: Row) -> Figure:
        """Return the row's figure."""
        figure: Figure = getattr(row, self.name)
        return figure

    def exact(self, row: Row) -> str:
        """Return the figure for programs: money to the nano-dollar, nothing where it is not known."""
        return _exact(self.of(row))

    def shown(self, row: Row) -> str:
        """Return the figure for people."""
        return _shown(self.of(row), self.unit)

    def short(self, row: Row) -> str:
        """Return the figure where there is little room, in some three digits."""
        return _short(self.of(row), self.unit)


def _exact(figure: Figure) -> str:
    match figure:
        case None:
            return ""
        case Decimal():
            return f"{figure:.9f}"
        case float():
            return f"{figure:.4f}"
    return str(figure)


def _shown(figure: Figure, unit: Unit) -> str:
    match figure:
        case None:
            return UNKNOWN
        case Decimal():
            return money(figure)
        case float():
            return f"{figure:.1%}" if unit is Unit.SHARE else f"{figure:,.1f}"
    return f"{figure:,}"


def _short(figure: Figure, unit: Unit) -> str:
    match figure:
        case int():
            return compact(figure)
        case float() if unit is Unit.MS:
            return f"{figure:,.0f}"
        case Decimal() if abs(figure) >= 1:
            return f"{figure:,.0f}" if abs(figure) >= 100 else f"{figure:.2f}"
    return _shown(figure, unit)


def money(usd: Decimal) -> str:
    """Return an amount to a hundredth of a cent; one below a cent whole, since it would be rounded to nothing."""
    return f"{usd:,.9f}".rstrip("0") if 0 < abs(usd) < _CENT else f"{usd:,.4f}"


def compact(count: int) -> str:
    """Return a count in five characters or so: 12,345,678 as 12.3M."""
    if abs(count) < 10_000:
        return f"{count:,}"
    size, suffix = next(step for step in _STEPS if abs(count) >= step[0])
    value = count / size
    return f"{value:,.0f}{suffix}" if abs(value) >= 100 else f"{value:.1f}{suffix}"


COLUMNS = (
    Column("requests", "requests"),
    Column("windowed", "windowed"),
    Column("tokens_original", "tokens original", brief="tokens"),
    Column("tokens_forwarded", "tokens forwarded"),
    Column("tokens_saved", "tokens saved"),
    Column("effective_tokens", "effective tokens", Unit.SHARE, "kept"),
    Column("input", "input"),
    Column("cached", "cached"),
    Column("cache_written", "cache written"),
    Column("output", "output"),
    Column("reasoning", "reasoning"),
    Column("cost_usd", "cost USD", Unit.USD, "cost $"),
    Column("unpriced", "unpriced"),
    Column("saved_usd", "net saved USD", Unit.USD, "saved $"),
    Column("mean_total_ms", "mean ms", Unit.MS, "ms"),
    Column("mean_overhead_ms", "overhead ms", Unit.MS),
    Column("mean_first_byte_ms", "first byte ms", Unit.MS),
    Column("slowest_ms", "slowest ms", Unit.MS),
    Column("refused", "refused", brief="429"),
    Column("failed", "failed", brief="5xx"),
    Column("estimated", "estimated"),
    Column("unsettled", "unsettled"),
    Column("shadowed", "windows in shadow", brief="windows"),
    Column("tokens_shadowed", "tokens of originals", brief="originals"),
    Column("tokens_window", "tokens of windows", brief="in them"),
    Column("tokens_would_save", "would save tokens", brief="would save"),
    Column("would_save_share", "would save %", Unit.SHARE, "%"),
    Column("would_save_usd", "would save net USD", Unit.USD, "net $"),
    Column("shadow_unpriced", "in shadow, unpriced"),
)


def named(*names: str) -> tuple[Column, ...]:
    """Return the columns of these names, in their order."""
    by_name = {column.name: column for column in COLUMNS}
    return tuple(by_name[name] for name in names)


IN_SHADOW = "What windows would have saved that were made in shadow mode; nothing of it was saved"
SHADOW = named(
    "shadowed", "tokens_shadowed", "tokens_window", "tokens_would_save", "would_save_share", "would_save_usd"
)


def notes(total: Row) -> tuple[str, ...]:
    """Say of which requests the figures do not hold what the upstream said."""
    said = (
        (total.unpriced, "of unknown cost, in no sum of money"),
        (total.estimated, "estimated: the upstream's own usage never came"),
        (total.unsettled, "unsettled: their gateway died, they count as the most they can have been"),
        (total.shadow_unpriced, "with a window in shadow of which nobody knows what money it would have saved"),
    )
    return tuple(f"{count:,} request{'' if count == 1 else 's'} {what}" for count, what in said if count)
