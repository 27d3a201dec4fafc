"""Running the application under uvicorn, in one process or several; the only uvicorn user."""

import contextlib
import logging
import os
import resource
import shutil
import signal
import socket
import tempfile
from pathlib import Path

import uvicorn
from uvicorn.supervisors import Multiprocess

from gateway.config import CONFIG_VARIABLE, DRAIN_VARIABLE, METRICS_DIR_VARIABLE, SUPERVISED_VARIABLE

_BACKLOG = 2048
_LONGEST_END_S = 30  # for streams that are running when the server stops


class _Supervisor(Multiprocess):
    """Starts workers, and starts them again; SIGHUP is passed on instead of replacing them."""

    def handle_hup(self) -> None:
        """Have every worker read its configuration again."""
        for process in self.processes:
            if process.pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGHUP)


def run(config: Path | None, host: str, port: int, workers: int, drain_s: float = 0.0) -> None:
    """Serve until told to stop, and `drain_s` seconds longer when told by SIGTERM.

    Raises:
        OSError: the address can't be listened on.
    """
    if config is not None:
        os.environ[CONFIG_VARIABLE] = str(config.resolve())
    os.environ[DRAIN_VARIABLE] = str(drain_s)
    _open_many()
    _probe(host, port)
    shared = tempfile.mkdtemp(prefix="context-gateway-metrics-") if workers > 1 else None
    if shared:
        os.environ.update({METRICS_DIR_VARIABLE: shared, SUPERVISED_VARIABLE: "1"})
    try:
        _serve(host, port, workers)
    finally:
        if shared:
            shutil.rmtree(shared, ignore_errors=True)


def _serve(host: str, port: int, workers: int) -> None:
    settings = uvicorn.Config(
        "gateway.app:create_app",
        factory=True,
        host=host,
        port=port,
        workers=workers,
        http="gateway.http1.inbound:Inbound",
        ws="none",
        lifespan="on",
        log_config=None,
        log_level=logging.WARNING,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        backlog=_BACKLOG,
        timeout_graceful_shutdown=_LONGEST_END_S,
    )
    if workers > 1:
        _Supervisor(settings, [settings.bind_socket()]).run()
    else:
        uvicorn.Server(settings).run()


def _open_many() -> None:
    """Let this process and its workers open as many files as the system allows: each request takes two."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _probe(host: str, port: int) -> None:
    """Raise what listening on the address would raise, before the workers are started."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)
