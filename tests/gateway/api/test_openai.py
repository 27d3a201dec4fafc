import pytest

from gateway.api import openai
from gateway.exchange import Receive, Scope, Send
from tests.gateway.asgi import JSON, Call
from tests.gateway.pipelines import Recorded, pipeline
from tests.integration.client import chat_body
from tests.upstreams import Upstream


async def served(line: Recorded, method: str, target: str) -> Call:
    call = Call(method, target, chat_body() if method == "POST" else b"", JSON)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await openai.serve(line.pipeline, scope, receive, send)

    return await call.to(app)


@pytest.mark.parametrize(
    "method, target, route",
    [
        ("POST", "/v1/chat/completions", "chat.completions"),
        ("POST", "/v1/chat/completions?api-version=1", "chat.completions"),
        ("GET", "/v1/chat/completions", "relay"),
        ("POST", "/v1/chat/completions/", "relay"),
        ("POST", "/v1/chat/completions/chatcmpl-1", "relay"),
        ("POST", "/v1/chat%2Fcompletions", "relay"),
        ("POST", "/v1//chat/completions", "relay"),
        ("POST", "/v1/CHAT/completions", "relay"),
        ("POST", "/v1/", "relay"),
        ("GET", "/v1/files/..a/a..b/.../%2e%2e%2e", "relay"),
    ],
)
async def test_the_route_and_the_path_behind_it(upstream: Upstream, method: str, target: str, route: str) -> None:
    async with pipeline(upstream.url) as line:
        await served(line, method, target)
    assert line.record.route == route
    assert upstream.last.target == target


@pytest.mark.parametrize(
    "step",
    [
        "..",
        ".",
        "%2e%2e",
        "%2E%2e",
        "%2e",
        ".%2E",
        "%2e.",
        "..%2fa",
        "a%2F..",
        "..%5Ca",
        "..;a",
        "%252e%252e",
        "a\\\\..",
    ],
)
@pytest.mark.parametrize("path", ["/v1/{}/admin", "/v1/files/{}", "/v1/{}"])
async def test_a_step_out_of_the_api_is_refused(upstream: Upstream, path: str, step: str) -> None:
    target = path.format(step)
    async with pipeline(upstream.url) as line:
        reply = await served(line, "GET", target)
    assert (reply.status, line.record.route, line.record.error) == (404, "none", "unknown_url")
    assert f"GET {target}." in reply.json()["error"]["message"]
    assert upstream.requests == []


@pytest.mark.parametrize("target", ["/v1", "/V1/models", "/%76%31/models", "//v1/models", "/"])
async def test_what_only_looks_like_the_api_is_refused(upstream: Upstream, target: str) -> None:
    async with pipeline(upstream.url) as line:
        assert (await served(line, "GET", target)).status == 404
    assert upstream.requests == []
