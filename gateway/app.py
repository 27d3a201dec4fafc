"""The composition root: everything is built here, from the settings, when the server starts."""

import asyncio
import gc
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from pydantic import SecretStr

from gateway import logs
from gateway.accounts import Accounts
from gateway.api import admin, budgets, openai, operators, ops, usage
from gateway.config import CONFIG_VARIABLE, Settings, load
from gateway.exchange import Receive, Scope, Send
from gateway.metrics import Metrics
from gateway.pipeline import Pipeline
from gateway.pricing import PriceBook
from gateway.recording import Recording
from gateway.upstreams.attempts import Attempts
from gateway.upstreams.breaker import Health
from gateway.upstreams.candidates import Candidates
from gateway.upstreams.upstream import Upstream
from gateway.windowing.pool import WindowPool

_COMMON_MODEL = "gpt-4o-mini"
_LOOK_S = 0.5
_GARBAGE = 10_000  # new objects after which Python looks for cycles among them; a request makes a few hundred


class Gateway:
    """The ASGI application: the OpenAI API as a plain callable, the operators' routes in FastAPI beside it."""

    def __init__(self, settings: Settings, config: Path | None) -> None:
        self._metrics = Metrics()
        self._upstreams = {name: Upstream(name, found) for name, found in settings.upstreams.items()}
        own = {name: model.price for name, model in settings.models.items() if model.price is not None}
        self._prices = {name: PriceBook(found.base_url, own) for name, found in settings.upstreams.items()}
        self._priced = (*settings.models, _COMMON_MODEL)
        self._recording = Recording(logs.RequestLog(), self._metrics)
        self._pool = _pool(settings)
        candidates, self._attempts = Candidates(settings), Attempts(settings.retries, self._upstreams)
        self._accounts = Accounts(settings, config, candidates, self._prices, self._metrics)
        self._pipeline = Pipeline(
            settings=settings,
            spending=self._accounts.spending,
            upstreams=self._upstreams,
            candidates=candidates,
            attempts=self._attempts,
            prices=self._prices,
            windows=self._pool,
            record=self._recording,
        )
        self._windows_wanted = settings.windowing.mode != "off"
        described = "/admin/openapi.json" if settings.admin.enabled else None
        self._ops = FastAPI(title="context-gateway", lifespan=self._lifespan, openapi_url=described, docs_url=None)
        operators.answer_errors(self._ops)
        if settings.admin.enabled:
            self._add_admin(settings.admin.token)
        self._ops.include_router(ops.routes(self._metrics, self._ready, lambda: self._pool.detail, self._refresh))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] == "http" and scope["path"] not in ops.PATHS and not scope["path"].startswith(admin.PREFIX):
            await openai.serve(self._pipeline, scope, receive, send)
        else:
            await self._ops(scope, receive, send)

    def _add_admin(self, token: SecretStr | None) -> None:
        secret = token.get_secret_value() if token else None
        store, roster = self._accounts.store, self._accounts.roster
        self._ops.include_router(admin.routes(roster, secret))
        self._ops.include_router(budgets.routes(store, roster, self._prices, secret))
        self._ops.include_router(usage.routes(store, secret))

    @asynccontextmanager
    async def _lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            stack.callback(self._recording.flush)
            await stack.enter_async_context(self._accounts.running())
            for upstream in self._upstreams.values():
                await stack.enter_async_context(upstream)
            stack.callback(asyncio.create_task(self._load_prices()).cancel)
            stack.callback(asyncio.create_task(self._announce()).cancel)
            if self._windows_wanted:
                stack.push_async_callback(self._pool.close)
                await self._pool.start()
            yield

    async def _announce(self) -> None:
        """Log once that oversized prompts are windowed from now on, or why they never will be."""
        while not self._ready() and not self._pool.detail:  # noqa: ASYNC110 - for some seconds after the start only
            await asyncio.sleep(_LOOK_S)
        logs.event("windowing", status="ready" if self._ready() else "not ready", detail=self._pool.detail or None)

    async def _load_prices(self) -> None:
        """Read the price list off the event loop, before a request needs it."""
        for book in self._prices.values():
            await asyncio.to_thread(book.load, self._priced)
        # What is here now stays: looking through all of it for garbage again and again would stop requests for 50 ms.
        gc.collect()
        gc.freeze()
        gc.set_threshold(_GARBAGE)

    def _ready(self) -> bool:
        return self._pool.ready or not self._windows_wanted

    def _refresh(self) -> None:
        self._recording.flush()
        breakers = self._attempts.breakers.items()
        self._metrics.watch_upstreams({name: breaker.health is Health.OPEN for name, breaker in breakers})
        now = self._pool.stats()
        self._metrics.watch_pool(now.waiting + now.busy, now.restarts, now.lookups)


def _pool(settings: Settings) -> WindowPool:
    wanted = settings.windowing
    return WindowPool(wanted.processes, wanted.queue, wanted.embedding_model, wanted.embedding_ms)


def create_app(settings: Settings | None = None, config: Path | None = None) -> Gateway:
    """Return the application; without settings these come from the file that CONTEXT_GATEWAY_CONFIG names.

    Raises:
        ConfigError: the configuration can't be used.
    """
    logs.configure()
    if settings is None:
        path = os.environ.get(CONFIG_VARIABLE)
        config = Path(path) if path else None
        settings = load(config)
    return Gateway(settings, config)
