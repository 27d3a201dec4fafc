"""Where the benchmarks print: the terminal, or a width that holds their tables where there is none."""

import os
import platform
import sys
import sysconfig

from rich.console import Console

from gateway.diagnosis.doctor import optimized

_PIPED_WIDTH = 120


def console() -> Console:
    """Return the console to print on."""
    found = Console()
    return found if found.is_terminal else Console(width=_PIPED_WIDTH)


def machine() -> str:
    """Return how large this machine is, how busy, and which Python this is, without which its figures say little."""
    python = f"Python {platform.python_version()}"
    if not optimized(sysconfig.get_config_var("CONFIG_ARGS") or "", sys.base_prefix):
        python += " compiled without optimizations"
    return f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {python}"
