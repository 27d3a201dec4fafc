import asyncio
import logging
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import certifi
import pytest

from gateway.app import Gateway, _opened, create_app
from gateway.config import Settings, load
from gateway.upstreams.upstream import Upstream as Known
from gateway.windowing.pool import WindowPool
from gateway.windowing.types import Reason, WindowOutcome, WindowPolicy
from gateway.yaml_source import ConfigError
from tests.gateway.asgi import JSON, Call, started
from tests.integration.client import chat_body
from tests.upstreams import Upstream

NO_MODEL = "/nonexistent"
CHAT = "/v1/chat/completions"
sees_processes = pytest.mark.skipif(not Path("/proc").is_dir(), reason="no /proc to count processes in")


@pytest.fixture(autouse=True)
def logging_is_put_back() -> Iterator[None]:
    """An application sends all logging to its own output."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def application(upstream: Upstream, **windowing: object) -> Gateway:
    upstreams = {"main": {"base_url": upstream.url}}
    return create_app(Settings.model_validate({"upstreams": upstreams, "windowing": windowing}))


def test_every_route_of_the_operators_stands_in_a_document() -> None:
    settings = Settings.model_validate({"upstreams": {"main": {"base_url": "http://127.0.0.1:1/v1"}}})
    described = Gateway(settings, None)._ops.openapi()["paths"]
    texts = [path.read_text("utf-8") for path in (Path(__file__).parents[2] / "docs").glob("*.md")]
    lines = [line for text in texts for line in text.splitlines()]
    asked = {(method.upper(), path) for path, methods in described.items() for method in methods}
    assert ("GET", "/admin/v1/teams/{name}/budgets") in asked
    assert [
        (method, path) for method, path in sorted(asked) if not any(_tells(line, method, path) for line in lines)
    ] == []


def _tells(line: str, method: str, path: str) -> bool:
    """Whether the line names the route, with whatever it names in the place of the path's parameters."""
    if not path.startswith("/admin/v1"):
        return f"`{path}`" in line
    own = re.sub(r"\{\w+\}", r"[^/\\s`]+", path.removeprefix("/admin/v1"))
    return re.search(rf"[ `](/admin/v1)?{own}(?=[`?\s]|$)", line) is not None and method in line


def process_ids(app: Gateway) -> list[int]:
    """The ids of the application's windowing processes."""
    found = (child._process for child in app._pool._children if child)
    return [process.pid for process in found if process]


def child_processes() -> set[int]:
    """The ids of this process's children, as the system knows them."""
    return {int(entry.name) for entry in Path("/proc").glob("[0-9]*") if parent_of(entry) == os.getpid()}


def parent_of(entry: Path) -> int | None:
    try:
        return int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:  # it has ended meanwhile
        return None


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - the pool tells nobody of these changes
            await asyncio.sleep(0.02)


async def test_a_reload_that_fails_half_way_leaves_nothing_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, upstream: Upstream
) -> None:
    file, authorities, opened = tmp_path / "gateway.yaml", tmp_path / "ca.pem", list[Known]()
    file.write_text(f"upstreams: {{main: {{base_url: '{upstream.url}'}}}}\nwindowing: {{mode: off}}\n")
    shutil.copy(certifi.where(), authorities)
    app = create_app(load(file), file)

    def load_and_lose_the_authorities(path: Path) -> Settings:
        found = load(path)
        authorities.unlink()
        return found

    async def note(new: Known) -> None:
        await _opened(new)
        opened.append(new)

    monkeypatch.setattr("gateway.app.load", load_and_lose_the_authorities)
    monkeypatch.setattr("gateway.app._opened", note)
    file.write_text(
        f"upstreams: {{main: {{base_url: '{upstream.url}'}}, good: {{base_url: '{upstream.url}'}}, "
        f"bad: {{base_url: 'https://127.0.0.1:1/v1', ca_file: '{authorities}'}}}}\nwindowing: {{mode: off}}\n"
    )
    async with started(app):
        with pytest.raises(ConfigError):
            await app.reload()
        assert [new.name for new in opened] == ["good"]
        assert [new._pool and new._pool._timer for new in opened] == [None]
        assert (await Call("POST", CHAT, chat_body(), JSON).to(app)).status == 200


@sees_processes
async def test_the_windowing_processes_live_as_long_as_the_application(upstream: Upstream) -> None:
    before = child_processes()
    app = application(upstream, embedding_model=NO_MODEL, processes=2)
    assert child_processes() == before  # building it starts nothing
    async with started(app):
        await until(lambda: len(process_ids(app)) == 2)
        assert set(process_ids(app)) == child_processes() - before
        assert (await Call("GET", "/readyz").to(app)).status == 503
        assert (await Call("POST", CHAT, chat_body("word " * 9000), JSON).to(app)).status == 200
    assert child_processes() == before


@sees_processes
async def test_a_start_and_an_end_at_once_leave_nothing_behind(upstream: Upstream) -> None:
    tasks, processes = asyncio.all_tasks(), child_processes()
    app = application(upstream, embedding_model=NO_MODEL)
    async with started(app):
        pass
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == tasks
    assert child_processes() == processes


async def test_without_windowing_it_is_ready_and_starts_no_process(upstream: Upstream) -> None:
    app = application(upstream, mode="off")
    async with started(app):
        assert (await Call("GET", "/readyz").to(app)).json() == {"status": "ready"}
        assert app._pool._children == [None]  # and starts none


