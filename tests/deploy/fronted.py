"""nginx with the configuration of deploy/ before two gateways, on this machine's addresses."""

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.processes import Server, free_port, running, status_of, stop
from tests.deploy.dockerfile import ROOT
from tests.integration.client import eventually
from tests.integration.conftest import serve_command
from tests.upstreams import Upstream

NGINX_CONF = ROOT / "deploy/nginx/nginx.conf"
CONFIG = """
upstreams: {{main: {{base_url: "{upstream}", api_key: sk-operator}}}}
windowing: {{mode: "off"}}
admin: {{token: an-admin-token-for-tests}}
"""


def localized(folder: Path, port: int, gateways: list[int]) -> str:
    """Return the configuration with this machine's ports and folders, and as it is but for those.

    `resolve` and its name server are left out: addresses are numbers here, and old versions of nginx do not know it.
    """
    text = NGINX_CONF.read_text()
    swaps = {
        "/tmp/": f"{folder}/",  # noqa: S108
        "/dev/stderr": f"{folder}/error.log",
        "resolver 127.0.0.11 valid=2s ipv6=off;": "",
        "listen 8080": f"listen 127.0.0.1:{port}",
        **{f"gateway-{n}:8080 resolve": f"127.0.0.1:{own}" for n, own in enumerate(gateways, 1)},
    }
    for old, new in swaps.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


@dataclass(slots=True)
class Fleet:
    """Gateways on ports that stay theirs when they are stopped and started again."""

    config: Path
    ports: list[int]
    drain_s: str
    _running: dict[int, contextlib.ExitStack] = field(default_factory=dict)
    servers: dict[int, Server] = field(default_factory=dict)

    def start(self, number: int) -> None:
        """Start a gateway and wait until it is ready."""
        stack = self._running[number] = contextlib.ExitStack()
        port = self.ports[number]
        command = serve_command(self.config, port, "--drain-seconds", self.drain_s)
        self.servers[number] = stack.enter_context(running(command, port, "/readyz"))

    def restart(self, number: int) -> None:
        """Have a gateway drain and end, as an orchestrator does, and start it again."""
        process = self.servers[number].process
        process.send_signal(signal.SIGTERM)
        assert process.wait(40) in (0, -signal.SIGTERM)
        self._running[number].close()
        self.start(number)

    def close(self) -> None:
        """Stop them all."""
        for server in self.servers.values():
            server.process.kill()
        for stack in self._running.values():
            stack.close()


@contextlib.contextmanager
def fleet(folder: Path, upstream: Upstream, drain_s: str = "0") -> Iterator[Fleet]:
    """Two gateways on one store."""
    config = folder / "gateway.yaml"
    config.write_text(CONFIG.format(upstream=upstream.url))
    found = Fleet(config, [free_port(), free_port()], drain_s)
    try:
        for number in range(2):
            found.start(number)
        yield found
    finally:
        found.close()


@contextlib.contextmanager
def fronted(folder: Path, gateways: list[int]) -> Iterator[str]:
    """Run nginx before gateways; yields its URL."""
    port = free_port()
    config = folder / "nginx.conf"
    config.write_text(localized(folder, port, gateways))
    program = shutil.which("nginx")
    assert program
    # Started by root, its workers would be nobody's, who may not write to a test's folder.
    more = "daemon off; user root;" if os.getuid() == 0 else "daemon off;"
    process = subprocess.Popen([program, "-e", str(folder / "error.log"), "-c", str(config), "-g", more])
    try:
        assert eventually(lambda: status_of(f"http://127.0.0.1:{port}/metrics") == 404, 20)
        yield f"http://127.0.0.1:{port}"
    finally:
        stop(process)
