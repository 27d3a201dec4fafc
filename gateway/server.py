"""Running the application under uvicorn, in one process or several; the only uvicorn user."""

import logging
import os
import shutil
import socket
import tempfile
from pathlib import Path

import uvicorn

from gateway.config import CONFIG_VARIABLE, METRICS_DIR_VARIABLE

_BACKLOG = 2048
_DRAIN_S = 30


def run(config: Path | None, host: str, port: int, workers: int) -> None:
    """Serve until told to stop.

    Raises:
        OSError: the address can't be listened on.
    """
    if config is not None:
        os.environ[CONFIG_VARIABLE] = str(config.resolve())
    _probe(host, port)
    shared = tempfile.mkdtemp(prefix="context-gateway-metrics-") if workers > 1 else None
    if shared:
        os.environ[METRICS_DIR_VARIABLE] = shared
    try:
        uvicorn.run(
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
            timeout_graceful_shutdown=_DRAIN_S,
        )
    finally:
        if shared:
            shutil.rmtree(shared, ignore_errors=True)


def _probe(host: str, port: int) -> None:
    """Raise what listening on the address would raise, before the workers are started."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)
