"""Where faults are made: a gateway with its ledger before an upstream that misbehaves when asked to."""

import contextlib
import socket
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.books import OTHERS, TEAM, Books, disagreements
from benchmarks.fault_client import BUDGETED, UNLIMITED, Answer, ask
from benchmarks.findings import Findings, until
from benchmarks.gateway_process import GatewayProcess
from benchmarks.processes import free_port
from gateway.store.entries import State
from tests.upstreams import Upstream

TIMEOUT_S = 0.5
EXPIRY_S = 5.0
OPEN_S = 0.5  # a breaker's first pause
CONFIG = """
upstreams:
  main: {{base_url: "{upstream}", breaker_failures: 1000, connect_timeout_s: {timeout}, read_timeout_s: {timeout}}}
{others}
models:
  gpt-main: {{upstream: main, price: {{input: 1, output: 2}}}}
{models}
windowing: {{mode: "off"}}
teams:
  {team}: {{keys: ["{key}"], budget: [{{usd: 1000, period: total}}, {{tokens: 1000000000, period: day}}]}}
  {free}: {{keys: ["{unlimited}"]}}
spending: {{reservation_s: {expiry}}}
{store}
"""
_OTHER = (
    '  {name}: {{base_url: "{url}", breaker_failures: 2, breaker_open_s: {open},'
    " connect_timeout_s: {timeout}, read_timeout_s: {timeout}}}"
)
_MODEL = "  gpt-{name}: {{upstream: {name}, price: {{input: 1, output: 2}}}}"
NOBODY: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Place:
    """The gateway, the upstream (in this process, so that what it did can be asked), the books."""

    gateway: GatewayProcess
    upstream: Upstream
    books: Books
    config: Path

    def ask(self, behaviour: str = "", model: str = "gpt-main", *, stream: bool = False, key: str = BUDGETED) -> Answer:
        """Send a small request through the gateway."""
        return ask(self.gateway.url, model, behaviour, key=key, stream=stream)

    def recovers(self, found: Findings, most_s: float = 1.0, model: str = "gpt-main") -> None:
        """Note how long it takes from now until the next request is answered well."""
        found.recovery_s = until(lambda: self.ask(model=model).good, most_s)
        found.need(found.recovery_s is not None, f"not well again within {most_s} s")

    def entered(self, found: Findings, request: str, *states: State) -> None:
        """Check that the request has one entry in the ledger, in one of the states, and that all adds up."""
        settled = until(lambda: not self._unsettled(request), 3, 0.05)
        own = [entry for entry in self.books.entries() if entry.id == request]
        found.need(len(own) == 1, f"{len(own)} entries of the request in the ledger")
        found.need(settled is not None, "its reservation was not settled")
        for entry in own:
            found.need(entry.state in states, f"the ledger says {entry.state}, not {' or '.join(states)}")
            found.note(f"{entry.state}, {entry.input}+{entry.output} tokens")

    def _unsettled(self, request: str) -> bool:
        entries = self.books.entries()
        return request not in {entry.id for entry in entries} or bool(disagreements(entries, self.books.standing()))

    def adds_up(self, found: Findings, most_s: float = 3.0) -> None:
        """Check that the ledger and the counter agree, and that nothing stays reserved."""
        until(lambda: not disagreements(self.books.entries(), self.books.standing()), most_s, 0.1)
        found.wrong.extend(disagreements(self.books.entries(), self.books.standing()))


def write_config(file: Path, upstream: str, store: str, others: Mapping[str, str] = NOBODY) -> None:
    """Write the faults' configuration; `store` is the line that names the store, `others` further upstreams."""
    times = {"timeout": TIMEOUT_S, "open": OPEN_S, "expiry": EXPIRY_S}
    teams = {"team": TEAM, "free": OTHERS, "key": BUDGETED, "unlimited": UNLIMITED}
    lines = "\n".join(_OTHER.format(name=name, url=url, **times) for name, url in others.items())
    models = "\n".join(_MODEL.format(name=name) for name in others)
    file.write_text(CONFIG.format(upstream=upstream, others=lines, models=models, store=store, **times, **teams))


@contextlib.contextmanager
def placed(
    folder: Path,
    *more: str,
    others: Mapping[str, str] = NOBODY,
    file: Path | None = None,
    redis: str | None = None,
    env: Mapping[str, str] | None = None,
) -> Iterator[Place]:
    """Run a gateway, on SQLite or Redis, before an upstream of its own; `others` are further upstreams by name."""
    database = file or folder / "gateway.db"
    store = f'redis: {{url: "{redis}"}}' if redis else f'store: {{path: "{database}"}}'
    books = Books.of_redis(redis) if redis else Books.of_file(database)
    config = folder / "gateway.yaml"
    with Upstream() as upstream, contextlib.ExitStack() as stack:
        write_config(config, upstream.url, store, others)
        gateway = GatewayProcess(config, folder / "gateway.log", *more, env=env)
        stack.callback(gateway.close)
        gateway.wait()
        yield Place(gateway, upstream, books, config)


class Scene:
    """What all faults of a run can use: a folder for each, and one place that those share which leave it as it was."""

    def __init__(self, folder: Path, stack: contextlib.ExitStack) -> None:
        self._folder = folder
        self._stack = stack
        self._place: Place | None = None
        self.away = free_port()

    def folder(self, name: str) -> Path:
        """Return a new folder."""
        return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self._folder))

    @property
    def place(self) -> Place:
        """The shared place, started when first asked for."""
        if self._place is None:
            others = {
                "silent": f"http://127.0.0.1:{self._stack.enter_context(silent())}/v1",
                "full": f"http://127.0.0.1:{self._stack.enter_context(full())}/v1",
                "nowhere": "http://no-such-host.invalid/v1",
                "away": f"http://127.0.0.1:{self.away}/v1",
            }
            self._place = self._stack.enter_context(placed(self.folder("shared"), others=others))
        return self._place


@contextlib.contextmanager
def silent() -> Iterator[int]:
    """Listen on a port, let everybody connect, and never answer."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        yield listener.getsockname()[1]


@contextlib.contextmanager
def full() -> Iterator[int]:
    """Listen on a port where no more connections come about: what asks for one is not heard, as behind a firewall."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, contextlib.ExitStack() as stack:
        address = listener.getsockname()
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(address)
        yield address[1]
