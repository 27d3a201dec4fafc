"""The operators' API, as the application serves it."""

import json
from typing import Any

from fastapi import APIRouter, FastAPI

from gateway.api import admin, operators
from gateway.api.operators import Access
from tests.gateway.asgi import JSON, Call
from tests.gateway.teams.rosters import Replica, UnsteadyStore

TOKEN = "an-admin-token-of-some-length"
READ_TOKEN = "a-token-of-somebody-who-looks"
ACCESS = Access(TOKEN, READ_TOKEN)
OPEN = Access(None)
BEARER = (b"authorization", f"Bearer {TOKEN}".encode())
READER = (b"authorization", f"Bearer {READ_TOKEN}".encode())
HERE = (b"host", b"127.0.0.1:8080")


def app_of(*routers: APIRouter) -> FastAPI:
    """Return an application of these routes."""
    app = FastAPI(openapi_url="/admin/openapi.json", docs_url="/admin/docs")
    for router in routers:
        app.include_router(router)
    operators.answer_errors(app)
    return app


class Operator:
    """Somebody with the admin token before a gateway with these teams in its configuration."""

    def __init__(self, store: UnsteadyStore, access: Access = ACCESS, **teams: Any) -> None:
        self.gateway = Replica(store, **teams)
        self.app = app_of(admin.routes(self.gateway.roster, access))

    async def send(self, method: str, path: str, body: object = None) -> Call:
        """Send the request with the token."""
        text = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        return await self.call(method, path, text, HERE, BEARER)

    async def call(self, method: str, path: str, body: bytes, *headers: tuple[bytes, bytes]) -> Call:
        """Send the request just so."""
        typed = (JSON,) if body else ()
        return await Call(method, f"/admin/v1{path}", body, *headers, *typed).to(self.app)
