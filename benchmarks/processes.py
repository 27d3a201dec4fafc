"""Start a server in a process of its own, wait until it answers, stop it."""

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]


class ServerDiedError(Exception):
    """The process ended, or did not answer in time; the message carries the end of its output."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running server: where it answers, its process, and the file that gets its output."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path


def free_port() -> int:
    """Return a TCP port that is free on the loopback address at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def status_of(url: str, timeout_s: float = 2.0) -> int:
    """Return the HTTP status of a GET; 0 when nobody answers."""
    request = urllib.request.Request(url)  # noqa: S310 - our own loopback address
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=timeout_s) as reply:
            return int(reply.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def wait_until(server: Server, ready: str, timeout_s: float, tick: Callable[[float], None] | None = None) -> None:
    """Wait until GET `ready` (a path) is 200.

    `tick` gets the seconds waited so far. Raises ServerDiedError when the process ends or the time is up.
    """
    start = time.monotonic()
    while status_of(server.url + ready) != 200:
        waited = time.monotonic() - start
        if server.process.poll() is not None or waited > timeout_s:
            raise ServerDiedError(f"{' '.join(map(str, server.process.args[:6]))}: {tail(server.log)}")  # type: ignore[index]
        if tick:
            tick(waited)
        time.sleep(0.05)


def tail(log: Path, size: int = 3000) -> str:
    """Return the end of a server's output."""
    return log.read_text(errors="replace")[-size:]


@contextlib.contextmanager
def running(
    command: Sequence[str],
    port: int,
    ready: str | None = "/",
    env: Mapping[str, str] | None = None,
    timeout_s: float = 60,
) -> Iterator[Server]:
    """Run `python COMMAND` which listens on `port`; with `ready` wait for 200 at that path first.

    Raises ServerDiedError when it does not come up. The process is terminated at the end, killed after 5 s.
    """
    with tempfile.TemporaryDirectory(prefix="context-gateway-") as folder:
        log = Path(folder) / "output.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, *command],
                cwd=ROOT,
                env={"CONTEXT_GATEWAY_DRAIN_S": "0", **os.environ, **(env or {})},
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        server = Server(f"http://127.0.0.1:{port}", process, log)
        try:
            if ready is not None:
                wait_until(server, ready, timeout_s)
            yield server
        finally:
            stop(process)


def stop(process: subprocess.Popen[bytes], patience_s: float = 5) -> None:
    """Terminate the process, kill it when it has not gone after `patience_s`."""
    process.terminate()
    try:
        process.wait(patience_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
