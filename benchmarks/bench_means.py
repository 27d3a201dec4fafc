"""What keys, budgets and ledger cost a small request: `python -m benchmarks.bench_means [--seconds 4] [--rounds 3]`.

The same gateway without any of them, with all of them on SQLite, and with all of them on Redis or Valkey, in turns.
"""

import argparse
import contextlib
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

from rich.table import Table

from benchmarks.http_clients import BODY
from benchmarks.load import Load, generator, measure
from benchmarks.processes import free_port, running
from benchmarks.report import console
from tests.gateway.store import servers

CONNECTIONS = (1, 16, 64)
OFF, SQLITE, REDIS = "off", "SQLite", "Redis or Valkey"
_BASE = 'upstreams: {{main: {{base_url: "{upstream}/v1"}}}}\nwindowing: {{mode: "off"}}\n'
_ON = """
teams:
  bench:
    keys: [sk-benchmark]
    budget: [{usd: 9000000, period: month}, {tokens: 1000000000000, period: day}]
"""


@contextlib.contextmanager
def gateways(upstream: str) -> Iterator[dict[str, str]]:
    """Run the three gateways; return their URLs by name."""
    with contextlib.ExitStack() as stack:
        redis = stack.enter_context(servers.running())
        configs = {
            OFF: "store: {ledger: off}\n",
            SQLITE: _ON,
            REDIS: f'{_ON}redis: {{url: "{redis.url}"}}\n',
        }
        yield {
            name: stack.enter_context(_gateway(_BASE.format(upstream=upstream) + own)) for name, own in configs.items()
        }


@contextlib.contextmanager
def _gateway(text: str) -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="context-gateway-means-") as folder:
        config = Path(folder) / "gateway.yaml"
        config.write_text(text)
        port = free_port()
        command = ["-m", "gateway.cli", "serve", "--config", str(config), "--port", str(port)]
        with running(command, port, "/healthz") as server:
            yield server.url


def measure_all(seconds: float, rounds: int) -> dict[tuple[str, int], list[Load]]:
    """Return the figures of every round by gateway and connections; the gateways take turns."""
    results: dict[tuple[str, int], list[Load]] = {}
    with contextlib.ExitStack() as stack:
        port = free_port()
        upstream = stack.enter_context(running(["-m", "benchmarks.canned", str(port)], port)).url
        targets = stack.enter_context(gateways(upstream))
        for _ in range(rounds):
            for connections in CONNECTIONS:
                for name, url in targets.items():
                    found = measure(f"{url}/v1/chat/completions", BODY, connections, seconds)
                    results.setdefault((name, connections), []).append(found)
    return results


def show(results: dict[tuple[str, int], list[Load]]) -> None:
    """Print the table."""
    table = Table(title=f"A small chat request with keys, two budgets and ledger ({generator()}, one worker, medians)")
    table.add_column("store")
    for name in ("connections", "requests/s", "of off", "p50 ms", "p99 ms", "errors"):
        table.add_column(name, justify="right")
    for (name, connections), loads in sorted(results.items(), key=lambda item: item[0][1]):
        rate, off = (statistics.median(x.rps for x in found) for found in (loads, results[OFF, connections]))
        p50, p99 = (statistics.median(getattr(x, p) for x in loads) for p in ("p50", "p99"))
        errors = sum(x.errors for x in loads)
        table.add_row(
            name, str(connections), f"{rate:,.0f}", f"{rate / off:.2f}", f"{p50:.2f}", f"{p99:.2f}", str(errors)
        )
    console().print(table)


def main() -> None:
    """Parse the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    show(measure_all(options.seconds, options.rounds))


if __name__ == "__main__":
    main()
