"""Routes for operators: health, readiness, metrics."""

from collections.abc import Callable

from fastapi import APIRouter, Response

from gateway.metrics import CONTENT_TYPE, Metrics

PATHS = frozenset(("/healthz", "/readyz", "/metrics"))


def routes(
    metrics: Metrics, ready: Callable[[], bool], detail: Callable[[], str], refresh: Callable[[], None]
) -> APIRouter:
    """Return the routes; `detail` says why not `ready`; `refresh` updates the windowing processes' metrics."""
    router = APIRouter()

    @router.get("/healthz", summary="The process listens")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @router.get("/readyz", summary="The embedding model is loaded: oversized prompts are windowed")
    async def readyz(response: Response) -> dict[str, str]:
        if ready():
            return {"status": "ready"}
        response.status_code = 503
        return {"status": "warming", **({"detail": why} if (why := detail()) else {})}

    @router.get("/metrics", summary="Prometheus metrics of all workers")
    async def exposition() -> Response:
        refresh()
        return Response(metrics.exposition(), media_type=CONTENT_TYPE)

    return router
