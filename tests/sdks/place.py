"""The upstream, and a gateway process before it, both on this machine."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.processes import free_port, running, wait_until
from tests.upstreams import Upstream

_CONFIG = """
upstreams:
  main: {{base_url: "{upstream}"}}
windowing: {{mode: "on", trigger_tokens: 4000, window_tokens: 2000, deadline_ms: 20000}}
"""


@dataclass(frozen=True, slots=True)
class Place:
    """Where to ask: the upstream itself, or the gateway's base URL."""

    upstream: Upstream
    gateway_url: str


@contextmanager
def a_place() -> Iterator[Place]:
    """Start both, the gateway with its model loaded."""
    with TemporaryDirectory(prefix="context-gateway-sdks-") as folder, Upstream() as upstream:
        config = Path(folder) / "gateway.yaml"
        config.write_text(_CONFIG.format(upstream=upstream.url))
        port = free_port()
        with running(
            ["-m", "gateway.cli", "serve", "--config", str(config), "--port", str(port)], port, "/healthz"
        ) as server:
            wait_until(server, "/readyz", 120)
            yield Place(upstream, server.url + "/v1")
