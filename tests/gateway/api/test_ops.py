from dataclasses import dataclass, field

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute

from gateway.api import ops
from gateway.metrics import Metrics
from gateway.windowing.frames import Lookups
from tests.gateway.asgi import Call


@dataclass(slots=True)
class Operated:
    """A gateway as far as its operators see it, in whatever state a test needs."""

    ready: bool = False
    detail: str = ""
    waiting: int = 0
    metrics: Metrics = field(default_factory=Metrics)

    async def get(self, path: str, method: str = "GET") -> Call:
        app = FastAPI()
        app.include_router(ops.routes(self.metrics, lambda: self.ready, lambda: self.detail, self._refresh))
        return await Call(method, path).to(app)

    def _refresh(self) -> None:
        self.metrics.watch_pool(self.waiting, restarts=0, lookups=Lookups())


@pytest.mark.parametrize("ready", [True, False])
async def test_health_does_not_wait_for_readiness(ready: bool) -> None:
    reply = await Operated(ready=ready).get("/healthz")
    assert (reply.status, reply.json()) == (200, {"status": "ok"})


@pytest.mark.parametrize(
    "ready, detail, status, said",
    [
        (False, "", 503, {"status": "warming"}),
        (False, "no such model", 503, {"status": "warming", "detail": "no such model"}),
        (True, "", 200, {"status": "ready"}),
    ],
)
async def test_readiness(ready: bool, detail: str, status: int, said: dict[str, str]) -> None:
    reply = await Operated(ready, detail).get("/readyz")
    assert (reply.status, reply.json()) == (status, said)


async def test_metrics_are_those_of_the_moment() -> None:
    operated = Operated()
    for waiting in (3, 0):
        operated.waiting = waiting
        reply = await operated.get("/metrics")
        assert reply.status == 200
        assert f"context_gateway_windowing_waiting {waiting:.1f}\n" in reply.body.decode()
        assert reply.header(b"content-type").startswith("text/plain; version=")


async def test_routes_are_those_that_the_application_hands_over() -> None:
    routes = ops.routes(Metrics(), bool, str, lambda: None).routes
    assert {route.path for route in routes if isinstance(route, APIRoute)} == ops.PATHS
    for path in ops.PATHS:
        assert (await Operated().get(path, "POST")).status == 405
