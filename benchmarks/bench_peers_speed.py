"""How fast: `python -m benchmarks.bench_peers_speed [--seconds 4] [--rounds 3] [--without litellm,portkey,headroom]`.

A small chat request before a canned upstream at 1, 16 and 64 connections: the upstream alone, a bare relay, the
gateway with all features on, and other gateways, which are installed into environments of their own below
~/.cache/context-gateway-bench. All are up at the same time and take turns; figures are medians of the rounds. Then what
a request costs in CPU with two workers, and what a body of 1 MB that is not to be windowed costs.
Ends with 1 where a bar is missed.
"""

import argparse
import json
import statistics
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table

from benchmarks.bars import Bar, show_bars
from benchmarks.http_clients import BODY, CONNECTIONS
from benchmarks.load import HEADERS, Load, generator, measure, run
from benchmarks.peers_install import PeerUnavailableError
from benchmarks.peers_proxies import PEERS
from benchmarks.process_costs import cpu_seconds, resident_mb
from benchmarks.report import console, machine
from benchmarks.targets import Target, bare_relay, full_gateway, upstream

UPSTREAM, BARE, GATEWAY = "upstream alone", "bare relay", "gateway"
PATH = "/v1/chat/completions"
_SETTLED_S = 0.5  # until what follows a request off its path is done
_LARGE = 1_000_000  # bytes
_CANNED = ("Hello there.", 23)  # what benchmarks/canned.py says, and the tokens that it counts
_UNCHANGED = {"x-gateway-windowing": "off"}

Start = Callable[[str], AbstractContextManager[Target]]


@dataclass(slots=True)
class Found:
    """What was measured: loads of every round by target and connections, memory, why a peer is missing, and the rest.

    `serving`: memory of the gateway without its windowing process; `cpu_ms`: CPU milliseconds a request by workers;
    `large`: the loads of the 1 MB body by target.
    """

    loads: dict[tuple[str, int], list[Load]] = field(default_factory=dict)
    memory: dict[str, float] = field(default_factory=dict)
    serving: float | None = None
    missing: dict[str, str] = field(default_factory=dict)
    cpu_ms: dict[int, list[float]] = field(default_factory=dict)
    large: dict[str, list[Load]] = field(default_factory=dict)

    def rate(self, name: str, connections: int) -> float | None:
        """Return the median of requests/s, where there is one."""
        return _median(self.loads.get((name, connections)), lambda load: load.rps)

    def ratio(self, name: str, other: str, connections: int) -> float | None:
        """Return how many times as many requests/s the one answers as the other."""
        mine, its = self.rate(name, connections), self.rate(other, connections)
        return mine / its if mine and its else None

    def added(self, name: str, connections: int) -> float | None:
        """Return the median over the rounds of the p50 over that of the upstream alone, in ms."""
        return _added(self.loads.get((name, connections)), self.loads.get((UPSTREAM, connections)))

    def spread(self, name: str, connections: int) -> float | None:
        """Return the median of p99/p50."""
        return _median(self.loads.get((name, connections)), lambda load: load.p99 / load.p50 if load.p50 else 0.0)


def _median(loads: list[Load] | None, figure: Callable[[Load], float]) -> float | None:
    answered = [load for load in loads or () if load.rps]  # who answers nothing in time has no latency either
    return statistics.median(map(figure, answered)) if answered else None


def _added(loads: list[Load] | None, alone: list[Load] | None) -> float | None:
    pairs = [(one.p50, base.p50) for one, base in zip(loads or (), alone or (), strict=False) if one.rps and base.rps]
    return statistics.median(one - base for one, base in pairs) if pairs else None


