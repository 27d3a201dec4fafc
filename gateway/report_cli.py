"""`context-gateway report`: what the ledger holds, as a table, CSV, JSON or a page with charts."""

import asyncio
import json
import sys
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from gateway import stores
from gateway.config import Settings
from gateway.reporting.gather import Charted, Scope, charted, groups_of, tabled
from gateway.reporting.page import to_html
from gateway.reporting.periods import DEFAULT, PeriodError, said, span_of
from gateway.reporting.render import to_csv, to_plain
from gateway.reporting.rows import Table
from gateway.reporting.table import to_text
from gateway.store.contract import StoreUnavailableError
from gateway.terminal import ConfigOption, JsonOption, fail, load_or_exit, progress

_MOST_LINES = 500  # of a table for people; laying out a hundred thousand takes minutes


class Format(StrEnum):
    """How a report is written."""

    TABLE = "table"
    CSV = "csv"
    HTML = "html"
    JSON = "json"


def report(  # noqa: PLR0913, PLR0917 - a command's options
    config: ConfigOption = None,
    group_by: Annotated[str, typer.Option(help="Such as team,key,user,model,day; '' for the sum alone.")] = (
        "team,model"
    ),
    since: Annotated[str, typer.Option("--from", help="7d, 24h, today, month, a date, a time with a zone.")] = DEFAULT,
    to: Annotated[str | None, typer.Option(help="The same; a day is part of it. Now by default.")] = None,
    team: Annotated[str | None, typer.Option(help="This team's requests alone.")] = None,
    form: Annotated[Format, typer.Option("--format", help="How it is written.")] = Format.TABLE,
    out: Annotated[Path | None, typer.Option(help="A file to write instead of standard output.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Say what was used, saved and spent, from the ledger."""
    form = Format.JSON if as_json else form
    scope = _scope(group_by, since, to, team, _MOST_LINES if form is Format.TABLE else None)
    if form is Format.HTML and out is None and sys.stdout.isatty():
        fail("name a file for the page, as in --out report.html")
    settings = load_or_exit(config)
    with progress("reading the ledger", quiet=form is Format.JSON):
        found = _read(settings, config, scope, form)
    table = found.table if isinstance(found, Charted) else found
    if not table.total.requests:
        whose = f" of team {team}" if team else ""
        typer.echo(f"The ledger holds no requests{whose} from {said(scope.span)}.", err=form is not Format.TABLE)
        if form is Format.TABLE:
            return
    _write(_text(found, scope, form, out), out)


def _scope(group_by: str, since: str, to: str | None, team: str | None, most: int | None) -> Scope:
    try:
        return Scope(span_of(since, to, datetime.now(UTC)), groups_of(group_by), team, most)
    except PeriodError as error:
        fail(f"--{error.field}: {error}")
    except ValueError as error:
        fail(f"--group-by: {error}")


def _read(settings: Settings, config: Path | None, scope: Scope, form: Format) -> Table | Charted:
    async def read() -> Table | Charted:
        async with stores.opened(settings, config) as store:
            return await (charted if form is Format.HTML else tabled)(store, scope)

    try:
        return asyncio.run(read())
    except StoreUnavailableError as error:
        fail(f"the store can't be used: {error}")


def _text(found: Table | Charted, scope: Scope, form: Format, out: Path | None) -> str:
    if isinstance(found, Charted):
        return to_html(found)
    if form is Format.CSV:
        return to_csv(found)
    if form is Format.JSON:
        return json.dumps(to_plain(found, scope), indent=2) + "\n"
    return to_text(found, terminal=out is None and sys.stdout.isatty())


def _write(text: str, out: Path | None) -> None:
    # What a caller named may hold halves of characters, which are no UTF-8.
    content = text.encode("utf-8", "replace")
    if out is None:
        typer.echo(content, nl=False)
        return
    try:
        out.write_bytes(content)
    except OSError as error:
        fail(f"{out}: {error.strerror}")
