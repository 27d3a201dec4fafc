"""Every other path under /v1/ is relayed both ways, and never held whole."""

import socket
import time
from urllib.parse import urlsplit

import pytest

from tests.integration.client import Headers, eventually, opened, raw, send
from tests.integration.conftest import BODY_MB, Gateway, Line
from tests.upstreams import Upstream
from tests.upstreams.routes import AUDIO

MULTIPART = (
    b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nuser_data\r\n'
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n\r\n'
    + bytes(range(256)) * 40
    + b"\r\n--b--\r\n"
)
JSON: Headers = [("Content-Type", "application/json")]
REQUESTS: dict[str, tuple[str, str, Headers, bytes | None]] = {
    "multipart": ("POST", "/files", [("Content-Type", "multipart/form-data; boundary=b")], MULTIPART),
    "delete": ("DELETE", "/files/file-1", [], None),
    "delete with a body": ("DELETE", "/responses/r", JSON, b'{"a":1}'),
    "query": ("GET", "/models?limit=2&after=a%20b&x=%2F&y=c+d&empty=&y=2", [], None),
    "bare question mark": ("GET", "/models?", [], None),
    "encoded path": ("GET", "/files/a%2Fb%20c;d/content?p=%zz", [], None),
    "embeddings": ("POST", "/embeddings", JSON, b'{"model":"text-embedding-3-small","input":["a","b"]}'),
    "responses": ("POST", "/responses", JSON, b'{"model":"gpt-4o-mini", "input" : "hi", "x":1e400}'),
    "completions": ("POST", "/completions", JSON, b'{"model":"gpt-4o-mini","prompt":"hi"}'),
    "not json": ("POST", "/responses", JSON, b'{"model":'),
    "audio": ("POST", "/audio/speech", JSON, b'{"model":"tts-1","voice":"alloy","input":"hi"}'),
    "head": ("HEAD", "/models", [], None),
    "options": ("OPTIONS", "/chat/completions", [("Origin", "https://example.org")], None),
    "patch": ("PATCH", "/threads/t", JSON, b"{}"),
    "put without a body": ("PUT", "/threads/t", [("Content-Length", "0")], None),
    "get of the chat path": ("GET", "/chat/completions", [], None),
    "stored completion": ("GET", "/chat/completions/chatcmpl-1/messages", [], None),
}


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS.keys())
def test_relayed_both_ways(line: Line, request_: tuple[str, str, Headers, bytes | None]) -> None:
    reply = line.same(*request_)
    assert reply.get("x-gateway-request-id")


def test_audio_bytes(gateway: Gateway, upstream: Upstream) -> None:
    reply = send(gateway.url, "POST", "/audio/speech", JSON, b'{"model":"tts-1","input":"hi"}')
    assert reply.body == AUDIO


def test_a_chunked_upload_larger_than_any_chat_body(gateway: Gateway, upstream: Upstream) -> None:
    piece = bytes(range(256)) * 256
    count = BODY_MB * 1_000_000 // len(piece) + 4
    chunked = b"".join([b"%x\r\n%s\r\n" % (len(piece), piece)] * count) + b"0\r\n\r\n"
    headers = [("Transfer-Encoding", "chunked"), ("Content-Type", "application/octet-stream")]
    assert send(gateway.url, "POST", "/uploads", headers, chunked).json()["bytes"] == len(piece) * count
    assert upstream.last.body == piece * count
    assert upstream.last.get("transfer-encoding") == "chunked"
    assert upstream.last.get("content-length") == ""


def test_an_upload_with_a_length_keeps_it(gateway: Gateway, upstream: Upstream) -> None:
    body = b"x" * (BODY_MB * 1_000_000 + 5)
    send(gateway.url, "POST", "/uploads", [("Content-Type", "application/octet-stream")], body)
    assert upstream.last.get("content-length") == str(len(body))
    assert upstream.last.get("transfer-encoding") == ""
    assert upstream.last.body == body


@pytest.mark.parametrize("path", ["/responses", "/chat/completions"])
def test_streams_arrive_as_they_are_sent(gateway: Gateway, upstream: Upstream, path: str) -> None:
    body = b'{"model":"gpt-4o-mini","stream":true,"messages":[{"role":"user","content":"hi"}]}'
    with opened(gateway.url, "POST", path, [*JSON, ("x-behaviour", "stall-in-stream")], body) as reply:
        received = b""
        while received.count(b"\n\n") < 3:  # the upstream goes no further: whoever waits for more waits in vain
            piece = reply.read1(65536)
            assert piece, received
            received += piece
    assert upstream.wait_gone()


def test_a_reply_is_never_held_whole(gateway: Gateway, upstream: Upstream) -> None:
    with opened(gateway.url, "GET", "/files/file-1/content", [("x-behaviour", "flood")]) as reply:
        assert not eventually(lambda: upstream.answered, timeout_s=1.5)  # a client that does not read holds it up
        assert len(reply.read()) == 1024 * 65536
    assert eventually(lambda: upstream.answered)


def test_an_upload_is_never_held_whole(gateway: Gateway, upstream: Upstream) -> None:
    parts = urlsplit(gateway.url)
    head = b"POST /v1/uploads HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\nConnection: close\r\n\r\n"
    with socket.create_connection((parts.hostname or "", parts.port or 80), 10) as connection:
        connection.sendall(head + b"half")
        assert eventually(lambda: upstream.begun)
        assert upstream.requests == []
        connection.sendall(b"rest")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
    assert upstream.last.body == b"halfrest"


def test_a_client_that_leaves_in_an_upload_ends_it_at_the_upstream(gateway: Gateway, upstream: Upstream) -> None:
    head = b"POST /v1/uploads HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n\r\nhalf"
    with pytest.raises(TimeoutError):
        raw(gateway.url, head, timeout=0.3)
    assert eventually(lambda: upstream.begun)
    assert send(gateway.url, "GET", "/models").status == 200
    assert [request.method for request in upstream.requests] == ["GET"]


def test_connections_that_the_upstream_closes_between_requests(gateway: Gateway, upstream: Upstream) -> None:
    for _ in range(4):
        assert send(gateway.url, "POST", "/uploads", [("x-behaviour", "close-after-reply")], b"x").status == 200
        time.sleep(0.1)
    assert len(upstream.requests) == 4


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_nothing_is_sent_twice_once_the_upstream_may_have_begun(
    gateway: Gateway, upstream: Upstream, method: str
) -> None:
    reply = send(gateway.url, method, "/files/file-1", [("x-behaviour", "close-before-head")])
    assert reply.status == 502
    assert len(upstream.requests) == 1
