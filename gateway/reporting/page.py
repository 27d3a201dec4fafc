"""One HTML file with charts, which loads nothing: the figures are tables, and a script draws charts from these.

Every name and value is escaped, and the page's own policy lets only its own two scripts run.
"""

import base64
import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from html import escape
from importlib.resources import files
from string import Template

from gateway.reporting.columns import IN_SHADOW, SHADOW, Column, Unit, named, notes
from gateway.reporting.gather import Charted
from gateway.reporting.periods import said
from gateway.reporting.rows import Row, Table, nothing

_SUMMARY = named(
    "requests",
    "tokens_original",
    "tokens_forwarded",
    "tokens_saved",
    "effective_tokens",
    "cost_usd",
    "saved_usd",
    "mean_total_ms",
    "refused",
    "failed",
)
_CHARTED = named(
    "requests", "tokens_original", "tokens_forwarded", "tokens_saved", "cost_usd", "saved_usd", "refused", "failed"
)
_TABLE = named(
    "requests",
    "tokens_original",
    "tokens_forwarded",
    "tokens_saved",
    "effective_tokens",
    "input",
    "cached",
    "output",
    "cost_usd",
    "unpriced",
    "saved_usd",
    "mean_total_ms",
    "mean_overhead_ms",
    "mean_first_byte_ms",
    "refused",
    "failed",
    "estimated",
    "unsettled",
)


@dataclass(frozen=True, slots=True)
class _Chart:
    """A canvas, and which of a table's columns are drawn in it; `line` is the one drawn as a line above the bars."""

    title: str
    columns: str
    stacked: bool = False
    line: str = ""


_TOKENS = _Chart("tokens", "tokens_forwarded tokens_saved tokens_original", stacked=True, line="tokens_original")
_BARS_OF_TOKENS = _Chart("tokens", "tokens_forwarded tokens_saved", stacked=True)
_MONEY = _Chart("money in USD", "cost_usd saved_usd")
_SAVED = _Chart("net money saved in USD", "saved_usd")
_TROUBLE = _Chart("refusals and failures", "refused failed", stacked=True)


def to_html(report: Charted) -> str:
    """Return the page."""
    library, script, style = _library(), _asset("report.js"), _asset("report.css")
    return Template(_asset("report.html")).substitute(
        policy=f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(library)} {_hash(script)}",
        span=escape(said(report.scope.span)),
        team="" if report.scope.team is None else f", team {escape(report.scope.team)}",
        style=style,
        body="\n".join(_body(report)),
        library=library,
        script=script,
    )


def _body(report: Charted) -> Iterator[str]:
    total = report.table.total
    yield f'<section class="wide">{_summary(total)}</section>'
    if not total.requests:
        return
    if total.shadowed:
        table = _table("shadow", report.table.in_shadow, SHADOW) if report.scope.groups else ""
        yield f'<section class="wide long"><h2>{IN_SHADOW}</h2><dl>{_tiles(total, SHADOW)}</dl>{table}</section>'
    yield from _charts("days", "by day", _without_gaps(report.days), _TOKENS, _SAVED, _TROUBLE)
    yield from _charts("teams", "by team", _by_size(report.teams), _BARS_OF_TOKENS, _MONEY)
    yield from _charts("models", "by model", _by_size(report.models), _BARS_OF_TOKENS, _MONEY)
    if report.scope.groups:
        heading = f"<h2>By {', '.join(report.scope.groups)}</h2>"
        yield f'<section class="wide long">{heading}{_table("groups", report.table, _TABLE)}</section>'


def _summary(total: Row) -> str:
    if not total.requests:
        return "<p>The ledger holds no request of this time.</p>"
    return f"<dl>{_tiles(total, _SUMMARY)}</dl>" + "".join(f'<p class="note">{note}</p>' for note in notes(total))