def answers(target: Target, body: bytes = BODY, headers: Mapping[str, str] = HEADERS) -> str:
    """Return what is wrong with the target's answer to one request, '' where it is the canned one."""
    request = urllib.request.Request(target.url + PATH, body, {**headers, **target.headers})  # noqa: S310 - loopback
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=60) as reply:
            given = json.load(reply)
    except (OSError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    said, counted = given["choices"][0]["message"]["content"], given["usage"]["total_tokens"]
    return "" if (said, counted) == _CANNED else f"another answer: {said!r}"


def _started(stack: ExitStack, upstream_url: str, without: set[str], found: Found) -> dict[str, Target]:
    """Start everything; peers that do not start or do not answer are left out, with the reason."""
    ours: dict[str, Start] = {BARE: bare_relay, GATEWAY: full_gateway}
    targets = {name: stack.enter_context(start(upstream_url)) for name, start in ours.items()}
    for name, start in PEERS.items():
        if name in without:
            found.missing[name] = "left out by --without"
            continue
        print(f"{name} ...", file=sys.stderr)
        try:
            target = stack.enter_context(start(upstream_url))
        except PeerUnavailableError as error:
            found.missing[name] = str(error)
            continue
        if wrong := answers(target):
            found.missing[name] = f"does not relay: {wrong}"
        else:
            targets[name] = target
    return targets


def measure_small(found: Found, seconds: float, rounds: int, without: set[str]) -> None:
    """Measure all targets with the small request, in turns."""
    with ExitStack() as stack:
        alone = stack.enter_context(upstream("canned"))
        targets = {UPSTREAM: alone, **_started(stack, alone.url, without, found)}
        for name, target in targets.items():
            if wrong := answers(target):
                raise SystemExit(f"{name}: {wrong}")
        for turn in range(rounds):
            for connections in CONNECTIONS:
                for name, target in targets.items():
                    print(f"round {turn + 1} of {rounds}: {name}, {connections}", file=sys.stderr)
                    load = measure(target.url + PATH, BODY, connections, seconds, target.headers)
                    found.loads.setdefault((name, connections), []).append(load)
        found.memory = {name: resident_mb(target.pid) for name, target in targets.items()}
        found.serving = resident_mb(targets[GATEWAY].pid, alone=True)
        _measure_large(found, {name: targets[name] for name in (UPSTREAM, BARE, GATEWAY)}, seconds, rounds)


def _measure_large(found: Found, targets: Mapping[str, Target], seconds: float, rounds: int) -> None:
    """Measure a body of 1 MB that the gateway is asked not to window, on one connection."""
    body = json.dumps({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "word " * (_LARGE // 5)}]})
    for _ in range(rounds):
        for name, target in targets.items():
            load = measure(target.url + PATH, body.encode(), 1, seconds, _UNCHANGED)
            found.large.setdefault(name, []).append(load)


def measure_workers(found: Found, seconds: float, rounds: int, connections: int = 64) -> None:
    """Measure the CPU that a request costs with one worker and with two, in turns."""
    with ExitStack() as stack:
        alone = stack.enter_context(upstream("canned"))
        gateways = {workers: stack.enter_context(full_gateway(alone.url, workers)) for workers in (1, 2)}
        for _ in range(rounds):
            for workers, target in gateways.items():
                found.cpu_ms.setdefault(workers, []).append(_cpu_ms(target, connections, seconds))


def _cpu_ms(target: Target, connections: int, seconds: float) -> float:
    run(target.url + PATH, BODY, connections, 1)
    time.sleep(_SETTLED_S)
    before = cpu_seconds(target.pid)
    load = run(target.url + PATH, BODY, connections, seconds)
    time.sleep(_SETTLED_S)
    return (cpu_seconds(target.pid) - before) / max(1, load.requests) * 1e3


def bars_of(found: Found) -> list[Bar]:
    """Return what must be true, with what was found."""
    rates = [
        Bar(f"requests/s of the bare relay's, {c}", found.ratio(GATEWAY, BARE, c), 0.5, unit="x") for c in CONNECTIONS
    ]
    for name, least in (("litellm", 30), ("portkey", 4)):
        rates += [
            Bar(f"requests/s of {name}'s, {c}", found.ratio(GATEWAY, name, c), least, unit="x") for c in CONNECTIONS
        ]
    one, two = (statistics.median(found.cpu_ms[n]) if n in found.cpu_ms else None for n in (1, 2))
    return [
        *rates,
        Bar("p50 added at 1 connection", found.added(GATEWAY, 1), most=1, unit="ms"),
        Bar("p99/p50 at 16 connections", found.spread(GATEWAY, 16), most=5, unit="x"),
        Bar("CPU a request with two workers, of one's", two / one if one and two else None, most=1.15, unit="x"),
        Bar(
            "p50 added to an unchanged 1 MB body",
            _added(found.large.get(GATEWAY), found.large.get(UPSTREAM)),
            most=5,
            unit="ms",
        ),
    ]


def _cell(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _ratio(value: float | None) -> str:
    return _cell(value, ",.2f" if value is None or value < 10 else ",.0f")


def show(found: Found, rounds: int, out: Console) -> None:
    """Print the tables."""
    table = Table(title=f"A small chat request ({generator()}, one worker each, {rounds} round(s), medians)")
    table.add_column("target", no_wrap=True)
    for heading in (
        "conn.",
        "req./s",
        "bare",
        "LiteLLM",
        "Portkey",
        "added p50",
        "p50 ms",
        "p99 ms",
        "p99/p50",
        "errors",
        "MB",
    ):
        table.add_column(heading, justify="right")
    for (name, connections), loads in sorted(found.loads.items(), key=lambda item: item[0][1]):
        table.add_row(
            name,
            str(connections),
            _cell(found.rate(name, connections), ",.0f"),
            *(_ratio(found.ratio(name, other, connections)) for other in (BARE, "litellm", "portkey")),
            _cell(found.added(name, connections), ",.2f"),
            *(_cell(_median(loads, figure), ",.2f") for figure in (lambda x: x.p50, lambda x: x.p99)),
            _cell(found.spread(name, connections), ".1f"),
            str(sum(load.errors for load in loads)),
            _cell(found.memory.get(name), ",.0f"),
        )
    out.print(table)
    for name, reason in found.missing.items():
        out.print(f"{name}: not measured, {reason}", style="dim", markup=False)
    _show_rest(found, out)


def _show_rest(found: Found, out: Console) -> None:
    out.print("bare, LiteLLM, Portkey: requests/s in multiples of theirs; MB: resident, with child processes")
    out.print(f"gateway without its windowing process: {_cell(found.serving, ',.0f')} MB")
    for workers, taken in found.cpu_ms.items():
        out.print(f"CPU a request, {workers} worker(s), 64 connections: {statistics.median(taken):.3f} ms")
    for name, loads in found.large.items():
        p50 = _cell(_median(loads, lambda load: load.p50), ".2f")
        added = _cell(_added(loads, found.large[UPSTREAM]), ".2f")
        out.print(f"unchanged 1 MB body, 1 connection, {name}: p50 {p50} ms, added {added} ms")


def main() -> int:
    """Parse the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4, help="length of each run")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--without", default="", help="peers that are left out, comma-separated")
    options = parser.parse_args()
    found, out, before = Found(), console(), machine()
    measure_small(found, options.seconds, options.rounds, set(options.without.split(",")))
    measure_workers(found, options.seconds, options.rounds)
    show(found, options.rounds, out)
    out.print(f"{before} before, {machine()} after", style="dim")
    return 0 if show_bars(bars_of(found), out) else 1


if __name__ == "__main__":
    sys.exit(main())
