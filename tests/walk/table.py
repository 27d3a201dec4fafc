"""How long each step of a walk took."""

from rich.table import Table
from rich.text import Text

from tests.walk.walk import Walked

_WIDTH = 84


def table(walked: Walked) -> Table:
    """Return the table of steps with their seconds, and their sum."""
    found = Table("document", "typed", "s", box=None, pad_edge=False, highlight=False)
    found.columns[2].justify = "right"
    for step in walked.steps:
        found.add_row(step.document, Text(line(step.ran.command)), f"{step.ran.seconds:.1f}")
    found.add_row("", Text("all of it, but for reading", style="bold"), f"{walked.seconds:.1f}")
    return found


def line(command: str) -> str:
    """Return a command in one line: its first, without a comment."""
    first, *more = command.splitlines()
    shown = first.partition(" # ")[0].strip()
    return f"{shown[:_WIDTH]} …" if more or len(shown) > _WIDTH else shown
