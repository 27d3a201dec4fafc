"""Streams: `python -m benchmarks.bench_streams [--rounds 3] [--streams 1000] [--seconds 15]`.

An upstream that streams chat chunks, alone, behind a bare relay, and behind the gateway with all features on: how much
later the first event and each following one arrives; how many events a second long streams carry when the upstream
sends as fast as it can; what an event costs in CPU when each comes by itself; how much memory many slow streams at once
take. Every stream is looked at whole. Ends with 1 where a bar is missed.
"""

import argparse
import asyncio
import resource
import statistics
import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field

import uvloop
from rich.console import Console
from rich.table import Table

from benchmarks.bars import Bar, show_bars
from benchmarks.load import quantile
from benchmarks.process_costs import cpu_seconds, resident_mb
from benchmarks.report import console, machine
from benchmarks.stream_client import Seen, StreamClient, connected, request_for
from benchmarks.targets import Target, bare_relay, full_gateway, upstream

UPSTREAM, BARE, GATEWAY = "upstream alone", "bare relay", "gateway"
_EVENTS, _GAP_MS = 10, 5.0  # of the streams whose delays are measured
_LONG = 2000  # events of a stream that is sent as fast as it is taken
_CONNECTIONS = 64
_STEADY, _STEADY_GAP_MS, _STEADY_EVENTS = 200, 10.0, 300  # streams whose events come one by one
_SLOW_GAP_MS = 1000.0
_SETTLED_S = 2.0


@dataclass(frozen=True, slots=True)
class Delays:
    """Milliseconds: to the first event of each stream, and from the writing of each event to its arrival."""

    first: tuple[float, ...]
    each: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Poured:
    """Long streams: events a second, CPU microseconds of the target an event, streams that were not whole, delays."""

    rate: float
    cpu_us: float
    broken: int
    each: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Crowd:
    """Many slow streams: memory before them and the most during them, those that were whole, their events' delays."""

    streams: int
    whole: int
    before_mb: float
    most_mb: float
    each: tuple[float, ...]


@dataclass(slots=True)
class Found:
    """What was measured, by target."""

    delays: dict[str, list[Delays]] = field(default_factory=dict)
    poured: dict[str, list[Poured]] = field(default_factory=dict)
    steady: dict[str, list[Poured]] = field(default_factory=dict)
    crowds: dict[str, Crowd] = field(default_factory=dict)
    broken: int = 0

    def delay(self, name: str, share: float, first: bool = False) -> float:
        """Return that quantile of the delays, the median of the rounds."""
        rounds = (one.first if first else one.each for one in self.delays[name])
        return statistics.median(quantile(sorted(times), share) for times in rounds)

    def added(self, name: str, share: float, first: bool = False) -> float:
        """Return by how much that is more than the upstream's alone."""
        return self.delay(name, share, first) - self.delay(UPSTREAM, share, first)

    def rate(self, name: str) -> float:
        """Return the median of events/s of streams that are sent as fast as they are taken."""
        return statistics.median(one.rate for one in self.poured[name])

    def cost(self, name: str) -> float:
        """Return the median of the CPU microseconds of an event that comes by itself."""
        return statistics.median(one.cpu_us for one in self.steady[name])


async def delays(target: Target, streams: int) -> tuple[Delays, int]:
    """Read short streams one after the other; return their delays, and how many were not whole."""
    client = await connected(target.url)
    request = request_for(target.url, _EVENTS, _GAP_MS)
    seen = [await client.read(request) for _ in range(streams)]
    client.close()
    each = tuple(delay for one in seen for delay in one.delays_ms)
    return Delays(tuple(one.first_ms for one in seen), each), _broken(seen, _EVENTS)


def _broken(seen: Iterable[Seen], events: int) -> int:
    return sum(not one.whole(events) for one in seen)


