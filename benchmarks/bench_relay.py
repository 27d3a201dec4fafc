"""What the gateway adds to a small prompt: `python -m benchmarks.bench_relay [--seconds 3] [--workers 1]`.

The upstream alone, a bare relay behind the same HTTP client, and the gateway, one after the other in one run.
"""

import argparse
import contextlib

from rich.console import Console
from rich.table import Table

from benchmarks.gateway import gateway
from benchmarks.http_clients import BODY, CONNECTIONS, uvicorn_command
from benchmarks.load import Load, generator, measure
from benchmarks.processes import free_port, running
from benchmarks.report import console

UPSTREAM, BARE, GATEWAY = "upstream alone", "bare relay", "gateway"


def measure_all(seconds: float, workers: int) -> dict[tuple[str, int], Load]:
    """Return the figures by target and connections."""
    with contextlib.ExitStack() as stack:
        port = free_port()
        upstream = stack.enter_context(running(["-m", "benchmarks.canned", str(port)], port)).url
        port = free_port()
        command = uvicorn_command("benchmarks.bare_relay:with_aiohttp", port)
        bare = stack.enter_context(running(command, port, env={"BARE_RELAY_UPSTREAM": upstream})).url
        targets = {
            UPSTREAM: upstream,
            BARE: bare,
            GATEWAY: stack.enter_context(gateway(upstream, workers=workers)).url,
        }
        return {
            (name, connections): measure(url + "/v1/chat/completions", BODY, connections, seconds)
            for connections in CONNECTIONS
            for name, url in targets.items()
        }


def show(results: dict[tuple[str, int], Load], workers: int, out: Console) -> None:
    """Print the table."""
    table = Table(title=f"A small chat request ({generator()}; gateway with {workers} worker(s), windowing on)")
    table.add_column("target")
    for name in ("connections", "requests/s", "of bare relay", "p50 ms", "p99 ms", "added p50 ms", "errors"):
        table.add_column(name, justify="right")
    for (name, connections), load in results.items():
        bare, alone = results[BARE, connections], results[UPSTREAM, connections]
        table.add_row(
            name,
            str(connections),
            f"{load.rps:,.0f}",
            "" if name == UPSTREAM else f"{load.rps / bare.rps:.0%}",
            f"{load.p50:.2f}",
            f"{load.p99:.2f}",
            "" if name == UPSTREAM else f"{load.p50 - alone.p50:.2f}",
            str(load.errors),
        )
    out.print(table)


def main() -> None:
    """Parse the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3, help="length of each of the nine runs")
    parser.add_argument("--workers", type=int, default=1, help="the gateway's workers")
    options = parser.parse_args()
    show(measure_all(options.seconds, options.workers), options.workers, console())


if __name__ == "__main__":
    main()
