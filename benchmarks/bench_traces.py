"""What traces cost a small request: `python -m benchmarks.bench_traces [--seconds 2] [--rounds 5]`.

The same gateway without telemetry, with every request traced, and with one in a hundred, in turns. The collector takes
whatever comes and looks at nothing. Processor time is the gateway's whole process's, the exporting thread's too.
"""

import argparse
import contextlib
import statistics
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.http_clients import BODY
from benchmarks.load import Load, generator, run
from benchmarks.process_costs import cpu_seconds, resident_mb
from benchmarks.processes import free_port, running
from benchmarks.report import console
from benchmarks.targets import Target, upstream

CONNECTIONS = (1, 16)
OFF = "off"
SAMPLES: Mapping[str, float | None] = {OFF: None, "sample: 1.0": 1.0, "sample: 0.01": 0.01}
_BASE = 'upstreams: {{main: {{base_url: "{upstream}/v1"}}}}\nwindowing: {{mode: "off"}}\nstore: {{ledger: off}}\n'
_TRACED = 'telemetry: {{otlp_endpoint: "{collector}", sample: {sample}}}\n'


@dataclass(frozen=True, slots=True)
class Found:
    """What came of one turn: the load's figures, processor time of a request in microseconds, memory afterwards."""

    load: Load
    cpu_us: float
    memory_mb: float


@contextlib.contextmanager
def gateways(samples: Mapping[str, float | None], collector: str) -> Iterator[dict[str, Target]]:
    """Run a gateway for each of the samples, all before one upstream; return them by name."""
    with contextlib.ExitStack() as stack:
        canned = stack.enter_context(upstream("canned")).url
        texts = {
            name: _BASE.format(upstream=canned)
            + ("" if sample is None else _TRACED.format(collector=collector, sample=sample))
            for name, sample in samples.items()
        }
        yield {name: stack.enter_context(_gateway(text)) for name, text in texts.items()}


@contextlib.contextmanager
def _gateway(text: str) -> Iterator[Target]:
    with tempfile.TemporaryDirectory(prefix="context-gateway-traces-") as folder:
        config = Path(folder) / "gateway.yaml"
        config.write_text(text)
        port = free_port()
        command = ["-m", "gateway.cli", "serve", "--config", str(config), "--port", str(port)]
        with running(command, port, "/healthz") as server:
            yield Target(server.url, server.process.pid)


def turn(target: Target, connections: int, seconds: float) -> Found:
    """Return what comes of load on a gateway."""
    url = f"{target.url}/v1/chat/completions"
    run(url, BODY, connections, 0.5)
    before = cpu_seconds(target.pid)
    load = run(url, BODY, connections, seconds)
    used = cpu_seconds(target.pid) - before
    return Found(load, used / max(1, load.requests) * 1e6, resident_mb(target.pid, alone=True))


def measure_all(seconds: float, rounds: int) -> dict[tuple[str, int], list[Found]]:
    """Return the figures of every round by gateway and connections; the gateways take turns."""
    results: dict[tuple[str, int], list[Found]] = {}
    with upstream("canned") as collector, gateways(SAMPLES, collector.url) as targets:
        for _ in range(rounds):
            for connections in CONNECTIONS:
                for name, target in targets.items():
                    results.setdefault((name, connections), []).append(turn(target, connections, seconds))
    return results


def show(results: Mapping[tuple[str, int], list[Found]], out: Console) -> None:
    """Print the table."""
    table = Table(title=f"A small chat request with traces ({generator()}, one worker, medians)")
    table.add_column("traces")
    for name in ("connections", "requests/s", "of off", "p50 ms", "p99 ms", "cpu us", "MB", "errors"):
        table.add_column(name, justify="right")
    for (name, connections), found in sorted(results.items(), key=lambda item: item[0][1]):
        loads = [one.load for one in found]
        rate, off = (statistics.median(one.load.rps for one in of) for of in (found, results[OFF, connections]))
        p50, p99 = (statistics.median(getattr(load, p) for load in loads) for p in ("p50", "p99"))
        cpu, memory = (statistics.median(getattr(one, of) for one in found) for of in ("cpu_us", "memory_mb"))
        figures = (f"{rate:,.0f}", f"{rate / off:.2f}", f"{p50:.2f}", f"{p99:.2f}", f"{cpu:.0f}", f"{memory:.0f}")
        table.add_row(name, str(connections), *figures, str(sum(load.errors for load in loads)))
    out.print(table)


def main() -> None:
    """Parse the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    show(measure_all(options.seconds, options.rounds), console())


if __name__ == "__main__":
    main()
