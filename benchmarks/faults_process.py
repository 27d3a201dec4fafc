"""Faults of the gateway's own processes, under load: killed, stopped behind nginx, told to read its configuration."""

import contextlib
import json
import os
import random
import signal
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks import nginx
from benchmarks.books import Books, disagreements
from benchmarks.fault import Fault
from benchmarks.fault_client import BUDGETED
from benchmarks.fault_load import Progress, request_of, under_load
from benchmarks.fault_place import EXPIRY_S, Scene, write_config
from benchmarks.findings import Findings, NotHereError, until
from benchmarks.gateway_process import GatewayProcess
from benchmarks.observed import named
from benchmarks.processes import free_port, running
from gateway.store.entries import Entry, State
from gateway.store.sqlite_allowance import SLACK_S

_CLIENTS = 16
_KILLS = 3
_UP_S = (0.5, 1.5)  # between the kills
_EXPIRED_S = 2 * EXPIRY_S + SLACK_S  # leases outlive reservations by so much, and then they have to be found
_REPLACED_S = 10.0
_DRAIN_S = "3"  # as by default
_WORKER = b"spawn_main"
_RELOADS = 5


@dataclass(frozen=True, slots=True)
class _Billed:
    """A gateway on SQLite before an upstream that keeps bills by user."""

    gateway: GatewayProcess
    books: Books
    upstream: str
    config: Path

    def bills(self) -> dict[str, tuple[int, int]]:
        with urllib.request.urlopen(self.upstream + "/bills", timeout=20) as reply:  # noqa: S310 - our own
            return {user: (bill[0], bill[1]) for user, bill in json.load(reply).items()}


@contextlib.contextmanager
def _billed(folder: Path, *more: str) -> Iterator[_Billed]:
    port, file, config = free_port(), folder / "gateway.db", folder / "gateway.yaml"
    with running(["-m", "benchmarks.billing", str(port)], port) as upstream:
        write_config(config, upstream.url + "/v1", f'store: {{path: "{file}"}}')
        gateway = GatewayProcess(config, folder / "gateway.log", *more)
        try:
            gateway.wait()
            yield _Billed(gateway, Books.of_file(file), upstream.url, config)
        finally:
            gateway.close()


def killed(scene: Scene, found: Findings) -> None:
    """The gateway is killed with -9 at random moments, and started again."""
    dice, in_flight, up_after = random.Random(), 0, list[float]()  # noqa: S311 - no secret

    def kills(progress: Progress) -> None:
        nonlocal in_flight
        for _ in range(_KILLS):
            time.sleep(dice.uniform(*_UP_S))
            in_flight += progress.unsettled
            place.gateway.kill()
            up_after.append(place.gateway.restart())
        time.sleep(_UP_S[0])

    with _billed(scene.folder("kill")) as place:
        progress = under_load(place.gateway.url, _CLIENTS, kills)
        found.recovery_s = max(up_after)
        until(lambda: not disagreements(place.books.entries(), place.books.standing()), _EXPIRED_S, 0.5)
        entries = place.books.entries()
        found.wrong.extend(disagreements(entries, place.books.standing()))
        _as_billed(found, entries, place.bills())
        unsettled = sum(entry.state is State.UNSETTLED for entry in entries)
        found.need(unsettled <= in_flight, f"{unsettled} unsettled entries, {in_flight} unfinished at the kills")
        found.note(
            f"{progress.sent} sent, {len(progress.failed)} failed, {unsettled} unsettled, {in_flight} unfinished"
        )


def _as_billed(found: Findings, entries: list[Entry], bills: dict[str, tuple[int, int]]) -> None:
    """Check that what was billed is in the ledger once, and where it was settled, as billed."""
    booked = [entry.user for entry in entries if entry.state is not State.FREE]
    lost = [user for user in bills if booked.count(user) != 1]
    off = [e.user for e in entries if e.state is State.SETTLED and bills.get(e.user) != (e.input, e.output)]
    found.need(not lost, f"{len(lost)} of {len(bills)} bills not once in the ledger")
    found.need(not off, f"{len(off)} settled entries are not as billed")
    found.note(f"{len(bills)} bills, each once in the ledger")


def worker_killed(scene: Scene, found: Findings) -> None:
    """One of two workers is killed with -9."""
    when, in_flight = 0.0, 0

    def kill(progress: Progress) -> None:
        nonlocal when, in_flight
        time.sleep(1.0)
        before = set(named(place.gateway.pid, _WORKER))
        in_flight, when = progress.in_flight, time.monotonic()
        os.kill(min(before), signal.SIGKILL)
        found.recovery_s = until(lambda: _replaced(place.gateway.pid, before), _REPLACED_S)
        time.sleep(1.0)

    with _billed(scene.folder("worker"), "--workers", "2") as place:
        progress = under_load(place.gateway.url, _CLIENTS, kill)
        late = progress.failed_since(when + 0.5)
        found.need(found.recovery_s is not None, "the worker was not replaced")
        # Between the look at what is in flight and the kill a client may begin; no client may fail twice.
        found.need(len(progress.failed) <= _CLIENTS, f"{len(progress.failed)} failed of {_CLIENTS} clients")
        found.need(not late, f"{late} requests failed half a second after the kill: {progress.words}")
        found.note(f"{progress.sent} sent, {len(progress.failed)} failed, {in_flight} in flight")
        until(lambda: not disagreements(place.books.entries(), place.books.standing()), _EXPIRED_S, 0.5)
        found.wrong.extend(disagreements(place.books.entries(), place.books.standing()))
        _as_billed(found, place.books.entries(), place.bills())


