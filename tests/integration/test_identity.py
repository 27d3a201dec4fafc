"""What the gateway does not have to change goes through byte for byte, both ways."""

import gzip

import pytest

from tests.integration.client import CHAT, chat_body, post_chat, raw, send
from tests.integration.conftest import Gateway, Line
from tests.upstreams import Upstream
from tests.upstreams.behaviours import ERRORS, ODD_JSON

# Valid JSON which no library writes again as it stands.
ODD_REQUEST = (
    b'\n{ "temperature" : 0.70, "seed":1e400 ,"n":1,"n":1,"model":"gpt-4o-mini","unknown":{"a":[1,2.50,-0]},\r\n'
    b'\t"messages":[{"role":"user","content":"\\u0041\\/ \\ud83d\\ude00 caf\xc3\xa9","name":"x"} ], "user":null } \n'
)
BODIES = {
    "odd": ODD_REQUEST,
    "nan": b'{"model":"gpt-4o-mini","x":NaN,"y":-Infinity,"messages":[{"role":"user","content":"hi"}]}',
    "lone surrogate": b'{"model":"gpt-4o-mini","messages":[{"role":"user","content":"\\ud800"}]}',
    "no messages": b'{"model":"gpt-4o-mini"}',
    "an array": b"[1, 2]",
    "a string": b'"hello"',
    "wrong types": b'{"model":7,"messages":{"role":1},"stream":"yes","stream_options":[]}',
    "big": chat_body("word " * 3000),
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_request_bodies(line: Line, body: bytes) -> None:
    line.same("POST", CHAT, [("Content-Type", "application/json")], body)


def test_request_headers_pass_and_none_is_added(line: Line) -> None:
    headers = [
        ("X-Custom", "one"),
        ("User-Agent", "OpenAI/Python 1.2.3"),
        ("Accept", "application/json"),
        ("Accept-Encoding", "gzip, deflate, br, zstd"),
        ("OpenAI-Organization", "org-1"),
        ("Cookie", "a=b; c=d"),
        ("X-Stainless-Retry-Count", "0"),
        ("Authorization", "Bearer sk-caller"),
        ("X-Custom", "two"),
        ("Idempotency-Key", "k-1"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ("X-Utf8", "Grüße"),
        ("Content-Type", "application/json; charset=utf-8"),
    ]
    line.same("POST", CHAT, headers, chat_body())


def test_no_header_is_added_to_a_bare_request(line: Line) -> None:
    line.same("POST", CHAT, [], chat_body())
    line.same("GET", "/models", [], None)
    line.same("DELETE", "/files/file-1", [], None)


def test_hop_by_hop_and_own_headers_stay_here(gateway: Gateway, upstream: Upstream) -> None:
    headers = [
        ("Connection", "keep-alive, X-Private"),
        ("Keep-Alive", "timeout=5"),
        ("TE", "trailers"),
        ("X-Private", "for the next hop only"),
        ("Proxy-Authorization", "Basic eDp5"),
        ("x-gateway-windowing", "off"),
        ("x-gateway-anything", "1"),
        ("Content-Type", "application/json"),
    ]
    assert send(gateway.url, "POST", CHAT, headers, chat_body()).status == 200
    names = {name.lower() for name, _ in upstream.last.headers}
    assert names == {b"host", b"content-type", b"content-length"}


def test_the_callers_key_passes_or_is_replaced(gateway: Gateway, upstream: Upstream) -> None:
    post_chat(gateway.url, chat_body())
    assert upstream.last.get("authorization") == "Bearer sk-caller"
    post_chat(gateway.url, chat_body(model="gpt-keyed"))
    assert upstream.last.get("authorization") == "Bearer sk-operator"
    assert b"sk-caller" not in upstream.last.head


def test_expect_continue_is_answered_here(gateway: Gateway, upstream: Upstream) -> None:
    reply = send(
        gateway.url, "POST", CHAT, [("Expect", "100-continue"), ("Content-Type", "application/json")], chat_body()
    )
    assert reply.status == 200
    assert upstream.last.get("expect") == ""


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", ERRORS)
def test_upstream_errors_come_back_as_they_are(line: Line, status: int, stream: bool) -> None:
    headers = [("Content-Type", "application/json"), ("x-behaviour", f"error-{status}")]
    body = chat_body(stream=stream, stream_options={"include_usage": True}) if stream else chat_body()
    assert line.same("POST", CHAT, headers, body).status == status


@pytest.mark.parametrize("behaviour", ["odd-json", "large", "not-found", "until-close", "redirect", "slow"])
def test_replies_come_back_as_they_are(line: Line, behaviour: str) -> None:
    headers = [("Content-Type", "application/json"), ("x-behaviour", behaviour)]
    reply = line.same("POST", CHAT, headers, chat_body())
    if behaviour == "odd-json":
        assert reply.body == ODD_JSON
        assert [v for k, v in reply.headers if k == "set-cookie"] == ["a=1", "b=2"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
def test_compressed_replies_are_relayed_as_they_are(gateway: Gateway, line: Line, coding: str, stream: bool) -> None:
    headers = [("Content-Type", "application/json"), ("Accept-Encoding", coding), ("x-behaviour", coding)]
    body = chat_body(stream=True, stream_options={"include_usage": True}) if stream else chat_body()
    reply = line.same("POST", CHAT, headers, body)
    assert reply.get("content-encoding") == coding
    line_logged = gateway.wait_logged(reply.get("x-gateway-request-id"))
    assert line_logged["usage"]["prompt"] > 0  # a copy was decoded for the account


def test_more_and_longer_headers_than_usual(gateway: Gateway, upstream: Upstream) -> None:
    request = b"GET /v1/models HTTP/1.1\r\nHost: x\r\nx-behaviour: many-headers\r\nConnection: close\r\n\r\n"
    reply = raw(gateway.url, request)
    assert reply.startswith(b"HTTP/1.1 200")
    assert reply.count(b"\r\nx-many-") == 200
    assert b"v" * 12_000 in reply


def test_a_query_on_the_chat_path(line: Line) -> None:
    target = f"{CHAT}?api-version=2025-01-01&x=%2F+a"
    reply = line.same("POST", target, [("Content-Type", "application/json")], chat_body())
    assert reply.get("x-gateway-windowing") == "bypassed"


def test_a_compressed_request_is_the_upstreams_to_read(line: Line) -> None:
    headers = [("Content-Type", "application/json"), ("Content-Encoding", "gzip"), ("x-behaviour", "odd-json")]
    reply = line.same("POST", CHAT, headers, gzip.compress(chat_body("word " * 9000)))
    assert reply.get("x-gateway-reason") == "not_text"


def test_http_1_0(gateway: Gateway, upstream: Upstream) -> None:
    body = chat_body()
    head = b"POST /v1/chat/completions HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(
        body
    )
    assert b" 200 " in raw(gateway.url, head + body).split(b"\r\n")[0]
    assert upstream.last.body == body


def test_cookies_of_one_reply_are_not_sent_with_the_next_request(gateway: Gateway, upstream: Upstream) -> None:
    post_chat(gateway.url, chat_body(), "odd-json")
    post_chat(gateway.url, chat_body())
    assert upstream.last.get("cookie") == ""
