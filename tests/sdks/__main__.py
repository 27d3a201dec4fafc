"""`python -m tests.sdks`: every SDK through every case, in a table; ends with 1 where one is different."""

import argparse
import sys

from benchmarks.peers_install import PeerUnavailableError
from tests.sdks import environments
from tests.sdks.catalogue import SDKS, Sdk
from tests.sdks.comparing import compared
from tests.sdks.driver import ProgramEndedError, driving
from tests.sdks.place import Place, a_place
from tests.sdks.snippets import snippet_verdict
from tests.sdks.table import Row, markdown, printed


def main() -> None:
    """Run the suite."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sdk", default="", help="only those whose name holds this")
    parser.add_argument("--markdown", action="store_true", help="print the table as docs/sdks.md has it")
    asked = parser.parse_args()
    wanted = [sdk for sdk in SDKS if asked.sdk.lower() in sdk.label.lower()]
    with a_place() as place:
        rows = [row_of(sdk, place) for sdk in wanted]
    if asked.markdown:
        sys.stdout.write(markdown(rows) + "\n")
    else:
        printed(rows)
    sys.exit(any(not verdict.good for row in rows for verdict in row.verdicts))


def row_of(sdk: Sdk, place: Place) -> Row:
    """Return how one SDK fared; without verdicts where it could not be installed or started."""
    try:
        if not sdk.script:
            return Row(sdk, "", tuple(snippet_verdict(sdk, place)))
        with driving(environments.command(sdk.lock, sdk.script)) as driver:
            return Row(sdk, driver.version, (*compared(driver, sdk, place), *snippet_verdict(sdk, place)))
    except (PeerUnavailableError, ProgramEndedError) as error:
        return Row(sdk, "", (), str(error).strip())


if __name__ == "__main__":
    main()
