import json

import pytest
from fastapi import APIRouter
from starlette.exceptions import HTTPException

from gateway.api.operators import Access, Role, guarded
from tests.gateway.api.operating import BEARER, HERE, OPEN, READ_TOKEN, READER, TOKEN, Operator, app_of
from tests.gateway.asgi import Call
from tests.gateway.teams.rosters import UnsteadyStore

Header = tuple[bytes, bytes]


def error_of(call: Call) -> tuple[int, str, str | None]:
    """Return status, code and param of an error, after a look at its shape."""
    error = call.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"]
    assert call.header(b"content-type") == "application/json"
    return call.status, error["code"], error["param"]


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"Bearer",
        b"Bearer ",
        b"Bearer wrong",
        f"Basic {TOKEN}".encode(),
        TOKEN.encode(),
        b"Bearer \xff",
        BEARER[1] + b"x",
    ],
)
async def test_whoever_has_not_the_token_is_kept_out(store: UnsteadyStore, sent: bytes) -> None:
    reply = await Operator(store).call("GET", "/teams", b"", HERE, (b"authorization", sent))
    assert error_of(reply) == (401, "invalid_api_key", None)
    assert TOKEN not in reply.body.decode()


async def test_without_any_credentials_nothing_of_the_request_is_looked_at(store: UnsteadyStore) -> None:
    for path, body in (("/teams", b"not json"), ("/teams", b'{"name": 3}'), ("/keys/key_1/rotate", b"")):
        assert error_of(await Operator(store).call("POST", path, body))[0] == 401


async def test_the_token_lets_in_from_anywhere(store: UnsteadyStore) -> None:
    through_a_proxy = ((b"host", b"gateway.example.com"), (b"x-forwarded-for", b"203.0.113.9"))
    assert (await Operator(store).call("GET", "/teams", b"", *through_a_proxy, BEARER)).status == 200
    assert (
        await Operator(store).call("GET", "/teams", b"", (b"authorization", b"bearer  " + TOKEN.encode()))
    ).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        [HERE],
        [(b"host", b"localhost")],
        [(b"host", b"[::1]:8080")],
        [HERE, (b"origin", b"http://127.0.0.1:8080")],
        [HERE, (b"authorization", b"Bearer whatever")],
    ],
)
async def test_without_a_token_this_machine_is_let_in(store: UnsteadyStore, headers: list[Header]) -> None:
    assert (await Operator(store, OPEN).call("GET", "/teams", b"", *headers)).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"host", b"")],
        [(b"host", b"[")],
        [(b"host", b"gateway.example.com")],
        [(b"host", b"127.0.0.1.example.com")],
        [(b"host", b"10.0.0.1:8080")],
        [HERE, (b"x-forwarded-for", b"203.0.113.9")],
        [HERE, (b"forwarded", b"for=203.0.113.9")],
        [HERE, (b"origin", b"https://evil.example")],
        [HERE, (b"origin", b"http://localhost:3000")],
        [HERE, (b"origin", b"null")],
    ],
)
async def test_without_a_token_proxies_and_other_sites_pages_are_kept_out(
    store: UnsteadyStore, headers: list[Header]
) -> None:
    assert error_of(await Operator(store, OPEN).call("GET", "/teams", b"", *headers)) == (
        403,
        "not_allowed",
        None,
    )


