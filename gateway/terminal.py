"""What the commands have in common: the configuration's option, mistakes in one line, tables, progress."""

import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from gateway.config import Settings, load
from gateway.yaml_source import ConfigError

ConfigOption = Annotated[Path | None, typer.Option("--config", "-c", help="YAML file; without it the environment.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def fail(message: str) -> NoReturn:
    """End the command with the message."""
    typer.echo(message, err=True)
    raise typer.Exit(2)


def load_or_exit(path: Path | None) -> Settings:
    """Return the settings, or end the command with every mistake in them."""
    try:
        return load(path)
    except ConfigError as error:
        fail(str(error))


def named_key(name: str | None) -> str | None:
    """Return the key that stands in the environment under that name, or end the command; None where none is named."""
    if name is None:
        return None
    return os.environ.get(name) or fail(f"--key-from: the environment has no {name}")


def duration(text: str) -> timedelta | None:
    """Return the time that a text such as `90d` or `15m` names; None where it names none."""
    found = re.fullmatch(r"(\d{1,6})([smhdw])", text)
    return timedelta(**{_UNITS[found[2]]: int(found[1])}) if found else None


def show_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table on standard output; the first column is never cut."""
    from rich.console import Console  # noqa: PLC0415 - only commands that show a table load it
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(highlight=False, box=None, pad_edge=False)
    for i, name in enumerate(columns):
        table.add_column(name, no_wrap=i == 0, overflow="fold")
    for row in rows:
        table.add_row(*(Text(_printable(cell)) for cell in row))
    Console(highlight=False).print(table)


@contextmanager
def progress(what: str, total: int | None = None, *, quiet: bool = False) -> Iterator[Callable[[str], None]]:
    """Show on the terminal that work goes on: what was done last, how much of `total` is done, for how long.

    The block calls what it is given with the name of each thing done. Nothing is shown where errors go to a file, or to
    whoever wants it `quiet`, as programs do that read JSON.
    """
    if quiet or not sys.stderr.isatty():
        yield _unseen
        return
    from rich.console import Console  # noqa: PLC0415 - only commands that take their time load it
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    counted = [] if total is None else [MofNCompleteColumn()]
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), *counted, TimeElapsedColumn())
    # To the terminal as it is now: libraries' own words to standard error may be kept from it meanwhile.
    with Progress(*columns, console=Console(file=sys.stderr), transient=True) as shown:
        task = shown.add_task(_printable(what), total=total)
        yield lambda name: shown.update(task, advance=1, description=_printable(f"{what}: {name}"))


def _unseen(_: str) -> None:
    """Nobody looks."""


def _printable(text: str) -> str:
    """Leave out what a terminal would obey."""
    return "".join(character if character.isprintable() else "·" for character in text)
