"""Measure what each HTTP client lets a relay carry: `python -m benchmarks.http_clients [--seconds 3]`.

One uvicorn worker (uvloop) with a raw ASGI relay behind aiohttp, httpx, httpx2 and our own HTTP/1.1, before a canned
upstream; a small chat request. The table's ratios are to the upstream alone in the same run.
"""

import argparse
import contextlib
import json
from importlib.metadata import version

from rich.console import Console
from rich.table import Table

from benchmarks.load import Load, generator, measure
from benchmarks.processes import free_port, running
from benchmarks.report import console

INBOUND = "gateway.http1.inbound:Inbound"
# The relay's label, the factory of the client behind it, and the server's protocol.
RELAYS = {
    f"aiohttp {version('aiohttp')}": ("aiohttp", "httptools"),
    f"httpx {version('httpx')}": ("httpx", "httptools"),
    f"httpx2 {version('httpx2')}": ("httpx2", "httptools"),
    "gateway.http1": ("http1", "httptools"),
    "gateway.http1 in both directions": ("http1", INBOUND),
}
CONNECTIONS = (1, 16, 64)
BODY = json.dumps(
    {
        "model": "gpt-4o-mini",
        "temperature": 0.7,
        "messages": [
            {"role": "system", "content": "You are a helpful assistant."},
            {"role": "user", "content": "Say hello to the people on the other side of the wire."},
        ],
    }
).encode()


def uvicorn_command(factory: str, port: int, http: str = "httptools") -> list[str]:
    """Return the command that serves an application factory with one worker."""
    options = ["--factory", factory, "--host", "127.0.0.1", "--port", str(port)]
    return [
        "-m",
        "uvicorn",
        *options,
        "--loop",
        "uvloop",
        "--http",
        http,
        "--no-access-log",
        "--log-level",
        "warning",
    ]


def measure_all(seconds: float) -> dict[tuple[str, int], Load]:
    """Return the figures by target (`upstream` or a client's name) and connections."""
    results = {}
    with contextlib.ExitStack() as stack:
        upstream = stack.enter_context(running(["-m", "benchmarks.canned", str(port := free_port())], port))
        targets = {"upstream": upstream.url}
        for label, (client, http) in RELAYS.items():
            port = free_port()
            command = uvicorn_command(f"benchmarks.bare_relay:with_{client}", port, http)
            environment = {"BARE_RELAY_UPSTREAM": upstream.url}
            targets[label] = stack.enter_context(running(command, port, env=environment)).url
        for connections in CONNECTIONS:
            for name, url in targets.items():
                results[name, connections] = measure(url + "/v1/chat/completions", BODY, connections, seconds)
    return results


def show(results: dict[tuple[str, int], Load], out: Console) -> None:
    """Print the table."""
    table = Table(title=f"Relay of a small chat request ({generator()}, one worker)")
    for name in ("client", "connections", "requests/s", "p50 ms", "p99 ms", "of upstream", "errors"):
        table.add_column(name, justify="left" if name == "client" else "right")
    for (name, connections), load in results.items():
        label = "upstream alone" if name == "upstream" else name
        share = load.rps / results["upstream", connections].rps
        table.add_row(
            label,
            str(connections),
            f"{load.rps:,.0f}",
            f"{load.p50:.2f}",
            f"{load.p99:.2f}",
            f"{share:.1%}",
            str(load.errors),
        )
    out.print(table)


def main() -> None:
    """Parse the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3, help="length of each of the twelve runs")
    show(measure_all(parser.parse_args().seconds), console())


if __name__ == "__main__":
    main()
