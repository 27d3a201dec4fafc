"""Gateways that share a store, for bench_budgets: several processes behind nginx on Redis, or workers on SQLite."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import ROOT, Server, free_port, running, wait_until
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
_NGINX = """
worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log crit;
events {{ worker_connections 4096; }}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  upstream gateways {{ {servers} keepalive 64; }}
  server {{ listen 127.0.0.1:{port}; location / {{
    proxy_pass http://gateways; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;
  }} }}
}}
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


class _Gateway:
    """A gateway process that can be killed and started again on the same port."""

    def __init__(self, config: Path, log: Path) -> None:
        self.port = free_port()
        self._config = config
        self._log = log
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        command = [
            sys.executable,
            "-m",
            "gateway.cli",
            "serve",
            "--config",
            str(self._config),
            "--port",
            str(self.port),
        ]
        with self._log.open("ab") as out:
            return subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=subprocess.STDOUT)

    def wait(self) -> None:
        """Wait until it answers."""
        wait_until(Server(f"http://127.0.0.1:{self.port}", self.process, self._log), "/healthz", 60)

    def kill(self) -> None:
        """Kill it with -9."""
        self.process.kill()
        self.process.wait()

    def restart(self) -> None:
        """Start it again."""
        self.process = self._start()
        self.wait()


@contextlib.contextmanager
def redis_fleet(folder: Path, wanted: Wanted) -> Iterator[Fleet]:
    """Run four gateways behind nginx on one Redis or Valkey."""
    with servers.running() as redis, contextlib.ExitStack() as stack:
        config = folder / "gateway.yaml"
        config.write_text(wanted.config(f'redis: {{url: "{redis.url}"}}'))
        gateways = [_Gateway(config, folder / f"gateway{n}.log") for n in range(_GATEWAYS)]
        for gateway in gateways:
            stack.callback(gateway.kill)
            gateway.wait()
        port = stack.enter_context(_nginx(folder, [gateway.port for gateway in gateways]))
        yield Fleet(
            f"http://127.0.0.1:{port}/v1/chat/completions",
            RedisStore(redis.url, 5_000),
            gateways[1].kill,
            gateways[1].restart,
            redis.pause,
            redis.resume,
        )


@contextlib.contextmanager
def _nginx(folder: Path, ports: list[int]) -> Iterator[int]:
    nginx = shutil.which("nginx")
    if nginx is None:
        raise SystemExit("nginx is not installed (apt-get install nginx-light)")
    port = free_port()
    servers = " ".join(f"server 127.0.0.1:{own} max_fails=1 fail_timeout=1s;" for own in ports)
    config = folder / "nginx.conf"
    config.write_text(_NGINX.format(folder=folder, servers=servers, port=port))
    process = subprocess.Popen([nginx, "-c", str(config), "-p", str(folder)], stderr=subprocess.DEVNULL)
    try:
        wait_until(Server(f"http://127.0.0.1:{port}", process, config), "/healthz", 20)
        yield port
    finally:
        process.terminate()
        process.wait()


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
    workers = [pid for pid in _children(parent) if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    os.kill(workers[0], signal.SIGKILL)


def _children(parent: int) -> list[int]:
    return list(map(int, Path(f"/proc/{parent}/task/{parent}/children").read_text().split()))
