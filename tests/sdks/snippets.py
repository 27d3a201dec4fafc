"""The programs that docs/sdks.md shows, run as they stand there but for the address."""

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.peers_install import sealed
from benchmarks.processes import ROOT
from tests.sdks import environments
from tests.sdks.catalogue import Sdk
from tests.sdks.comparing import DIFFERENT, SAME, WRONG, Verdict, difference
from tests.sdks.place import Place
from tests.upstreams.replies import CANNED

DOCUMENT = ROOT / "docs" / "sdks.md"
SHOWN_URL = "http://127.0.0.1:8080/v1"
CASE = "quick start"
_BLOCK = re.compile(
    r"^## (?P<heading>[^\n]+)\n(?:(?!^## ).)*?^```(?P<kind>python|js|bash)\n(?P<code>.*?)^```", re.M | re.S
)
# As far as it is the same in JSON.
_SAID = CANNED.partition("’")[0]
_PATIENCE_S = 120


@dataclass(frozen=True, slots=True)
class Snippet:
    """A program of the document."""

    heading: str
    kind: str  # "python", "js" or "bash"
    code: str

    def at(self, url: str) -> str:
        """Return the program for another address."""
        return self.code.replace(SHOWN_URL, url)


def snippets() -> dict[str, Snippet]:
    """Return the first program beneath each heading."""
    found = (Snippet(m["heading"], m["kind"], m["code"]) for m in _BLOCK.finditer(DOCUMENT.read_text()))
    return {snippet.heading: snippet for snippet in found}


def snippet_verdict(sdk: Sdk, place: Place) -> Iterator[Verdict]:
    """Run an SDK's program of the document, directly and through the gateway; nothing where it has none."""
    if sdk.snippet:
        yield Verdict(sdk, CASE, *judged(snippets()[sdk.snippet], sdk.lock, place))


def judged(snippet: Snippet, lock: str, place: Place) -> tuple[str, str]:
    """Return the outcome of a program: what it prints, and that the gateway was asked."""
    direct = printed(snippet, lock, place.upstream.url)
    if _SAID not in direct:
        return WRONG, direct[-300:]
    found = difference(direct, printed(snippet, lock, place.gateway_url))
    return (DIFFERENT, found) if found else (SAME, "")


def printed(snippet: Snippet, lock: str, url: str) -> str:
    """Return what the program prints.

    Raises PeerUnavailableError when its SDK cannot be installed.
    """
    with TemporaryDirectory(prefix="context-gateway-snippet-") as folder:
        home = Path(folder)
        settings = {**sealed(home), "OPENAI_API_KEY": "sk-caller", "OPENAI_AGENTS_DISABLE_TRACING": "1"}
        done = subprocess.run(
            _command(snippet, lock, home, snippet.at(url)),
            capture_output=True,
            text=True,
            check=False,
            timeout=_PATIENCE_S,
            cwd=home,
            env=settings,
        )
    return done.stdout if done.returncode == 0 else done.stdout + done.stderr


def _command(snippet: Snippet, lock: str, folder: Path, code: str) -> list[str]:
    file = folder / {"python": "main.py", "js": "main.mjs", "bash": "main.sh"}[snippet.kind]
    file.write_text(code)
    if snippet.kind == "js":
        # Node looks for packages beside the program, not beside the caller.
        (folder / "node_modules").symlink_to(environments.node_folder() / "node_modules")
        return [str(environments.node()), str(file)]
    return ["bash", str(file)] if snippet.kind == "bash" else [str(environments.python(lock)), str(file)]
