"""Gateways that share a store, for bench_budgets: several processes behind nginx on Redis, or workers on SQLite."""

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.gateway_process import GatewayProcess
from benchmarks.nginx import nginx
from benchmarks.observed import named
from benchmarks.processes import free_port, running
from gateway.store.contract import Store
from gateway.store.redis import RedisStore
from gateway.store.sqlite import SqliteStore
from tests.gateway.store import servers

_GATEWAYS = 4
_CONFIG = """
upstreams: {{main: {{base_url: "{upstream}/v1"}}}}
windowing: {{mode: "off"}}
teams:
  {team}:
    keys: ["{key}"]
    budget: [{{usd: {usd}, period: total}}, {{tokens: 100000000, period: day}}]
spending: {{reservation_s: {expiry}}}
{store}
"""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a fleet is to be: before which upstream, with which team, its key and its budget."""

    upstream: str
    team: str
    key: str
    usd: float
    expiry: float

    def config(self, store: str) -> str:
        """Return the gateways' configuration; `store` is the part that names the store."""
        return _CONFIG.format(store=store, **{name: getattr(self, name) for name in self.__slots__})


@dataclass(frozen=True, slots=True)
class Fleet:
    """Running gateways: where they answer, a view of their store, and the trouble that can be made."""

    url: str
    store: Store
    kill_one: Callable[[], None]
    restart_one: Callable[[], None]
    pause_store: Callable[[], None] | None = None
    resume_store: Callable[[], None] | None = None


@contextlib.contextmanager
def redis_fleet(folder: Path, wanted: Wanted) -> Iterator[Fleet]:
    """Run four gateways behind nginx on one Redis or Valkey."""
    with servers.running() as redis, contextlib.ExitStack() as stack:
        config = folder / "gateway.yaml"
        config.write_text(wanted.config(f'redis: {{url: "{redis.url}"}}'))
        gateways = [GatewayProcess(config, folder / f"gateway{n}.log") for n in range(_GATEWAYS)]
        for gateway in gateways:
            stack.callback(gateway.kill)
            gateway.wait()
        port = stack.enter_context(nginx(folder, [gateway.port for gateway in gateways]))
        yield Fleet(
            f"http://127.0.0.1:{port}/v1/chat/completions",
            RedisStore(redis.url, 5_000),
            gateways[1].kill,
            lambda: _restarted(gateways[1]),
            redis.pause,
            redis.resume,
        )


def _restarted(gateway: GatewayProcess) -> None:
    gateway.restart()


@contextlib.contextmanager
def sqlite_fleet(folder: Path, wanted: Wanted) -> Iterator[Fleet]:
    """Run one gateway of two workers on SQLite."""
    config, file, port = folder / "gateway.yaml", folder / "gateway.db", free_port()
    config.write_text(wanted.config(f'store: {{path: "{file}"}}'))
    command = ["-m", "gateway.cli", "serve", "--config", str(config), "--port", str(port), "--workers", "2"]
    with running(command, port, "/healthz") as server:
        yield Fleet(
            f"{server.url}/v1/chat/completions",
            SqliteStore(file, "process"),
            lambda: _kill_worker(server.process.pid),
            lambda: None,  # uvicorn starts another worker by itself
        )


def _kill_worker(parent: int) -> None:
    os.kill(named(parent, b"spawn_main")[0], signal.SIGKILL)
