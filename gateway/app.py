"""The composition root: everything is built here, from the settings, when the server starts."""

import asyncio
import gc
import os
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from pydantic import SecretStr

from gateway import logs
from gateway.accounts import Accounts
from gateway.api import (
    admin,
    apart,
    budgets,
    forecast,
    openai,
    operators,
    ops,
    reloading,
    requests,
    session,
    upstreams,
    usage,
)
from gateway.config import DRAIN_VARIABLE, AdminSettings, Settings, load
from gateway.console import pages
from gateway.exchange import Message, Receive, Scope, Send
from gateway.lifecycle import Lifecycle
from gateway.metrics import Metrics
from gateway.receipts import Receipts
from gateway.recording import Recording
from gateway.serving import Serving, serving, taken_over, upstreams_of
from gateway.tracing import Tracing
from gateway.traffic import Traffic
from gateway.upstreams.breaker import Health
from gateway.upstreams.upstream import Upstream
from gateway.windowing.pool import WindowPool
from gateway.yaml_source import ConfigError

_COMMON_MODEL = "gpt-4o-mini"
_LOOK_S = 0.5
_GARBAGE = 10_000  # new objects after which Python looks for cycles among them; a request makes a few hundred


class Gateway:
    """The ASGI application: the OpenAI API as a plain callable, the operators' routes in FastAPI beside it."""

    def __init__(self, settings: Settings, config: Path | None, drain_s: float = 0.0) -> None:
        self._config = config
        self._metrics = Metrics(_metrics_shared)
        logs.standard_output().count_lost(self._metrics.log_lines_lost)
        self._traffic = Traffic()
        self._pool = _pool(settings)
        self._accounts = Accounts(settings, config, self._metrics)
        self._receipts = Receipts(self._accounts.store, settings.store.receipts)
        self._tracing = Tracing()
        self._recording = Recording(logs.RequestLog(), self._metrics, self._traffic, self._receipts, self._tracing)
        self._serving = self._served(settings, upstreams_of(settings, {}))
        self._lifecycle = Lifecycle(drain_s, lambda: self._begin(self._reload_and_tell()))
        self._tasks: set[asyncio.Task[None]] = set()
        self._reloading = asyncio.Lock()
        self._retired: list[Upstream] = []
        self._pool_started = False
        self._admin_apart = settings.admin.enabled and settings.admin.listen is not None
        described = "/admin/openapi.json" if settings.admin.enabled else None
        # A redirection would name the scheme, host and path of this side of a proxy.
        self._ops = FastAPI(
            title="context-gateway",
            lifespan=self._lifespan,
            openapi_url=described,
            docs_url=None,
            redirect_slashes=False,
        )
        operators.answer_errors(self._ops)
        if settings.admin.enabled:
            self._add_admin(settings.admin)
        self._ops.include_router(ops.routes(self._metrics, self._ready, self._why_not_ready, self._refresh))

    @property
    def draining(self) -> bool:
        """Whether the process is about to stop, so that connections are to end with their next reply."""
        return self._lifecycle.draining

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] == "http" and not self._is_ops(scope["path"]):
            await openai.serve(self._serving.pipeline, scope, receive, send)
        else:
            await self._ops(scope, receive, _in_one_line(send) if scope["type"] == "lifespan" else send)

    def _is_ops(self, path: str) -> bool:
        operating = path.startswith((admin.PREFIX, f"{pages.PREFIX}/")) or path == pages.PREFIX
        return path in ops.PATHS or (operating and not self._admin_apart)

    async def reload(self) -> None:
        """Read the configuration again; requests under way end as they began.

        Raises:
            ConfigError: it can't be used, and what held until now goes on.
        """
        if self._config is None:
            raise ConfigError("there is no configuration file to read again")
        async with self._reloading:
            found = await asyncio.to_thread(load, self._config)
            before = self._serving
            settings, waiting = taken_over(found, before.settings)
            upstreams = upstreams_of(settings, before.upstreams)
            async with AsyncExitStack() as opened:
                # Before anything of it holds: what cannot be opened leaves all as it was.
                for name, upstream in upstreams.items():
                    if upstream is not before.upstreams.get(name):
                        await _opened(upstream)
                        opened.push_async_exit(upstream)
                self._serving = self._served(settings, upstreams)
                opened.pop_all()
            await self._start_pool()
        for upstream in set(before.upstreams.values()) - set(upstreams.values()):
            self._begin(self._retire(upstream))
        logs.event("reloaded", needs_a_restart=waiting or None)

    def _served(self, settings: Settings, upstreams: Mapping[str, Upstream]) -> Serving:
        sampler = self._tracing.configure(settings)
        return serving(settings, upstreams, self._accounts, self._pool, self._recording, sampler)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _reload_and_tell(self) -> None:
        try:
            await self.reload()
        except Exception as error:  # noqa: BLE001 - whatever it is, what held until now goes on
            why = str(error) if isinstance(error, ConfigError) else type(error).__name__
            logs.event("reload_failed", detail=why)

    async def _retire(self, upstream: Upstream) -> None:
        """Close an upstream that the configuration has no more, once its last request is over."""
        self._retired.append(upstream)
        while upstream.busy:  # noqa: ASYNC110 - seldom, and nobody waits for it
            await asyncio.sleep(_LOOK_S)
        self._retired.remove(upstream)
        await upstream.__aexit__()

    def _add_admin(self, settings: AdminSettings) -> None:
        access = operators.Access(_secret(settings.token), _secret(settings.read_token))
        store, roster = self._accounts.store, self._accounts.roster
        for router in (
            admin.routes(roster, access),
            budgets.routes(store, roster, lambda: self._serving.prices, access),
            forecast.routes(store, roster, lambda: self._serving.prices, access),
            usage.routes(store, access),
            requests.routes(store, access),
            upstreams.routes(lambda: self._serving, self._traffic, store, access),
            session.routes(lambda: self._serving.settings, lambda: roster.keyring.required, access),
            reloading.routes(self.reload, access),
            pages.routes(),
        ):
            self._ops.include_router(router)

    @asynccontextmanager
    async def _lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(asyncio.to_thread, logs.standard_output().finish)
            stack.callback(self._recording.flush)
            await stack.enter_async_context(self._accounts.running())
            stack.push_async_callback(self._finish_records)
            stack.push_async_callback(self._close_upstreams)
            for upstream in self._serving.upstreams.values():
                await upstream.__aenter__()
            stack.callback(asyncio.create_task(self._load_prices()).cancel)
            stack.callback(asyncio.create_task(self._announce()).cancel)
            stack.push_async_callback(self._pool.close)
            stack.push_async_callback(self._accounts.endings.finish)  # windows in shadow are still being made
            await self._start_pool()
            if listen := self._serving.settings.admin.listen if self._admin_apart else None:
                await stack.enter_async_context(apart.serving(self._ops, listen))
            stack.enter_context(self._lifecycle.listening())
            yield

    async def _finish_records(self) -> None:
        self._accounts.endings.flush()
        self._recording.flush()
        await asyncio.gather(self._receipts.finish(), self._tracing.finish())

    async def _close_upstreams(self) -> None:
        for task in tuple(self._tasks):
            task.cancel()
        for upstream in (*self._serving.upstreams.values(), *self._retired):
            await upstream.__aexit__()

    async def _start_pool(self) -> None:
        if self._wanted and not self._pool_started:
            self._pool_started = True
            await self._pool.start()

    @property
    def _wanted(self) -> bool:
        return self._serving.settings.windowing.mode != "off"

    async def _announce(self) -> None:
        """Log once that oversized prompts are windowed from now on, or why they never will be."""
        while not self._warm() and not self._pool.detail:  # noqa: ASYNC110 - for some seconds after the start only
            await asyncio.sleep(_LOOK_S)
        logs.event("windowing", status="ready" if self._warm() else "not ready", detail=self._pool.detail or None)

    async def _load_prices(self) -> None:
        """Read the price list off the event loop, before a request needs it."""
        for book in self._serving.prices.values():
            await asyncio.to_thread(book.load, (*self._serving.settings.models, _COMMON_MODEL))
        # What is here now stays: looking through all of it for garbage again and again would stop requests for 50 ms.
        gc.collect()
        gc.freeze()
        gc.set_threshold(_GARBAGE)

    def _warm(self) -> bool:
        return self._pool.ready or not self._wanted

    def _ready(self) -> bool:
        return self._warm() and not self.draining

    def _why_not_ready(self) -> str:
        return "the server is about to stop" if self.draining else self._pool.detail

    def _refresh(self) -> None:
        self._accounts.endings.flush()
        self._recording.flush()
        breakers = self._serving.attempts.breakers.items()
        self._metrics.watch_upstreams({name: breaker.health is Health.OPEN for name, breaker in breakers})
        now = self._pool.stats()
        self._metrics.watch_pool(now.waiting + now.busy, now.restarts, now.lookups)


def _in_one_line(send: Send) -> Send:
    """Return what says of a start that failed why, not where in the code."""

    async def sent(message: Message) -> None:
        if message["type"] == "lifespan.startup.failed":
            message = {**message, "message": message["message"].strip().rpartition("\n")[2]}
        await send(message)

    return sent


def _metrics_shared(there: bool) -> None:
    logs.event("metrics", status="back" if there else "away")


async def _opened(upstream: Upstream) -> None:
    try:
        await upstream.__aenter__()
    except OSError as error:  # its file of certificates
        raise ConfigError(f"upstreams.{upstream.name}: {error.strerror or error}") from None


def _secret(token: SecretStr | None) -> str | None:
    return token.get_secret_value() if token else None


def _pool(settings: Settings) -> WindowPool:
    wanted = settings.windowing
    return WindowPool(wanted.processes, wanted.queue, wanted.embedding_model, wanted.embedding_ms)


def create_app(settings: Settings, config: Path | None = None) -> Gateway:
    """Return the application; `config` is the file that the settings are of, to be read again."""
    logs.configure()
    return Gateway(settings, config, float(os.environ.get(DRAIN_VARIABLE, "0")))
