"""The gateway's own errors have OpenAI's shape; what is not its business it leaves to the upstream."""

import http.client
import json

import pytest

from tests.integration.client import CHAT, Reply, chat_body, opened, post_chat, raw, send
from tests.integration.conftest import BODY_MB, Gateway
from tests.upstreams import Upstream


def assert_openai_error(reply: Reply, status: int) -> None:
    """Assert that the reply is an error as OpenAI's SDKs expect it, and that it says nothing of our insides."""
    assert reply.status == status
    assert reply.get("content-type").startswith("application/json")
    error = reply.json()["error"]
    assert set(reply.json()) == {"error"}
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"]
    assert error["type"]
    assert "Traceback" not in reply.body.decode()
    assert reply.get("x-gateway-request-id")
    assert reply.get("x-request-id") == reply.get("x-gateway-request-id"), "where SDKs look for it"


@pytest.mark.parametrize("stream", [False, True])
def test_an_unreachable_upstream_is_502(gateway: Gateway, upstream: Upstream, stream: bool) -> None:
    assert_openai_error(post_chat(gateway.url, chat_body(model="gpt-dead", stream=stream)), 502)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("behaviour", ["reset-before-head", "close-before-head", "garbage"])
def test_a_connection_that_breaks_before_the_head_is_502(
    gateway: Gateway, upstream: Upstream, behaviour: str, stream: bool
) -> None:
    assert_openai_error(post_chat(gateway.url, chat_body(stream=stream), behaviour), 502)
    assert len(upstream.requests) == 1  # it may have begun to work: asking again could do the work twice


def test_a_slow_upstream_is_504(gateway: Gateway, upstream: Upstream) -> None:
    assert_openai_error(post_chat(gateway.url, chat_body(model="gpt-impatient"), "stall-before-head"), 504)
    assert upstream.wait_gone()


@pytest.mark.parametrize("behaviour", ["truncated", "reset-after-head"])
def test_a_reply_cut_short_is_seen_as_cut_short(gateway: Gateway, upstream: Upstream, behaviour: str) -> None:
    headers = [("Content-Type", "application/json"), ("x-behaviour", behaviour)]
    with (
        pytest.raises((http.client.IncompleteRead, ConnectionError)),
        opened(gateway.url, "POST", CHAT, headers, chat_body()) as reply,
    ):
        reply.read()


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b'{"model": "gpt-4o-mini", "messages": [}', b"\xff\xfe\x00", b'{"a":"\xff"}', b'{"a":1} x', b"hello"],
)
def test_a_body_that_is_not_json_is_400(gateway: Gateway, upstream: Upstream, body: bytes) -> None:
    assert_openai_error(post_chat(gateway.url, body), 400)
    assert upstream.requests == []


@pytest.mark.parametrize("path", ["/", "/v2/chat/completions", "/chat/completions", "/v1", "/v1x/models", "/docs"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_path_outside_the_api_is_404(gateway: Gateway, upstream: Upstream, method: str, path: str) -> None:
    assert_openai_error(send(gateway.root, method, path, [], b"{}" if method == "POST" else None), 404)
    assert upstream.requests == []


@pytest.mark.parametrize("path", ["/v1/../admin", "/v1/files/../../x", "/v1/%2e%2e/x"])
def test_no_path_leads_out_of_the_upstreams_api(gateway: Gateway, upstream: Upstream, path: str) -> None:
    assert send(gateway.root, "GET", path).status == 404
    assert upstream.requests == []


@pytest.mark.parametrize("announced", [True, False])
def test_a_body_over_the_limit_is_413(gateway: Gateway, upstream: Upstream, announced: bool) -> None:
    body = chat_body("x" * (BODY_MB * 1_000_000 + 1))
    if announced:
        reply = post_chat(gateway.url, body)
    else:
        chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
        reply = send(gateway.url, "POST", CHAT, [("Transfer-Encoding", "chunked")], chunked)
    assert_openai_error(reply, 413)
    assert upstream.requests == []


def test_a_chunked_chat_body_is_read(gateway: Gateway, upstream: Upstream) -> None:
    body = chat_body()
    chunked = b"".join(b"%x\r\n%s\r\n" % (1, body[i : i + 1]) for i in range(len(body))) + b"0\r\n\r\n"
    headers = [("Transfer-Encoding", "chunked"), ("Content-Type", "application/json")]
    assert send(gateway.url, "POST", CHAT, headers, chunked).status == 200
    assert upstream.last.body == body


def test_a_client_that_leaves_in_its_request_harms_nobody(gateway: Gateway, upstream: Upstream) -> None:
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"
    for _ in range(3):
        with pytest.raises(TimeoutError):
            raw(gateway.url, head + b'{"model"', timeout=0.2)
    assert post_chat(gateway.url, chat_body()).status == 200
    assert len(upstream.requests) == 1


def test_no_line_of_the_log_holds_a_prompt_or_a_key(gateway: Gateway, upstream: Upstream) -> None:
    secret = "the-colour-of-the-parrot-is-7f3a"
    for behaviour in ("", "error-500", "reset-before-head", "truncated"):
        try:
            post_chat(gateway.url, chat_body(secret), behaviour)
        except (http.client.IncompleteRead, ConnectionError):
            continue
    post_chat(gateway.url, b'{"messages": ["' + secret.encode())
    post_chat(gateway.url, chat_body(secret, model="gpt-dead"))
    post_chat(gateway.url, chat_body(secret, model="gpt-keyed"))
    text = gateway.server.log.read_text()
    assert secret not in text
    assert "sk-caller" not in text
    assert "sk-operator" not in text
    assert "Traceback" not in text


def test_errors_of_the_upstream_keep_its_words(gateway: Gateway, upstream: Upstream) -> None:
    reply = post_chat(gateway.url, json.dumps({"model": "gpt-4o-mini"}).encode())
    assert reply.status == 400
    assert reply.json()["error"]["param"] == "messages"
