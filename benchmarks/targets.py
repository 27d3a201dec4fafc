"""What is measured side by side: an upstream alone, the bare relay before it, and the gateway with all that it does."""

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.http_clients import uvicorn_command
from benchmarks.processes import Server, free_port, running

KEY = "sk-benchmark"
# Windowing, metrics, ledger and log are on by default; the budgets are such that nobody runs into them.
CONFIG = """upstreams: {{main: {{base_url: "{upstream}/v1"}}}}
models: {{gpt-4o-mini: {{upstream: main}}}}
teams:
  bench:
    keys: [{key}]
    budget: [{{usd: 9000000, period: month}}, {{tokens: 1000000000000, period: day}}]
"""


@dataclass(frozen=True, slots=True)
class Target:
    """A server under load: where, as which process, and the headers that it wants beside the usual ones."""

    url: str
    pid: int
    headers: Mapping[str, str] = field(default_factory=dict)


def _target(server: Server) -> Target:
    return Target(server.url, server.process.pid)


@contextlib.contextmanager
def upstream(module: str) -> Iterator[Target]:
    """Run an upstream: a module of this package that takes its port."""
    port = free_port()
    with running(["-m", f"benchmarks.{module}", str(port)], port) as server:
        yield _target(server)


@contextlib.contextmanager
def bare_relay(upstream_url: str) -> Iterator[Target]:
    """Run the least that a relay in ASGI can be, with one worker."""
    port = free_port()
    command = uvicorn_command("benchmarks.bare_relay:with_aiohttp", port)
    with running(command, port, env={"BARE_RELAY_UPSTREAM": upstream_url}) as server:
        yield _target(server)


@contextlib.contextmanager
def full_gateway(upstream_url: str, workers: int = 1) -> Iterator[Target]:
    """Run the gateway with all features on: a key, two budgets on the embedded store, windowing, ledger, log."""
    with tempfile.TemporaryDirectory(prefix="context-gateway-full-") as folder:
        config = Path(folder) / "gateway.yaml"
        config.write_text(CONFIG.format(upstream=upstream_url, key=KEY))
        port = free_port()
        command = ["-m", "gateway.cli", "serve", "--config", str(config), "--port", str(port)]
        with running([*command, "--workers", str(workers)], port, "/readyz", timeout_s=180) as server:
            yield _target(server)