async def test_the_operators_routes_stand_beside_the_api(upstream: Upstream) -> None:
    app = application(upstream, mode="off")
    async with started(app):
        assert (await Call("GET", "/healthz").to(app)).status == 200
        assert (await Call("POST", CHAT, chat_body(), JSON).to(app)).status == 200
        exposition = (await Call("GET", "/metrics").to(app)).body.decode()
        outside = await Call("GET", "/docs").to(app)
    assert 'model="gpt-4o-mini",status="200",team="default"} 1.0' in exposition
    assert outside.json()["error"]["code"] == "unknown_url"  # and not a page of FastAPI's
    assert len(upstream.requests) == 1


def operated(upstream: Upstream, folder: Path, **fields: object) -> Gateway:
    settings = {
        "upstreams": {"main": {"base_url": upstream.url}},
        "windowing": {"mode": "off"},
        "store": {"path": folder / "gateway.db"},
        "admin": {"token": "an-admin-token-of-some-length", "read_token": "a-token-of-somebody-who-looks"},
    }
    return create_app(Settings.model_validate(settings | fields))


async def test_a_slash_too_many_is_an_unknown_url_and_leads_nowhere(upstream: Upstream, tmp_path: Path) -> None:
    async with started(app := operated(upstream, tmp_path)):
        reply = await looked(app, "/admin/v1/teams/")
        assert (reply.status, reply.json()["error"]["code"]) == (404, "unknown_url")
        assert b"location" not in dict(reply.headers)
        assert (await looked(app, "/console/")).header(b"location") == "../console"


def held(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.iterdir())


async def looked(app: Gateway, path: str) -> Call:
    reader = (b"authorization", b"Bearer a-token-of-somebody-who-looks")
    return await Call("GET", path, b"", reader).to(app)


async def test_a_request_is_found_by_its_id_with_its_receipt_once_the_gateway_has_stopped(
    upstream: Upstream, tmp_path: Path
) -> None:
    app = operated(upstream, tmp_path, logging={"prompts": True})
    async with started(app):
        made = await Call("POST", CHAT, chat_body(), JSON).to(app)
        seen = (await looked(app, "/admin/v1/upstreams")).json()["data"]
    async with started(app := operated(upstream, tmp_path)):
        (entry,) = (await looked(app, "/admin/v1/requests")).json()["data"]
        found = (await looked(app, f"/admin/v1/requests/{entry['id']}")).json()
        session = (await looked(app, "/admin/v1/session")).json()
        forbidden = await Call(
            "POST", "/admin/v1/reload", b"", (b"authorization", b"Bearer a-token-of-somebody-who-looks")
        ).to(app)
    assert entry["id"] == made.header(b"x-gateway-request-id")
    assert found["entry"] == entry
    assert found["receipt"]["attempts"] == ["main: answered"]
    assert found["receipt"]["forwarded_body"].encode() == upstream.last.body
    assert [one["name"] for one in seen] == ["main"]
    assert (session["role"], session["windowing"], session["keys_required"]) == ("reader", "off", False)
    assert forbidden.status == 403


async def test_a_stop_waits_for_windows_in_shadow_as_long_as_there_is_who_makes_them(
    upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def window(pool: WindowPool, body: bytes, policy: WindowPolicy) -> WindowOutcome:
        await asyncio.sleep(0.1)
        return WindowOutcome(Reason.WARMING if closed else Reason.RELEVANCE, b"{}", 5000, 50)

    async def close(pool: WindowPool) -> None:
        closed.append(pool)
        await really_close(pool)

    closed, really_close = list[WindowPool](), WindowPool.close
    monkeypatch.setattr(WindowPool, "close", close)
    monkeypatch.setattr(WindowPool, "window", window)
    shadow = {"mode": "shadow", "embedding_model": NO_MODEL}
    async with started(app := operated(upstream, tmp_path, windowing=shadow)):
        assert (await Call("POST", CHAT, chat_body("word " * 9000), JSON).to(app)).status == 200
    async with started(app := operated(upstream, tmp_path)):
        (entry,) = (await looked(app, "/admin/v1/requests")).json()["data"]
    assert (entry["decision"], entry["reason"], entry["tokens_window"]) == ("shadow", "relevance", 50)
    assert entry["would_save_usd"] is not None
    assert entry["saved_usd"] is None


async def test_prompts_are_in_no_receipt_unless_they_are_logged(upstream: Upstream, tmp_path: Path) -> None:
    app = operated(upstream, tmp_path)
    async with started(app):
        made = await Call("POST", CHAT, chat_body("a secret"), JSON).to(app)
    async with started(app := operated(upstream, tmp_path)):
        found = await looked(app, f"/admin/v1/requests/{made.header(b'x-gateway-request-id')}")
    assert found.json()["receipt"]["forwarded_body"] == ""
    assert b"a secret" not in held(tmp_path)


async def test_the_console_is_served_where_the_admin_api_is(upstream: Upstream, tmp_path: Path) -> None:
    app = operated(upstream, tmp_path)
    assert (await Call("GET", "/console").to(app)).header(b"content-type") == "text/html; charset=utf-8"
    assert (await Call("GET", "/console/assets/theme.js").to(app)).status == 200
    for other in ({"enabled": False}, {"token": "an-admin-token-of-some-length", "listen": "127.0.0.1:1"}):
        elsewhere = operated(upstream, tmp_path, admin=other)
        assert (await Call("GET", "/console").to(elsewhere)).json()["error"]["code"] == "unknown_url"
    assert upstream.requests == []
