"""Running the application under uvicorn, in one process or several; the only uvicorn user."""

import asyncio
import contextlib
import logging
import os
import resource
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import cast

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors.multiprocess import Multiprocess, Process

from gateway import logs
from gateway.config import CONFIG_VARIABLE, DRAIN_VARIABLE, METRICS_DIR_VARIABLE, SUPERVISED_VARIABLE
from gateway.http1.cycle import Shared
from gateway.http1.inbound import Inbound
from gateway.lifecycle import EarlyHangUp

_BACKLOG = 2048
_LONGEST_END_S = 30  # for streams that are running when the server stops
_AT_ONCE = 4  # connections in one turn of the event loop; few, so that workers that share a socket share what comes


class _Server(uvicorn.Server):
    """Takes in whoever has connected, soon and to the end.

    libuv accepts one connection in each turn of the event loop (its pull request 3696), and under load a turn takes
    long: the last of many clients would wait for a second. When it stops to listen, the kernel resets what waits at a
    socket's end.
    """

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._listeners: list[socket.socket] = []
        self._taking: set[asyncio.Task[None]] = set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen."""
        await super().startup(sockets)
        loop = asyncio.get_running_loop()
        for server in self.servers if self.started else ():  # or the application could not be started
            for listener in server.sockets:
                own = socket.socket(fileno=os.dup(listener.fileno()))
                own.setblocking(False)
                loop.add_reader(own, self._take_in, own)
                self._listeners.append(own)

    def _take_in(self, listener: socket.socket) -> None:
        for one in islice(_waiting(listener), _AT_ONCE):
            task = asyncio.ensure_future(self._connected(one))
            self._taking.add(task)
            task.add_done_callback(self._taking.discard)

    async def _connected(self, one: socket.socket) -> None:
        with contextlib.suppress(OSError):  # it is gone again
            await asyncio.get_running_loop().connect_accepted_socket(self._connection, one)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, finish what has begun."""
        waiting = [one for listener in self._listeners for one in _waiting(listener)]
        for own in self._listeners:
            asyncio.get_running_loop().remove_reader(own)
            own.close()
        for server in self.servers:
            server.close()
        for own in sockets or ():
            own.close()
        await asyncio.gather(*self._taking, *map(self._connected, waiting))
        await super().shutdown(sockets)

    def _connection(self) -> asyncio.Protocol:
        state = cast(Shared[Inbound], self.server_state)  # typed for uvicorn's own protocols
        return Inbound(self.config, state, self.lifespan.state)


def _waiting(listener: socket.socket) -> Iterator[socket.socket]:
    """Yield the connections that nobody has accepted yet."""
    with contextlib.suppress(OSError):  # there are no more, or there is no room for one
        while True:
            one, _ = listener.accept()
            one.setblocking(False)
            yield one


class _Worker(Process):
    """A process that serves with a server of ours."""

    def start(self) -> None:
        """Start it."""
        # The new process inherits what is blocked: until it has a handler, SIGHUP would end it.
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
        super().start()
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        # The worker has its own. With this one open, who waits for a sign of life would not see that it has ended.
        self.child_conn.close()

    def target(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve; called in the process itself."""
        signal.signal(signal.SIGHUP, EarlyHangUp())
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
        super().target(sockets)

    @property
    def server(self) -> uvicorn.Server:
        """Return the server, made in the process itself."""
        if self._server is None:
            self._server = _Server(config=self.config)
        return self._server


class _Supervisor(Multiprocess):
    """Starts workers, and starts them again; SIGHUP is passed on instead of replacing them."""

    failed = False  # to start a worker

    def init_processes(self) -> None:
        """Start the workers."""
        self.processes = [self._started() for _ in range(self.processes_num)]

    def _started(self) -> Process:
        process = _Worker(self.config, self.sockets)
        process.start()
        return process

    def keep_subprocess_alive(self) -> None:
        """Start workers again that have died or hang; end all where one could not even start."""
        for place, process in enumerate(self.processes):
            if self.should_exit.is_set():
                return
            if process.is_alive(self.config.timeout_worker_healthcheck):
                continue
            process.kill()
            process.join()
            if process.exitcode == STARTUP_FAILURE:  # the next one would fail the same way
                logs.event("worker_not_started", pid=process.pid)
                self.failed = True
                self.should_exit.set()
            elif not self.should_exit.is_set():
                self.processes[place] = self._started()
                logs.event("worker_replaced", pid=process.pid, exit=process.exitcode, by=self.processes[place].pid)

    def terminate_all(self) -> None:
        """Tell the workers to stop; what listens after them would only keep clients waiting, to be reset at the end."""
        for own in self.sockets:
            own.close()
        super().terminate_all()

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
    signal.signal(signal.SIGHUP, EarlyHangUp())
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
        timeout_worker_healthcheck=60,
    )
    if workers > 1:
        logs.configure()
        supervisor = _Supervisor(settings, [settings.bind_socket()])
        supervisor.run()
        if supervisor.failed:
            sys.exit(STARTUP_FAILURE)
    else:
        _Server(settings).run()


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
