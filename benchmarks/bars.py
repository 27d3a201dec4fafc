"""What a benchmark's figures are held against, and whether they hold."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Bar:
    """A figure that must be at least, or at most, so much; None: it could not be taken."""

    what: str
    found: float | None
    least: float | None = None
    most: float | None = None
    unit: str = ""

    @property
    def holds(self) -> bool | None:
        """Whether it does; None where there is no figure."""
        if self.found is None:
            return None
        return (self.least is None or self.found >= self.least) and (self.most is None or self.found <= self.most)

    @property
    def wanted(self) -> str:
        """The bar in words."""
        return f"≥ {self.least:g} {self.unit}" if self.least is not None else f"≤ {self.most:g} {self.unit}"


def show_bars(bars: Sequence[Bar], out: Console) -> bool:
    """Print each bar with its figure; return whether no figure that was taken misses its bar."""
    table = Table(title="The bars")
    for heading in ("what", "wanted", "found", "holds"):
        table.add_column(heading, justify="left" if heading == "what" else "right")
    for bar in bars:
        found = "not taken" if bar.found is None else f"{bar.found:.2f} {bar.unit}"
        table.add_row(bar.what, bar.wanted, found, {True: "yes", False: "NO", None: "-"}[bar.holds])
    out.print(table)
    return all(bar.holds is not False for bar in bars)
