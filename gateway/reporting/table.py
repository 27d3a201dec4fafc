"""A table for a terminal; counts are shortened where they would not fit."""

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table as Grid
from rich.text import Text

from gateway.reporting.columns import IN_SHADOW, SHADOW, Column, named, notes
from gateway.reporting.rows import Row, Table

# What somebody wants to see first; CSV and JSON have the rest.
_SHOWN = named(
    "requests",
    "tokens_original",
    "tokens_forwarded",
    "effective_tokens",
    "cost_usd",
    "saved_usd",
    "mean_total_ms",
    "refused",
    "failed",
)
_NARROW = tuple(column for column in _SHOWN if column.name != "tokens_forwarded")
_WIDTH_OF_FILES = 160
_WIDTH_OF_NAMES = 32
_ENDLESS = 100_000


def to_text(table: Table, terminal: bool) -> str:
    """Return the table, its sum, and what is not known: as the terminal shows it, or for a file, wide and plain."""
    console = Console() if terminal else Console(width=_WIDTH_OF_FILES, no_color=True, force_terminal=False)
    with console.capture() as captured:
        console.print(_fitting(table, console, _SHOWN, _NARROW))
        if table.total.shadowed:
            console.print(f"\n{IN_SHADOW}:\n", soft_wrap=True)
            console.print(_fitting(table.in_shadow, console, SHADOW, SHADOW))
        for note in notes(table.total):
            console.print(Text(note), style="dim", soft_wrap=True)
    return captured.get()


def _fitting(table: Table, console: Console, columns: Sequence[Column], narrow: Sequence[Column]) -> Grid:
    wide = _wide(table, columns)
    room = console.options.update(max_width=_ENDLESS)
    return wide if Measurement.get(console, room, wide).maximum <= console.width else _narrow(table, narrow)


def _wide(table: Table, columns: Sequence[Column]) -> Grid:
    grid = _grid(table, gap=2, heading_above="\n")
    for column in columns:
        # The words of a heading under each other: figures need less room than their names.
        words = column.title.rpartition(" ")
        _add_figures(grid, f"{words[0]}\n{words[2]}", column.shown(table.total))
    for names, row in _lines(table):
        grid.add_row(*names, *(column.shown(row) for column in columns))
    return grid


def _narrow(table: Table, columns: Sequence[Column]) -> Grid:
    grid = _grid(table, gap=1)
    for column in columns:
        _add_figures(grid, column.brief or column.title, column.short(table.total))
    for names, row in _lines(table):
        grid.add_row(*names, *(column.short(row) for column in columns))
    return grid


def _lines(table: Table) -> Iterator[tuple[list[Text], Row]]:
    """Yield each row with its names, and the row of the others where there are some."""
    yield from ((_names(row.group), row) for row in table.rows)
    if table.rest is not None:
        yield [Text(f"{table.others:,} others"), *[Text("")] * (len(table.groups) - 1)], table.rest


def _grid(table: Table, gap: int, heading_above: str = "") -> Grid:
    """Return a table that has columns for the groups, and no row yet."""
    grid = Grid(box=None, highlight=False, pad_edge=False, padding=(0, gap, 0, 0), show_footer=bool(table.groups))
    for place, group in enumerate(table.groups):
        grid.add_column(
            f"{heading_above}{group}",
            "total" if place == 0 else "",
            overflow="fold",
            footer_style="bold",
            min_width=6,
            max_width=_WIDTH_OF_NAMES,
        )
    return grid


def _add_figures(grid: Grid, heading: str, total: str) -> None:
    grid.add_column(heading, total, justify="right", no_wrap=True, footer_style="bold")


def _names(values: Sequence[str]) -> list[Text]:
    """Return the callers' words without what a terminal would obey or could not show."""
    return [Text("".join(c if c.isprintable() else "·" for c in value) or "(none)") for value in values]
