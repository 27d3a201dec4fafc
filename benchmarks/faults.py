"""Faults, made one after the other: `python -m benchmarks.faults [--quick] [--only WORD]`.

Real processes (gateway, upstream, Valkey, nginx) to which a fault is done; what must hold then, whether it did, and
how long it took until the next request was answered well. Ends with 1 where something did not hold. A fault that needs
what this machine lacks is left out, with the reason.
"""

import argparse
import contextlib
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.table import Table

from benchmarks import faults_process, faults_store, faults_upstream
from benchmarks.fault import Fault, Outcome, outcome_of
from benchmarks.fault_place import Scene
from benchmarks.report import console

FAULTS: tuple[Fault, ...] = (*faults_upstream.FAULTS, *faults_store.FAULTS, *faults_process.FAULTS)
_HELD = {True: "yes", False: "NO", None: "-"}


@contextlib.contextmanager
def scene() -> Iterator[Scene]:
    """Set a scene for faults, in a folder that is removed in the end."""
    with tempfile.TemporaryDirectory(prefix="context-gateway-faults-") as folder, contextlib.ExitStack() as stack:
        yield Scene(Path(folder), stack)


def show(outcomes: Sequence[Outcome]) -> bool:
    """Print the table; return whether all that could be made held."""
    table = Table(title="Faults", show_lines=True)
    for heading in ("fault", "what must hold", "held", "recovery", "seen"):
        table.add_column(heading)
    for one in outcomes:
        recovery = "" if one.recovery_s is None else f"{one.recovery_s:.2f} s"
        table.add_row(one.fault.name, one.fault.must, _HELD[one.held], recovery, one.said)
    console().print(table)
    return all(one.held is not False for one in outcomes)


def main() -> None:
    """Parse the arguments, make the faults, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="only those that the gate makes too")
    parser.add_argument("--only", default="", help="only those whose name holds this")
    options = parser.parse_args()
    wanted = [one for one in FAULTS if options.only in one.name and (one.quick or not options.quick)]
    outcomes = []
    with scene() as place:
        for fault in wanted:
            began = time.monotonic()
            outcomes.append(outcome_of(fault, place))
            print(f"{_HELD[outcomes[-1].held]:4}{time.monotonic() - began:6.1f} s  {fault.name}", flush=True)
    raise SystemExit(0 if show(outcomes) else 1)


if __name__ == "__main__":
    main()
