"""Where the benchmarks print: the terminal, or a width that holds their tables where there is none."""

from rich.console import Console

_PIPED_WIDTH = 120


def console() -> Console:
    """Return the console to print on."""
    found = Console()
    return found if found.is_terminal else Console(width=_PIPED_WIDTH)
