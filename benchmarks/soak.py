"""Does it last: `python -m benchmarks.soak [--minutes 30]`.

Mixed load (small requests, streams, prompts that are windowed, upstream errors, streams that the upstream breaks off,
clients that leave, bad bodies) on one worker with keys, budgets, ledger, metrics and windowing on. Resident memory,
open files and connections are looked at all the time; in the end the ledger is held against what the clients saw and
what the upstream billed.
"""

import argparse
import asyncio
import contextlib
import itertools
import json
import statistics
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import uvloop
from rich.table import Table

from benchmarks.books import TEAM, Books, disagreements
from benchmarks.findings import until
from benchmarks.gateway_process import GatewayProcess
from benchmarks.observed import connections, named, open_files, resident_kb
from benchmarks.processes import Server, free_port, running, stop
from benchmarks.report import console
from benchmarks.soak_books import Check, checks
from benchmarks.soak_load import BODY_MB, KEY, Seen, client

CLIENTS = 12
FLAT = 1.05  # the last fifth's memory against that of the first fifth after the warm-up
_SAMPLES = 120
_ROWS = 20
_WARM_UP = 0.2
_QUIET_S = 5.0  # in which all that was begun must be over
_CONFIG = """
upstreams: {{main: {{base_url: "{upstream}/v1"}}}}
windowing: {{mode: "on", trigger_tokens: 4000, window_tokens: 2000, deadline_ms: 5000}}
limits: {{body_mb: {body_mb}}}
admin: {{token: "the-token-of-the-soak"}}
teams:
  {team}: {{keys: ["{key}"], budget: [{{usd: 1000000, period: total}}, {{tokens: 1000000000000, period: day}}]}}
spending: {{reservation_s: 6}}
store: {{path: "{file}"}}
"""


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at the gateway: when, its resident memory and its windowing process's, open files, connections."""

    at: float
    gateway_kb: int
    windowing_kb: int
    files: int
    connections: int
    requests: int


@dataclass(frozen=True, slots=True)
class Soak:
    """A gateway that is ready, its upstream, and its books."""

    gateway: GatewayProcess
    upstream: Server
    books: Books

    def look(self, began: float, requests: int) -> Sample:
        """Take a sample."""
        pid = self.gateway.pid
        windowing = sum(map(resident_kb, named(pid, b"windowing")))
        now = time.monotonic() - began
        return Sample(now, resident_kb(pid), windowing, open_files(pid), connections(pid), requests)

    def bills(self) -> dict[str, tuple[int, int]]:
        """Return what the upstream has billed, by user."""
        with urllib.request.urlopen(self.upstream.url + "/bills", timeout=60) as reply:  # noqa: S310 - our own
            return {user: (bill[0], bill[1]) for user, bill in json.load(reply).items()}


@contextlib.contextmanager
def soaking(folder: Path) -> Iterator[Soak]:
    """Start the upstream and the gateway, and wait until it is ready to window."""
    port, file, config = free_port(), folder / "gateway.db", folder / "gateway.yaml"
    with running(["-m", "benchmarks.billing", str(port)], port) as upstream:
        config.write_text(_CONFIG.format(upstream=upstream.url, body_mb=BODY_MB, team=TEAM, key=KEY, file=file))
        gateway = GatewayProcess(config, folder / "gateway.log")
        try:
            gateway.wait("/readyz")
            yield Soak(gateway, upstream, Books.of_file(file))
        finally:
            gateway.close()


async def load(soak: Soak, seconds: float, said: Callable[[Sample], None]) -> tuple[Seen, list[Sample]]:
    """Send the load for so long; return what the clients saw and the samples, of which each is told to `said` too."""
    seen, samples, numbers, began = Seen(), list[Sample](), itertools.count(), time.monotonic()
    end, url = asyncio.get_running_loop().time() + seconds, soak.gateway.url + "/chat/completions"

    async def watch() -> None:
        while True:
            samples.append(await asyncio.to_thread(soak.look, began, seen.sent))
            said(samples[-1])
            await asyncio.sleep(seconds / _SAMPLES)

    watching = asyncio.create_task(watch())
    await asyncio.gather(*(client(url, numbers, end, seen) for _ in range(CLIENTS)))
    watching.cancel()
    return seen, samples


