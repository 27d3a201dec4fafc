"""An SDK's program as a process: jobs in, answers out, one at a time."""

import json
import os
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.peers_install import sealed
from benchmarks.processes import ROOT, stop

_PATIENCE_S = 90.0
# A library that asks for a service of its own is told no: nothing but the address that it is given is to be asked.
_QUIET = {"OPENAI_AGENTS_DISABLE_TRACING": "1", "LANGSMITH_TRACING": "false", "AI_SDK_LOG_WARNINGS": "false"}


class ProgramEndedError(Exception):
    """The program ended or did not answer in time; the message is the end of what it said."""


class Driver:
    """A running program."""

    def __init__(self, process: subprocess.Popen[bytes], said: Path) -> None:
        self._process = process
        self._said = said
        self.version = str(self._answer()["version"])

    def ask(self, job: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the SDK made of a job.

        Raises ProgramEndedError.
        """
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(job).encode() + b"\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        watch = threading.Timer(_PATIENCE_S, self._process.kill)
        watch.start()
        line = self._process.stdout.readline()
        watch.cancel()
        if not line.endswith(b"\n"):
            raise ProgramEndedError(self._said.read_text(errors="replace")[-2000:])
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextmanager
def driving(command: Sequence[str]) -> Iterator[Driver]:
    """Run a program, without any of the user's own keys and settings.

    Raises ProgramEndedError when it does not come up.
    """
    with tempfile.TemporaryDirectory(prefix="context-gateway-sdk-") as home:
        said = Path(home) / "said.log"
        settings = {**sealed(Path(home)), **_QUIET, "VIRTUAL_ENV": os.environ.get("VIRTUAL_ENV", "")}
        with said.open("wb") as errors:
            process = subprocess.Popen(
                command, cwd=ROOT, env=settings, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
            )
        try:
            yield Driver(process, said)
        finally:
            stop(process)
