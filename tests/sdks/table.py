"""The results as a table, for the terminal and for docs/sdks.md."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich import box
from rich.table import Table

from benchmarks.report import console
from tests.sdks.cases import CASES
from tests.sdks.catalogue import Sdk
from tests.sdks.comparing import Verdict
from tests.sdks.snippets import CASE

NOT_RUN = "-"
CASE_NAMES = (*(case.name for case in CASES), CASE)


@dataclass(frozen=True, slots=True)
class Row:
    """One SDK's verdicts, or why there are none."""

    sdk: Sdk
    version: str
    verdicts: tuple[Verdict, ...]
    missing: str = ""

    def cell(self, case: str) -> str:
        """Return what the table shows for a case."""
        return next((v.outcome for v in self.verdicts if v.case == case), NOT_RUN)


def heads() -> list[str]:
    """Return the columns' heads."""
    return ["SDK", "version", "API", *CASE_NAMES]


def cells(row: Row) -> list[str]:
    """Return a row's cells."""
    return [row.sdk.name, row.version or NOT_RUN, row.sdk.api, *map(row.cell, CASE_NAMES)]


def notes(rows: Sequence[Row]) -> list[str]:
    """Return a line for each cell that needs more words than it has, and each SDK that was not run."""
    missing = [f"{row.sdk.label}: {row.missing}" for row in rows if row.missing]
    said = [(row, verdict) for row in rows for verdict in row.verdicts if verdict.note]
    return missing + [f"{row.sdk.label}: {verdict.case}: {verdict.outcome}: {verdict.note}" for row, verdict in said]


def printed(rows: Sequence[Row]) -> None:
    """Print the table, and beneath it what its cells are too small for."""
    table = Table(
        box=box.SIMPLE_HEAD, collapse_padding=True, pad_edge=False, title="The same directly and through the gateway?"
    )
    for head in heads():
        table.add_column(head, min_width=max(len(head), 9) if head == "API" else len(head))
    for row in rows:
        table.add_row(*cells(row))
    out = console()
    out.print(table)
    for note in notes(rows):
        out.print(note, markup=False, highlight=False)


def markdown(rows: Sequence[Row]) -> str:
    """Return the table for the document."""
    lines = [heads(), ["---"] * len(heads()), *map(cells, rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