async def poured(target: Target, connections: int, events: int, gap_ms: float = 0) -> Poured:
    """Read long streams at the same time, one a connection, begun within the time of one pause."""
    clients = [await connected(target.url) for _ in range(connections)]
    request = request_for(target.url, events, gap_ms)
    cpu, began = cpu_seconds(target.pid), time.perf_counter()
    later = [i * gap_ms / connections / 1e3 for i in range(connections)]
    seen = await asyncio.gather(*(_read(client, request, s) for client, s in zip(clients, later, strict=True)))
    seconds = time.perf_counter() - began
    cpu = cpu_seconds(target.pid) - cpu
    for client in clients:
        client.close()
    total = connections * events
    each = tuple(delay for one in seen for delay in one.delays_ms) if gap_ms else ()
    return Poured(total / seconds, cpu / total * 1e6, _broken(seen, events), each)


async def _read(client: StreamClient, request: bytes, later_s: float) -> Seen:
    await asyncio.sleep(later_s)
    return await client.read(request)


async def crowd(target: Target, streams: int, events: int) -> Crowd:
    """Read many slow streams at once, begun within the time of one pause."""
    await poured(target, _CONNECTIONS, 10)  # what is made once is no stream's memory
    await asyncio.sleep(_SETTLED_S)
    before = most = resident_mb(target.pid)
    reading = asyncio.gather(*(_one(target, i * _SLOW_GAP_MS / streams / 1e3, events) for i in range(streams)))
    while not reading.done():
        await asyncio.sleep(0.5)
        most = max(most, resident_mb(target.pid))
    seen = reading.result()
    each = tuple(delay for one in seen for delay in one.delays_ms)
    return Crowd(streams, streams - _broken(seen, events), before, most, each)


async def _one(target: Target, later_s: float, events: int) -> Seen:
    await asyncio.sleep(later_s)
    client = await connected(target.url)
    try:
        return await client.read(request_for(target.url, events, _SLOW_GAP_MS))
    finally:
        client.close()


async def measure(targets: Mapping[str, Target], rounds: int, streams: int, seconds: float) -> Found:
    """Measure everything, the targets in turns."""
    found = Found()
    for target in targets.values():
        await delays(target, 10)
    for _ in range(rounds):
        for name, target in targets.items():
            taken, broken = await delays(target, 100)
            found.delays.setdefault(name, []).append(taken)
            found.broken += broken
    for _ in range(rounds):
        for name, target in targets.items():
            found.poured.setdefault(name, []).append(await poured(target, _CONNECTIONS, _LONG))
            steady = await poured(target, _STEADY, _STEADY_EVENTS, _STEADY_GAP_MS)
            found.steady.setdefault(name, []).append(steady)
    for name, target in targets.items():
        print(f"{streams} streams, {name}", file=sys.stderr)
        found.crowds[name] = await crowd(target, streams, round(seconds * 1e3 / _SLOW_GAP_MS))
    return found


def bars_of(found: Found) -> list[Bar]:
    """Return what must be true, with what was found."""
    many = found.crowds[GATEWAY]
    long = [one for by_name in (found.poured, found.steady) for rounds in by_name.values() for one in rounds]
    broken = found.broken + sum(one.broken for one in long)
    return [
        Bar("p50 added to the first event", found.added(GATEWAY, 0.5, first=True), most=1, unit="ms"),
        Bar("p50 added to each event", found.added(GATEWAY, 0.5), most=1, unit="ms"),
        Bar(f"memory added by {many.streams:,} slow streams", many.most_mb - many.before_mb, most=100, unit="MB"),
        Bar("of these whole", many.whole, least=many.streams),
        Bar(
            "events/s of long streams, of the bare relay's", found.rate(GATEWAY) / found.rate(BARE), least=0.6, unit="x"
        ),
        Bar("events a CPU second one by one, of its", found.cost(BARE) / found.cost(GATEWAY), least=0.6, unit="x"),
        Bar("other streams that were not whole", broken, most=0),
    ]


