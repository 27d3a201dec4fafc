"""One gateway process and one upstream for the session; tests tell their requests apart by clearing the record."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from benchmarks.processes import Server, free_port, running, wait_until
from tests.integration.client import Headers, Reply, eventually, send
from tests.upstreams import Upstream

READ_TIMEOUT_S = 1.0
BODY_MB = 3

CONFIG = """
upstreams:
  main: {{base_url: "{upstream}"}}
  keyed: {{base_url: "{upstream}", api_key: "${{TEST_UPSTREAM_KEY}}"}}
  impatient: {{base_url: "{upstream}", read_timeout_s: {read_timeout}}}
  dead: {{base_url: "http://127.0.0.1:{dead_port}/v1"}}
models:
  gpt-4o-mini: {{upstream: main}}
  gpt-keyed: {{upstream: keyed}}
  gpt-impatient: {{upstream: impatient}}
  gpt-dead: {{upstream: dead}}
windowing: {{mode: "on", trigger_tokens: 4000, window_tokens: 2000, deadline_ms: 20000}}
limits: {{body_mb: {body_mb}}}
"""


@dataclass(frozen=True, slots=True)
class Gateway:
    """The gateway process; `url` goes up to and with /v1."""

    server: Server

    @property
    def root(self) -> str:
        """The URL without /v1."""
        return self.server.url

    @property
    def url(self) -> str:
        """The base URL for SDKs."""
        return self.server.url + "/v1"

    def log_lines(self) -> list[dict[str, Any]]:
        """Return what the gateway has logged; a last line still being written is left for the next look."""
        complete = self.server.log.read_text(errors="replace").split("\n")[:-1]
        return [json.loads(line) for line in complete if line.startswith("{")]

    def wait_logged(self, request_id: str) -> dict[str, Any]:
        """Return the request's one log line, waiting for it."""

        def found() -> list[dict[str, Any]]:
            return [line for line in self.log_lines() if line.get("id") == request_id]

        assert eventually(found)
        (line,) = found()
        return line


def pairs(headers: tuple[tuple[bytes, bytes], ...]) -> list[tuple[bytes, bytes]]:
    """Return recorded headers for comparison: names in lower case, as ASGI servers hand them on, Host left out.

    Content-Length is compared apart from the order, since its place is of no matter to anybody.
    """
    lowered = [(name.lower(), value) for name, value in headers if name.lower() != b"host"]
    return [h for h in lowered if h[0] != b"content-length"] + [h for h in lowered if h[0] == b"content-length"]


class Line:
    """Sends requests directly and through the gateway, and asserts that neither end sees a difference."""

    def __init__(self, gateway: Gateway, upstream: Upstream) -> None:
        self._gateway = gateway
        self._upstream = upstream

    def same(self, method: str, target: str, headers: Headers, body: bytes | None) -> Reply:
        """Return the relayed reply."""
        self._upstream.clear()
        direct = send(self._upstream.url, method, target, headers, body)
        relayed = send(self._gateway.url, method, target, headers, body)
        seen_directly, seen_relayed = self._upstream.requests
        assert seen_relayed.body == seen_directly.body
        assert seen_relayed.method == seen_directly.method
        assert seen_relayed.target == seen_directly.target
        assert pairs(seen_relayed.headers) == pairs(seen_directly.headers)
        assert relayed.status == direct.status
        assert relayed.body == direct.body
        assert relayed.passed() == direct.passed()
        return relayed


def write_config(folder: Path, upstream_url: str) -> Path:
    """Write the tests' configuration and return its path."""
    file = folder / "gateway.yaml"
    values = {"upstream": upstream_url, "dead_port": free_port(), "read_timeout": READ_TIMEOUT_S, "body_mb": BODY_MB}
    file.write_text(CONFIG.format(**values))
    return file


def serve_command(config: Path, port: int, *more: str) -> list[str]:
    """Return the arguments that start the gateway."""
    return ["-m", "gateway.cli", "serve", "--config", str(config), "--port", str(port), *more]


@pytest.fixture(scope="session")
def gateway(running_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """The gateway, listening; its model may still be loading."""
    config = write_config(tmp_path_factory.mktemp("gateway"), running_upstream.url)
    port = free_port()
    with running(serve_command(config, port), port, "/healthz", {"TEST_UPSTREAM_KEY": "sk-operator"}) as server:
        yield Gateway(server)


@pytest.fixture(scope="session")
def warm_gateway(gateway: Gateway) -> Gateway:
    """The gateway with its embedding model loaded."""
    wait_until(gateway.server, "/readyz", 120)
    return gateway


@pytest.fixture
def line(gateway: Gateway, upstream: Upstream) -> Line:
    return Line(gateway, upstream)
