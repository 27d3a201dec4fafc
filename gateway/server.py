"""Running the application under uvicorn, in one process or several; the only uvicorn user."""

import asyncio
import contextlib
import logging
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, cast

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors.multiprocess import Multiprocess, Process

from gateway import logs
from gateway.api import apart
from gateway.config import (
    DRAIN_VARIABLE,
    METRICS_DIR_VARIABLE,
    SUPERVISOR_VARIABLE,
    WORKERS_VARIABLE,
    Settings,
    from_environment,
    parse,
    read,
)
from gateway.http1.alive import keep_alive
from gateway.http1.cycle import Shared
from gateway.http1.inbound import Inbound
from gateway.lifecycle import EarlyHangUp
from gateway.metrics_folder import MetricsFolder
from gateway.yaml_source import ConfigError

if TYPE_CHECKING:
    from gateway.app import Gateway

_BACKLOG = 2048
_LONGEST_END_S = 30  # for streams that are running when the server stops
_LOOK_S = 0.2  # between looks whether the supervisor is still there
_SOON_S = 30  # a worker that lives for less may be the next of many that die of the same
_LONGEST_PAUSE_S = 30  # before such a worker is started again
_QUIET_S = 60  # between two lines that say that there is no room for connections
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
        self._quiet_until = 0.0

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen."""
        await super().startup(sockets)
        loop = asyncio.get_running_loop()
        for server in self.servers if self.started else ():  # or the application could not be started
            for listener in server.sockets:
                own = socket.socket(fileno=os.dup(listener.fileno()))
                own.setblocking(False)
                keep_alive(own)
                loop.add_reader(own, self._take_in, own)
                self._listeners.append(own)

    def _take_in(self, listener: socket.socket) -> None:
        for one in islice(_waiting(listener), _AT_ONCE):
            task = asyncio.ensure_future(self._connected(one))
            self._taking.add(task)
            task.add_done_callback(self._taking.discard)
        self._see_room()

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

    def _see_room(self) -> None:
        """Say so, once in a while, if there can't be one more file; libuv closes connections then, and says nothing."""
        try:
            os.close(os.dup(self._listeners[0].fileno()))
        except OSError as error:
            if time.monotonic() >= self._quiet_until:
                self._quiet_until = time.monotonic() + _QUIET_S
                logs.event("connections_refused", detail=error.strerror)

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


@dataclass(frozen=True, slots=True)
class _Configuration:
    """What the workers start with: a file's text, as it was when it could last be used, or the environment alone.

    The file as it is when a worker dies may have a mistake in it, or changes that nobody asked to hold yet.
    """

    file: Path | None
    text: str = field(default="", repr=False)  # may hold keys

    @classmethod
    def of(cls, file: Path | None) -> "_Configuration":
        """Read the file, if there is one; raise ConfigError where it can't be used."""
        found = cls(file, read(file) if file else "")
        found.settings()
        return found

    def settings(self) -> Settings:
        """Return the settings; raise ConfigError where there can be none."""
        return parse(self.text, str(self.file), folder=self.file.parent) if self.file else from_environment()

    def application(self) -> "Gateway":
        """Return the application, made by the process that serves it."""
        from gateway.app import create_app  # noqa: PLC0415 - the supervisor has no use for all that

        logs.configure()
        try:
            return create_app(self.settings(), self.file)
        except ConfigError as error:
            logs.event("start_failed", detail=str(error))
            sys.exit(STARTUP_FAILURE)