@pytest.mark.parametrize(
    "method, path, body, error",
    [
        ("GET", "/nowhere", None, (404, "unknown_url", None)),
        ("PATCH", "/teams", None, (405, "method_not_allowed", None)),
        ("GET", "/teams/nobody", None, (404, "not_found", None)),
        ("POST", "/teams", b"{", (400, "invalid_json", None)),
        ("POST", "/teams", None, (400, "invalid_request", None)),
        ("POST", "/teams", [], (400, "invalid_request", None)),
        ("POST", "/teams", {}, (400, "invalid_request", "name")),
        ("POST", "/teams", {"name": "a b"}, (400, "invalid_request", "name")),
        ("POST", "/teams", {"name": "a", "budget": {"usd": "much"}}, (400, "invalid_request", "budget.usd")),
        ("PUT", "/teams/acme", {"bogus": 1}, (400, "invalid_request", "bogus")),
        ("PUT", "/teams/acme", {}, (409, "conflict", None)),
        ("DELETE", "/teams/acme?cascade=maybe", None, (400, "invalid_request", "cascade")),
        ("POST", "/teams/acme/keys", {"expires": "2020-01-01T00:00:00Z"}, (400, "invalid_request", "expires")),
        ("POST", "/teams/acme/keys", {"expires": "2099-01-01T00:00:00"}, (400, "invalid_request", None)),
        ("POST", "/keys/key_1/rotate", {"grace_s": -1}, (400, "invalid_request", "grace_s")),
        ("DELETE", "/keys/key_1", None, (404, "not_found", None)),
    ],
)
async def test_every_error_has_openais_shape(
    store: UnsteadyStore, method: str, path: str, body: object, error: tuple[int, str, str | None]
) -> None:
    assert error_of(await Operator(store, acme={}).send(method, path, body)) == error


@pytest.mark.parametrize("path", ["/teams", "/keys", "/teams/acme", "/teams/acme/keys"])
async def test_the_token_of_a_reader_lets_look(store: UnsteadyStore, path: str) -> None:
    assert (await Operator(store, acme={}).call("GET", path, b"", READER)).status == 200


@pytest.mark.parametrize(
    "method, path",
    [
        ("POST", "/teams"),
        ("PUT", "/teams/acme"),
        ("DELETE", "/teams/acme"),
        ("POST", "/teams/acme/keys"),
        ("POST", "/keys/key_1/rotate"),
        ("DELETE", "/keys/key_1"),
    ],
)
async def test_the_token_of_a_reader_lets_change_nothing(store: UnsteadyStore, method: str, path: str) -> None:
    operator = Operator(store, acme={})
    reply = await operator.call(method, path, b"{}", READER)
    assert error_of(reply) == (403, "not_allowed", None)
    assert "change nothing" in reply.json()["error"]["message"]
    assert READ_TOKEN not in reply.body.decode()
    assert [team["name"] for team in (await operator.send("GET", "/teams")).json()["data"]] == ["acme"]


def test_roles_go_by_the_token() -> None:
    access = Access(TOKEN, READ_TOKEN)
    assert [access.role(sent) for sent in (TOKEN, READ_TOKEN, "", "x")] == [Role.ADMIN, Role.READER, None, None]
    assert Access(TOKEN).role("") is None


@pytest.mark.parametrize("path", ["/teams", "/keys", "/teams/acme/keys"])
async def test_while_the_store_is_away_so_is_the_api(store: UnsteadyStore, path: str) -> None:
    operator = Operator(store, acme={})
    store.away = True
    reply = await operator.send("GET", path)
    assert error_of(reply) == (503, "store_unavailable", None)
    assert reply.header(b"retry-after") == "1"
    store.away = False
    assert (await operator.send("GET", path)).status == 200


async def test_a_fault_is_answered_without_a_word_of_it() -> None:
    router = APIRouter(route_class=guarded(OPEN))

    @router.get("/fault")
    async def fault() -> None:
        raise RuntimeError("a secret")

    @router.get("/teapot")
    async def teapot() -> None:
        raise HTTPException(418, "short and stout")

    call = Call("GET", "/fault", b"", HERE)
    with pytest.raises(RuntimeError):  # the server logs it
        await call.to(app_of(router))
    assert error_of(call) == (500, "internal_error", None)
    assert "secret" not in call.body.decode()
    teapot_reply = await Call("GET", "/teapot", b"", HERE).to(app_of(router))
    assert json.loads(teapot_reply.body)["error"]["message"] == "short and stout"
