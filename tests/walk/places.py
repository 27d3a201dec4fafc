"""Where it is walked: a home of its own, nothing in the environment, and a checkout."""

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.processes import ROOT, free_port

# What a newcomer has not set; the Python that runs this is none of theirs either.
_OURS = ("OPENAI_", "CONTEXT_GATEWAY_", "GATEWAY_", "XDG_", "VIRTUAL_ENV", "PYTHON", "PYTEST_")


@dataclass(frozen=True, slots=True)
class Place:
    """A checkout, and the environment of its reader; `installed`: it has an environment already."""

    checkout: Path
    home: Path
    upstream: str  # the URL, up to and with /v1
    installed: bool
    port: int = field(default_factory=free_port)

    @property
    def url(self) -> str:
        """Where the gateway answers."""
        return f"http://127.0.0.1:{self.port}"

    def settings(self, **more: str) -> Mapping[str, str]:
        """Return the environment of a new terminal."""
        usual = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
        return {**usual, "HOME": str(self.home), "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1", **more}


@contextmanager
def place(upstream: str, from_nothing: bool = False) -> Iterator[Place]:
    """Make a place before that upstream; gone after the block."""
    with TemporaryDirectory(prefix="context-gateway-walk-") as folder:
        home, checkout = Path(folder) / "home", Path(folder) / "context-gateway"
        home.mkdir()
        checkout.mkdir()
        if from_nothing:
            _copy(checkout)
        else:
            for name in (".venv", "README.md", "docs"):
                (checkout / name).symlink_to(ROOT / name)
        yield Place(checkout, home, upstream, installed=not from_nothing)


def _copy(folder: Path) -> None:
    """Copy the sources as they are in the latest commit."""
    archive = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, stdout=subprocess.PIPE, check=True)  # noqa: S607
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive.stdout, check=True)  # noqa: S607
