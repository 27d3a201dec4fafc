"""`make walk`: walk, and print how long each step took."""

import sys

from benchmarks.processes import ServerDiedError
from benchmarks.report import console, machine
from tests.upstreams import Upstream
from tests.walk.looking import BrowserMissingError
from tests.walk.places import place
from tests.walk.table import table
from tests.walk.terminal import TerminalError
from tests.walk.walk import walk

_FROM_NOTHING = "--from-nothing"


def main(arguments: list[str]) -> int:
    """Return 0 when every command ended well."""
    out = console()
    if arguments not in ([], [_FROM_NOTHING]):
        out.print(f"expected nothing or {_FROM_NOTHING}, not {' '.join(arguments)}", markup=False)
        return 2
    try:
        with Upstream() as upstream, place(upstream.url, _FROM_NOTHING in arguments) as here, out.status("walking …"):
            walked = walk(here)
    except (TerminalError, ServerDiedError, BrowserMissingError) as error:
        out.print(f"the walk ended early: {error}", style="red", markup=False)
        return 1
    out.print(table(walked))
    out.print(machine(), style="dim")
    failed = [step.ran for step in walked.steps if step.ran.status]
    for ran in failed:
        out.print(f"{ran.command}\nended with {ran.status}: {ran.output[-1000:]}", style="red", markup=False)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
