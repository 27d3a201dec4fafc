from typing import Any

import pytest

from gateway.api import session
from gateway.api.operators import Access
from gateway.config import Settings
from tests.gateway.api.operating import ACCESS, BEARER, HERE, OPEN, READER, app_of
from tests.gateway.asgi import Call


def settings(**known: Any) -> Settings:
    return Settings.model_validate({"upstreams": {"main": {"base_url": "http://127.0.0.1/v1"}}, **known})


async def said(access: Access, header: tuple[bytes, bytes], found: Settings) -> Any:
    app = app_of(session.routes(lambda: found, lambda: True, access))
    return (await Call("GET", "/admin/v1/session", b"", HERE, header).to(app)).json()


@pytest.mark.parametrize("access, header, role", [(ACCESS, BEARER, "admin"), (ACCESS, READER, "reader")])
async def test_whoever_asks_is_told_what_the_token_lets_do(
    access: Access, header: tuple[bytes, bytes], role: str
) -> None:
    assert await said(access, header, settings()) == {
        "role": role,
        "version": "0.1.0",
        "store": "sqlite",
        "windowing": "on",
        "keys_required": True,
    }


async def test_without_a_token_whoever_is_on_this_machine_may_do_everything() -> None:
    assert (await said(OPEN, (b"x-none", b""), settings()))["role"] == "admin"


async def test_another_kind_of_gateway() -> None:
    found = settings(redis={"url": "redis://127.0.0.1"}, windowing={"mode": "shadow"})
    reply = await said(ACCESS, READER, found)
    assert (reply["store"], reply["windowing"]) == ("redis", "shadow")


async def test_nobody_else_is_told() -> None:
    assert (await said(ACCESS, (b"authorization", b"Bearer x"), settings()))["error"]["code"] == "invalid_api_key"