def _tiles(total: Row, columns: Sequence[Column]) -> str:
    return "".join(f"<div><dt>{column.title}</dt><dd>{column.shown(total)}</dd></div>" for column in columns)


def _charts(name: str, by: str, table: Table, *charts: _Chart) -> Iterator[str]:
    """Yield a section for each chart; the last one has the table of which all of them are drawn."""
    lying = name != "days"
    height = f' class="chart rows-{min(len(table.rows) + bool(table.rest), 16)}"' if lying else ' class="chart"'
    for place, chart in enumerate(charts):
        heading = f"{chart.title} {by}".capitalize().replace(" usd", " USD")
        marks = _marks(chart, lying)
        canvas = f'<canvas role="img" aria-label="{heading}" data-table="{name}" {marks}></canvas>'
        figures = f"<details><summary>Figures</summary>{_table(name, table, _CHARTED)}</details>"
        last = figures if place == len(charts) - 1 else ""
        wide = ' class="wide"' if name == "days" and place == 0 else ""
        yield f"<section{wide}><h2>{heading}</h2><div{height}>{canvas}</div>{last}</section>"


def _marks(chart: _Chart, lying: bool) -> str:
    line = f' data-line="{chart.line}"' if chart.line else ""
    return f'data-columns="{chart.columns}"{line}{" data-stacked" * chart.stacked}{" data-lying" * lying}'


def _table(name: str, table: Table, columns: Sequence[Column]) -> str:
    titles = "".join(f'<th data-column="{column.name}">{column.title}</th>' for column in columns)
    groups = "".join(f'<th class="group">{group}</th>' for group in table.groups)
    rows = "".join(f"<tr>{_names(row.group)}{_figures(row, columns)}</tr>" for row in table.rows)
    if table.rest is not None:
        rows += f"<tr>{_spanning(f'{table.others:,} others', table)}{_figures(table.rest, columns)}</tr>"
    total = f"<tr>{_spanning('total', table)}{_figures(table.total, columns)}</tr>"
    head, foot = f"<thead><tr>{groups}{titles}</tr></thead>", f"<tfoot>{total}</tfoot>"
    return f'<div class="scroll"><table id="{name}">{head}<tbody>{rows}</tbody>{foot}</table></div>'


def _names(group: tuple[str, ...]) -> str:
    return "".join(f'<th scope="row">{escape(value) or "(none)"}</th>' for value in group)


def _spanning(text: str, table: Table) -> str:
    return f'<th scope="row" colspan="{len(table.groups)}">{text}</th>'


def _figures(row: Row, columns: Sequence[Column]) -> str:
    return "".join(f"<td{_exactly(row, column)}>{column.shown(row)}</td>" for column in columns)


def _exactly(row: Row, column: Column) -> str:
    """Return the mark with the exact figure, where the one that is shown is rounded or says that none is known."""
    return "" if column.unit is Unit.COUNT else f' data-value="{column.exact(row)}"'


def _by_size(table: Table) -> Table:
    """Return the table with the dearest first, as a chart of names is best read."""
    return replace(
        table, rows=tuple(sorted(table.rows, key=lambda row: (row.cost_usd or 0, row.requests), reverse=True))
    )


def _without_gaps(days: Table) -> Table:
    """Return the table with the days between on which nothing came."""
    found = {row.group[0]: row for row in days.rows}
    first, last = (date.fromisoformat(day) for day in (min(found), max(found)))
    every = [(first + timedelta(days=number)).isoformat() for number in range((last - first).days + 1)]
    return replace(days, rows=tuple(found.get(day) or nothing(day) for day in every))


def _library() -> str:
    """Return the chart library with its licence, without the line that makes developers' tools ask for its source."""
    code = re.sub(r"\n//# sourceMappingURL=\S+", "", _asset("chart.umd.min.js"))
    return f"/*\n{_asset('chart.LICENSE.txt')}*/\n{code}"


def _asset(name: str) -> str:
    return (files("gateway.reporting") / "assets" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
