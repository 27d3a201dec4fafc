"""Where the benchmarks print: the terminal, or a width that holds their tables where there is none."""

import os

from rich.console import Console

_PIPED_WIDTH = 120


def console() -> Console:
    """Return the console to print on."""
    found = Console()
    return found if found.is_terminal else Console(width=_PIPED_WIDTH)


def machine() -> str:
    """Return how large this machine is and how busy at the moment, without which its figures say little."""
    return f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
