"""A gateway process that can be killed, told to stop, and started again on the same port."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from benchmarks.processes import ROOT, Server, free_port, stop, wait_until

_STARTS_S = 60


class GatewayProcess:
    """`context-gateway serve` on a port of its own; its output goes to `log`, one start after the other."""

    def __init__(self, config: Path, log: Path, *more: str, env: Mapping[str, str] | None = None) -> None:
        self.port = free_port()
        self.log = log
        self._arguments = ["serve", "--config", str(config), "--port", str(self.port), *more]
        self._env = {"CONTEXT_GATEWAY_DRAIN_S": "0", **os.environ, **(env or {})}
        self.process = self._start()

    @property
    def root(self) -> str:
        """The URL without /v1."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """The URL up to and with /v1."""
        return f"{self.root}/v1"

    @property
    def pid(self) -> int:
        """The process that was started; with several workers, their parent."""
        return self.process.pid

    def _start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "gateway.cli", *self._arguments]
        with self.log.open("ab") as out:
            return subprocess.Popen(
                command, cwd=ROOT, env=self._env, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
            )

    def wait(self, path: str = "/healthz") -> float:
        """Wait until it answers there; return the seconds that took."""
        began = time.monotonic()
        wait_until(Server(self.root, self.process, self.log), path, _STARTS_S)
        return time.monotonic() - began

    def kill(self) -> None:
        """Kill it with -9."""
        self.process.kill()
        self.process.wait()

    def restart(self) -> float:
        """Start it again; return the seconds until it answered."""
        self.process = self._start()
        return self.wait()

    def terminate(self) -> None:
        """Tell it to stop, and do not wait."""
        self.process.send_signal(signal.SIGTERM)

    def hang_up(self) -> None:
        """Tell it to read its configuration again."""
        self.process.send_signal(signal.SIGHUP)

    def close(self) -> None:
        """Stop it, and whatever it has started and left behind."""
        stop(self.process)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