class _Worker(Process):
    """A process that serves with a server of ours."""

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket], early: int) -> None:
        """`early`: how many before it, in its place and one after the other, died soon after their start."""
        super().__init__(config, sockets)
        self.early = early
        self.served = False
        self.due: float | None = None  # once it has ended: when another is to be started
        self._supervisor = os.getpid()
        self._began = time.monotonic()

    def start(self) -> None:
        """Start it."""
        # The new process inherits what is blocked: until it has a handler, SIGHUP would end it.
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
        super().start()
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        # The worker has its own. With this one open, who waits for a sign of life would not see that it has ended.
        self.child_conn.close()

    def target(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve, in the process itself."""
        signal.signal(signal.SIGHUP, EarlyHangUp())
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
        self.parent_conn.close()  # the supervisor has its own, and this one would hide that it has ended
        self._server = _Server(config=self.config)  # before another thread asks for it
        super().target(sockets)

    def always_pong(self) -> None:
        """Give signs of life for as long as the supervisor lives; without it, stop as if told to."""
        with contextlib.suppress(EOFError, OSError):
            super().always_pong()
        while os.getppid() == self._supervisor:  # it has told this process to stop, and waits
            time.sleep(_LOOK_S)
        os.kill(os.getpid(), signal.SIGTERM)
        logs.event("supervisor_gone")

    def is_alive(self, timeout: float = 5) -> bool:
        """Whether it gives signs of life; notes when it serves."""
        started = self._healthcheck(timeout) if self.process.is_alive() else None
        self.served = self.served or bool(started)
        return started is not None

    @property
    def serves(self) -> bool:
        """Whether it has not ended, and got as far as to serve."""
        return self.served and self.exitcode is None

    def bury(self) -> float:
        """End what is left of it, and return after how many seconds another should be started."""
        self.kill()
        self.join()
        self.early = self.early + 1 if time.monotonic() - self._began < _SOON_S else 0
        pause = min(2.0 ** (self.early - 2), _LONGEST_PAUSE_S) if self.early > 1 else 0.0
        self.due = time.monotonic() + pause
        return pause


class _Supervisor(Multiprocess):
    """Starts workers, and starts them again; SIGHUP is passed on instead of replacing them."""

    failed = False  # to start a worker

    def __init__(
        self,
        config: uvicorn.Config,
        sockets: list[socket.socket],
        configuration: _Configuration,
        folder: MetricsFolder,
    ) -> None:
        super().__init__(config, sockets)
        self._configuration = configuration
        self._folder = folder
        self._workers: list[_Worker] = []

    def init_processes(self) -> None:
        """Start the workers."""
        self._workers = [self._started() for _ in range(self.processes_num)]
        self.processes = cast(list[Process], self._workers)

    def _started(self, early: int = 0) -> _Worker:
        worker = _Worker(self.config, self.sockets, early)
        worker.start()
        return worker

    def keep_subprocess_alive(self) -> None:
        """Start workers again that have died or hang, later and later where they die soon; end where none can start."""
        self._folder.mend()
        for place, worker in enumerate(self._workers):
            if self.should_exit.is_set():
                return
            if worker.due is None and not worker.is_alive(self.config.timeout_worker_healthcheck):
                self._lost(worker)
            if worker.due is not None and worker.due <= time.monotonic() and not self.should_exit.is_set():
                self._replace(place, worker)

    def _replace(self, place: int, worker: _Worker) -> None:
        try:
            self._workers[place] = self._started(worker.early)
        except OSError:  # too many processes, too little memory
            worker.due = time.monotonic() + _LONGEST_PAUSE_S
            logs.event("worker_ended", pid=worker.pid, exit=worker.exitcode, again_in_s=_LONGEST_PAUSE_S)
        else:
            logs.event("worker_replaced", pid=worker.pid, exit=worker.exitcode, by=self._workers[place].pid)

    def _lost(self, worker: _Worker) -> None:
        pause = worker.bury()
        hopeless = bool(worker.exitcode and worker.exitcode > 0) or pause >= _LONGEST_PAUSE_S
        if hopeless and not worker.served and not any(other.serves for other in self._workers):
            # The next one would fail the same way, and clients would wait for nobody.
            logs.event("worker_not_started", pid=worker.pid, exit=worker.exitcode)
            self.failed = True
            self.should_exit.set()
        elif pause:
            logs.event("worker_ended", pid=worker.pid, exit=worker.exitcode, again_in_s=pause)

    def terminate_all(self) -> None:
        """Tell the workers to stop; what listens after them would only keep clients waiting, to be reset at the end."""
        for own in self.sockets:
            own.close()
        super().terminate_all()

    def handle_hup(self) -> None:
        """Have every worker read its configuration again, and those to come begin with it if it can be used."""
        with contextlib.suppress(ConfigError):  # the workers say so
            self._configuration = _Configuration.of(self._configuration.file)
            self.config.app = self._configuration.application
        for worker in self._workers:
            if worker.pid is not None and worker.exitcode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(worker.pid, signal.SIGHUP)

    def handle_ttin(self) -> None:
        """Start one worker more."""
        self.processes_num += 1
        self._workers.append(self._started())


class CannotStartError(Exception):
    """Nothing can be served; the message says why in one line."""


def run(config: Path | None, host: str, port: int, workers: int, drain_s: float = 0.0) -> None:
    """Serve until told to stop, and `drain_s` seconds longer when told by SIGTERM.

    Raises:
        CannotStartError: an address can't be listened on, or the workers can't share their metrics.
        ConfigError: the configuration can't be used.
    """
    signal.signal(signal.SIGHUP, EarlyHangUp())
    configuration = _Configuration.of(config.resolve() if config else None)
    os.environ.update({DRAIN_VARIABLE: str(drain_s), WORKERS_VARIABLE: str(workers)})
    _open_many()
    _probe(host, port, configuration.settings())
    logs.configure()
    if workers == 1:
        _Server(_settings(configuration, host, port, workers)).run()
        return
    try:
        folder = MetricsFolder()
    except OSError as error:
        raise CannotStartError(f"can't make a temporary folder for the workers' metrics: {error.strerror}") from None
    os.environ.update({METRICS_DIR_VARIABLE: str(folder.path), SUPERVISOR_VARIABLE: str(os.getpid())})
    try:
        _supervise(_settings(configuration, host, port, workers), configuration, folder)
    finally:
        folder.remove()


def _supervise(settings: uvicorn.Config, configuration: _Configuration, folder: MetricsFolder) -> None:
    supervisor = _Supervisor(settings, [settings.bind_socket()], configuration, folder)
    supervisor.run()
    if supervisor.failed:
        sys.exit(STARTUP_FAILURE)


def _settings(configuration: _Configuration, host: str, port: int, workers: int) -> uvicorn.Config:
    return uvicorn.Config(
        configuration.application,
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


def _open_many() -> None:
    """Let this process and its workers open as many files as the system allows: each request takes two."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _probe(host: str, port: int, settings: Settings) -> None:
    """Raise what listening on the addresses would raise, before the workers are started."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise CannotStartError(f"can't listen on {host}:{port}: {error.strerror}") from None
    if settings.admin.enabled and settings.admin.listen is not None:
        try:
            # Not shared: the workers will be, with each other but not with another gateway's.
            apart.bound(settings.admin.listen, shared=False).close()
        except OSError as error:
            raise CannotStartError(f"can't listen on {error.strerror}") from None
