"""A table as CSV, which a spreadsheet can open without running what a caller wrote, and as JSON's plain values."""

import csv
import io
import re
import unicodedata
from collections.abc import Iterator
from decimal import Decimal

from gateway.reporting.columns import COLUMNS, Figure
from gateway.reporting.gather import Scope
from gateway.reporting.periods import iso
from gateway.reporting.rows import Row, Table
from gateway.store.entries import Group

Plain = dict[str, object]
# Where a spreadsheet begins a cell: in many countries the separator is a semicolon, and quotes in the middle of what it
# then takes for a cell protect nothing.
_CELLS = re.compile(r"([;\t\r\n])")


def to_csv(table: Table) -> str:
    """Return the rows, each figure exact. Their sum is left out: who adds up a column would count everything twice."""
    out = io.StringIO()
    lines = csv.writer(out)
    lines.writerow([*table.groups, *(column.name for column in COLUMNS)])
    for row in table.rows:
        lines.writerow([*map(_harmless, row.group), *(column.exact(row) for column in COLUMNS)])
    return out.getvalue()


def _harmless(value: str) -> str:
    """Return the text such that no spreadsheet takes it, or what it splits off, for a formula."""
    text = "".join(f"'{part}" if _is_formula(part) else part for part in _CELLS.split(value))
    return f"'{text}" if value[:1] in {"\t", "\r", "\n"} else text


def _is_formula(part: str) -> bool:
    return unicodedata.normalize("NFKC", part.lstrip()[:1]) in {"=", "+", "-", "@"}


def to_plain(table: Table, scope: Scope) -> Plain:
    """Return the report as values that JSON knows; money as text, since JSON's numbers are floats to most readers."""
    return {
        "from": iso(scope.span.since),
        "to": iso(scope.span.until),
        "team": scope.team,
        "group_by": list(scope.groups),
        "others": table.others,
        "rows": [{"group": _group(table.groups, row), **dict(_figures(row))} for row in table.rows],
        "rest": dict(_figures(table.rest)) if table.rest else None,
        "total": dict(_figures(table.total)),
    }


def _group(groups: tuple[Group, ...], row: Row) -> dict[str, str]:
    return {group.value: value for group, value in zip(groups, row.group, strict=True)}


def _figures(row: Row) -> Iterator[tuple[str, object]]:
    for column in COLUMNS:
        yield column.name, _plain(column.of(row), column.exact(row))


def _plain(figure: Figure, exact: str) -> object:
    if isinstance(figure, Decimal):
        return exact
    return float(exact) if isinstance(figure, float) else figure
