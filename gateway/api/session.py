"""The operators' API of whoever asks: what they may do here, and what kind of gateway this is."""

from collections.abc import Callable
from importlib.metadata import version
from typing import Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from gateway.api.admin import router
from gateway.api.operators import Access, Role
from gateway.config import Settings
from gateway.policies import MODES

_PACKAGE = "context-gateway"


class SessionReply(BaseModel):
    """What the token lets do, and where."""

    role: Role = Field(description="reader: everything may be looked at, nothing changed")
    version: str
    store: Literal["sqlite", "redis"]
    windowing: MODES
    keys_required: bool = Field(description="false: there is no team with a key, so that anybody may call the API")


def routes(settings: Callable[[], Settings], keys_required: Callable[[], bool], access: Access) -> APIRouter:
    """Return the routes; both functions say how it is at this moment."""
    found = router(access)

    @found.get("/session", summary="What this token lets do", tags=["operation"])
    async def session(request: Request) -> SessionReply:
        now = settings()
        return SessionReply(
            role=request.state.role,
            version=version(_PACKAGE),
            store="sqlite" if now.redis is None else "redis",
            windowing=now.windowing.mode,
            keys_required=keys_required(),
        )

    return found