def _replaced(parent: int, before: set[int]) -> bool:
    now = set(named(parent, _WORKER))
    return len(now) == len(before) and now != before


def rolling_restart(scene: Scene, found: Findings) -> None:
    """Two gateways behind nginx are stopped with SIGTERM and started again, one after the other."""
    if not nginx.installed():
        raise NotHereError("nginx is not installed (apt-get install nginx-light)")
    folder, file, port = scene.folder("rolling"), scene.folder("rolling-store") / "gateway.db", free_port()
    with contextlib.ExitStack() as stack:
        upstream = stack.enter_context(running(["-m", "benchmarks.billing", str(port)], port)).url
        write_config(folder / "gateway.yaml", upstream + "/v1", f'store: {{path: "{file}"}}')
        gateways = []
        for number in range(2):
            log = folder / f"{number}.log"
            gateways.append(GatewayProcess(folder / "gateway.yaml", log, "--drain-seconds", _DRAIN_S))
            stack.callback(gateways[-1].close)
        for gateway in gateways:
            gateway.wait()
        front = stack.enter_context(nginx.nginx(folder, [gateway.port for gateway in gateways]))
        progress = under_load(f"http://127.0.0.1:{front}/v1", _CLIENTS, lambda _: _roll(gateways, found))
        found.need(not progress.failed, f"{len(progress.failed)} of {progress.sent} failed: {progress.words}")
        if progress.failed:
            found.wrong.append((folder / "error.log").read_text()[-600:])
        found.note(f"{progress.sent} sent, none failed")


def _roll(gateways: list[GatewayProcess], found: Findings) -> None:
    time.sleep(0.5)
    for gateway in gateways:
        began = time.monotonic()
        gateway.terminate()
        gateway.process.wait(30)
        gateway.restart()
        found.recovery_s = time.monotonic() - began
        time.sleep(1.0)


def reloaded(scene: Scene, found: Findings) -> None:
    """The configuration is read again and again, a bad one at last."""
    with _billed(scene.folder("reload")) as place:
        good = place.config.read_text()

        def reload(_: Progress) -> None:
            for number in range(_RELOADS):
                time.sleep(0.3)
                place.config.write_text(_with_another(good, f"new-{number}", place.upstream))
                place.gateway.hang_up()
            time.sleep(0.5)
            place.config.write_text("upstreams: {main: [this is no upstream]}\n")
            place.gateway.hang_up()
            time.sleep(0.5)

        log = place.gateway.log
        progress = under_load(place.gateway.url, _CLIENTS, reload)
        events = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
        said = [event["event"] for event in events if str(event.get("event")).startswith("reload")]
        found.need(place.gateway.process.poll() is None, "the gateway ended")
        found.need(not progress.failed, f"{len(progress.failed)} of {progress.sent} failed: {progress.words}")
        wanted = ["reloaded"] * _RELOADS + ["reload_failed"]
        found.need(said == wanted, f"the log says {said}")
        served = _served_by(place.gateway.url)
        found.need(served == f"new-{_RELOADS - 1}", f"served by {served!r}, not as the last good file says")
        found.note(
            f"{progress.sent} sent, none failed; the log says {len(said) - 1} times reloaded, then reload_failed"
        )


def _with_another(config: str, name: str, url: str) -> str:
    """Return the configuration with one more upstream, which serves the model from then on."""
    more = config.replace("\nupstreams:\n", f'\nupstreams:\n  {name}: {{base_url: "{url}/v1"}}\n', 1)
    return more.replace("gpt-main: {upstream: main", f"gpt-main: {{upstream: {name}", 1)


def _served_by(url: str) -> str:
    headers = {"Authorization": f"Bearer {BUDGETED}", "Content-Type": "application/json"}
    request = urllib.request.Request(url + "/chat/completions", request_of(1), headers)  # noqa: S310 - our own
    with urllib.request.urlopen(request, timeout=20) as reply:  # noqa: S310 - our own
        return str(reply.headers["x-gateway-upstream"])


FAULTS = (
    Fault(
        "gateway killed -9 under load, 3 times", "ledger = bills; unsettled ≤ unfinished; none reserved", killed, False
    ),
    Fault("one of two workers killed -9", "the other serves; it is replaced; ledger = bills", worker_killed, False),
    Fault("rolling restart behind nginx", "0 failed requests", rolling_restart, False),
    Fault("SIGHUP under load, a bad file at last", "0 failed; the old configuration is kept", reloaded, False),
)