def growth(samples: Sequence[Sample], of: Callable[[Sample], int]) -> float:
    """Return the memory of the last fifth as a share of that of the first fifth after the warm-up, by their medians."""
    after = samples[int(len(samples) * _WARM_UP) :]
    fifth = max(1, len(samples) // 5)
    return statistics.median(map(of, after[-fifth:])) / max(1.0, statistics.median(map(of, after[:fifth])))


def memory(samples: Sequence[Sample], flat: float) -> list[Check]:
    """Return whether memory was flat."""
    found = []
    for name, of in (("gateway", _gateway), ("windowing process", _windowing)):
        grown = growth(samples, of)
        said = f"{grown:.3f} (highest {max(map(of, samples)) / 1024:.0f} MB)"
        found.append(Check(f"memory of the {name}, end / after warm-up ≤ {flat}", said, 0 < grown <= flat))
    return found


def _gateway(sample: Sample) -> int:
    return sample.gateway_kb


def _windowing(sample: Sample) -> int:
    return sample.windowing_kb


def run(folder: Path, seconds: float, flat: float, said: Callable[[Sample], None]) -> list[Check]:
    """Soak for so long; return all that must hold."""
    with soaking(folder) as soak:
        start = soak.look(time.monotonic(), 0)
        seen, samples = uvloop.run(load(soak, seconds, said))
        until(lambda: not disagreements(soak.books.entries(), soak.books.standing()), _QUIET_S, 0.5)
        ledger = checks(seen, soak.books.entries(), soak.books.standing(), soak.bills())
        # With nobody left on either side, a socket that is still there is one that was forgotten.
        stop(soak.upstream.process)
        until(lambda: connections(soak.gateway.pid) <= start.connections, _QUIET_S, 0.1)
        end = soak.look(time.monotonic(), seen.sent)
        left = f"{end.connections} (before: {start.connections}); open files {end.files} ({start.files})"
        sockets = Check("connections left", left, end.connections <= start.connections and end.files <= start.files + 2)
    return [*ledger, *memory(samples, flat), sockets]


def printed(seconds: float) -> Callable[[Sample], None]:
    """Return what prints samples, a row at a time, some rows in all."""
    step, following = seconds / _ROWS, itertools.count(1)
    due = [0.0]
    print(f"{'min':>6} {'requests':>10} {'gateway MB':>11} {'windowing MB':>13} {'files':>6} {'connections':>12}")

    def say(sample: Sample) -> None:
        if sample.at >= due[0]:
            due[0] = step * next(following)
            memories = f"{sample.gateway_kb / 1024:>11.1f} {sample.windowing_kb / 1024:>13.1f}"
            counts = f"{sample.files:>6} {sample.connections:>12}"
            print(f"{sample.at / 60:>6.1f} {sample.requests:>10,} {memories} {counts}", flush=True)

    return say


def show(found: Sequence[Check]) -> bool:
    """Print the verdict; return whether all of it is good."""
    table = Table(title="Soak")
    for heading in ("what", "found", "as it must be"):
        table.add_column(heading)
    for check in found:
        table.add_row(check.what, check.found, "yes" if check.good else "NO")
    console().print(table)
    return all(check.good for check in found)


def main() -> None:
    """Parse the arguments, soak, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    seconds = parser.parse_args().minutes * 60
    with tempfile.TemporaryDirectory(prefix="context-gateway-soak-") as folder:
        found = run(Path(folder), seconds, FLAT, printed(seconds))
    raise SystemExit(0 if show(found) else 1)


if __name__ == "__main__":
    main()