def show(found: Found, out: Console) -> None:
    """Print the tables."""
    _show_delays(found, out)
    _show_poured(found, out)
    _show_steady(found, out)
    _show_crowds(found, out)


def _table(title: str, *headings: str) -> Table:
    table = Table(title=title)
    table.add_column("target", no_wrap=True)
    for heading in headings:
        table.add_column(heading, justify="right")
    return table


def _show_delays(found: Found, out: Console) -> None:
    title = f"Streams of {_EVENTS} events, one every {_GAP_MS:g} ms, one at a time: milliseconds, medians of the rounds"
    table = _table(title, "first p50", "added", "first p99", "each p50", "added", "each p99", "added")
    for name in found.delays:
        first, last = found.delay(name, 0.5, first=True), found.delay(name, 0.99, first=True)
        figures = [first, found.added(name, 0.5, first=True), last]
        figures += [figure(name, share) for share in (0.5, 0.99) for figure in (found.delay, found.added)]
        table.add_row(name, *(f"{figure:.2f}" for figure in figures))
    out.print(table)


def _show_poured(found: Found, out: Console) -> None:
    title = f"{_CONNECTIONS} streams of {_LONG:,} events at once, as fast as they are taken, medians of the rounds"
    table = _table(title, "events/s", "of bare", "CPU µs an event", "not whole")
    for name, rounds in found.poured.items():
        cpu = statistics.median(one.cpu_us for one in rounds)
        share, broken = found.rate(name) / found.rate(BARE), sum(one.broken for one in rounds)
        table.add_row(name, f"{found.rate(name):,.0f}", f"{share:.2f}", f"{cpu:.1f}", str(broken))
    out.print(table)


def _show_steady(found: Found, out: Console) -> None:
    title = f"{_STEADY} streams at once, each with an event every {_STEADY_GAP_MS:g} ms, medians of the rounds"
    table = _table(title, "events/s", "CPU µs an event", "each p50 ms", "each p99", "not whole")
    for name, rounds in found.steady.items():
        rate = statistics.median(one.rate for one in rounds)
        late = (statistics.median(quantile(sorted(one.each), share) for one in rounds) for share in (0.5, 0.99))
        broken = sum(one.broken for one in rounds)
        table.add_row(name, f"{rate:,.0f}", f"{found.cost(name):.1f}", *(f"{ms:.2f}" for ms in late), str(broken))
    out.print(table)


def _show_crowds(found: Found, out: Console) -> None:
    table = _table(
        "Slow streams at once, an event a second", "streams", "whole", "MB", "added", "each p50 ms", "each p99"
    )
    for name, one in found.crowds.items():
        times = sorted(one.each) or [float("inf")]
        memory = (f"{one.before_mb:,.0f}", f"{one.most_mb - one.before_mb:,.0f}")
        late = (f"{quantile(times, share):.2f}" for share in (0.5, 0.99))
        table.add_row(name, str(one.streams), str(one.whole), *memory, *late)
    out.print(table)


def main() -> int:
    """Parse the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--streams", type=int, default=1000, help="slow streams at once")
    parser.add_argument("--seconds", type=float, default=15, help="length of a slow stream")
    options = parser.parse_args()
    before = machine()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # two sockets a stream, in the relays too
    with ExitStack() as stack:
        alone = stack.enter_context(upstream("canned_stream"))
        relays = {
            name: stack.enter_context(start(alone.url)) for name, start in ((BARE, bare_relay), (GATEWAY, full_gateway))
        }
        targets = {UPSTREAM: alone, **relays}
        found = uvloop.run(measure(targets, options.rounds, options.streams, options.seconds))
    out = console()
    show(found, out)
    out.print(f"{before} before, {machine()} after", style="dim")
    return 0 if show_bars(bars_of(found), out) else 1


if __name__ == "__main__":
    sys.exit(main())
