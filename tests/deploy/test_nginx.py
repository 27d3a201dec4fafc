"""The nginx of deploy/ before two real gateways: streams, large bodies, slow and odd clients, a rolling restart."""

import contextlib
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from benchmarks.processes import free_port
from tests.deploy.fronted import fleet, fronted
from tests.integration.client import chat_body, eventually, opened, post_chat, raw, send
from tests.upstreams import Upstream

pytestmark = pytest.mark.skipif(
    shutil.which("nginx") is None, reason="nginx is not installed (apt-get install nginx-light)"
)
JSON = [("Content-Type", "application/json")]


@pytest.fixture(scope="module")
def front(running_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """nginx' URL."""
    folder = tmp_path_factory.mktemp("nginx")
    with fleet(folder, running_upstream) as gateways, fronted(folder, gateways.ports) as url:
        yield url


def test_a_request_passes_with_the_gateways_headers_in_both_directions(front: str, upstream: Upstream) -> None:
    reply = post_chat(f"{front}/v1", chat_body(), headers=[("x-gateway-windowing", "off")])
    assert reply.status == 200
    assert reply.get("x-gateway-request-id")
    assert reply.get("x-gateway-windowing") == "off"
    assert reply.get("x-gateway-upstream") == "main"


def test_who_calls_is_not_told_to_the_upstream(front: str, upstream: Upstream) -> None:
    for name in ("X-Forwarded-For", "X-Real-IP", "Forwarded", "Upgrade"):
        assert post_chat(f"{front}/v1", chat_body(), headers=[(name, "10.0.0.7")]).status == 200
        sent = {key.lower(): value for key, value in upstream.last.headers}
        assert name.lower().encode() not in sent
        assert b"10.0.0.7" not in b"".join(sent.values())


def test_events_of_a_stream_come_one_by_one(front: str, upstream: Upstream) -> None:
    """One comes every 10 ms."""
    sizes = pieces(front, 30)
    assert sorted(sizes)[len(sizes) // 2] < 400
    assert upstream.wait_gone()


def test_a_reply_that_is_not_read_is_not_taken_from_the_gateway(front: str, upstream: Upstream) -> None:
    """It would be in nginx' files, 64 MB of it here, and its client's leaving would not be noticed."""
    with opened(f"{front}/v1", "POST", "/audio/speech", [*JSON, ("x-behaviour", "flood")], b"{}") as reply:
        assert reply.status == 200
        assert not eventually(lambda: upstream.answered, 1.5)
    assert upstream.wait_gone()


def pieces(base: str, count: int) -> list[int]:
    """Return the sizes in which a stream arrives; HTTP libraries show its chunks instead."""
    parts = urlsplit(base)
    body = chat_body(stream=True)
    head = "POST /v1/chat/completions HTTP/1.1\r\nHost: g\r\nContent-Type: application/json\r\nx-behaviour: endless\r\n"
    with socket.create_connection((parts.hostname or "", parts.port or 80), 10) as connection:
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
        return [len(connection.recv(65536)) for _ in range(count)]


def test_a_large_body_arrives_whole(front: str, upstream: Upstream) -> None:
    body = chat_body("long " * 4_000_000)
    assert post_chat(f"{front}/v1", body).status == 200
    assert upstream.last.body == body


def test_a_body_above_the_gateways_limit_is_refused_in_openais_shape(front: str, upstream: Upstream) -> None:
    reply = post_chat(f"{front}/v1", b'{"model": "' + b"x" * 53_000_000 + b'"}')
    assert reply.status == 413
    assert reply.json()["error"]["code"] == "body_too_large"
    assert reply.get("x-gateway-request-id")
    assert not upstream.requests


def test_a_body_above_nginx_limit_is_refused_before_it_is_sent(front: str, upstream: Upstream) -> None:
    head = (
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: g\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    )
    answer = begin(front, head % 70_000_000)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b'"code":"body_too_large"' in answer
    # Files may be larger: it waits for the body.
    assert begin(front, head.replace(b"chat/completions", b"files") % 70_000_000) == b""
    assert not upstream.requests


def begin(base: str, head: bytes) -> bytes:
    """Send the head of a request and return what comes within half a second."""
    parts = urlsplit(base)
    received = b""
    with socket.create_connection((parts.hostname or "", parts.port or 80), 0.5) as connection:
        connection.sendall(head)
        with contextlib.suppress(TimeoutError):
            while piece := connection.recv(65536):
                received += piece
    return received


@pytest.mark.parametrize(
    "fields",
    [
        b"Content-Length: 6\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: chunked\r\nContent-Length: 6",
        b"Content-Length: 6\r\nContent-Length: 60",
        b"Transfer-Encoding: xchunked",
        b"Transfer-Encoding: chunked, identity",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        b"Content-Length: +6",
    ],
)
def test_a_request_is_not_smuggled_in_anothers_body(front: str, upstream: Upstream, fields: bytes) -> None:
    hidden = b"0\r\n\r\nGET /v1/models/smuggled HTTP/1.1\r\nHost: g\r\n\r\n"
    answer = raw(front, b"POST /v1/embeddings HTTP/1.1\r\nHost: g\r\n" + fields + b"\r\n\r\n" + hidden)
    assert answer.split(b" ", 2)[1] in (b"400", b"501")
    assert answer.count(b"HTTP/1.1 ") == 1
    assert not upstream.requests


def test_an_upstreams_errors_pass_as_they_are(front: str, upstream: Upstream) -> None:
    for status in (429, 500, 503):
        upstream.clear()
        reply = post_chat(f"{front}/v1", chat_body(), f"error-{status}")
        assert reply.status == status
        assert "The upstream says" in reply.json()["error"]["message"]
        assert len(upstream.requests) == 1


def test_a_post_that_was_sent_is_not_sent_again(front: str, upstream: Upstream) -> None:
    assert post_chat(f"{front}/v1", chat_body(), "reset-before-head").status == 502
    assert len(upstream.requests) == 1


def test_metrics_are_not_for_everybody(front: str) -> None:
    assert send(front, "GET", "/metrics").status == 404
    assert send(front, "GET", "/healthz").status == 200


def test_the_admin_api_takes_its_token_and_hears_of_the_proxy(front: str) -> None:
    assert send(front, "GET", "/admin/v1/teams").status == 401
    token = [("Authorization", "Bearer an-admin-token-for-tests")]
    assert send(front, "GET", "/admin/v1/teams", token).status == 200


def test_where_no_gateway_answers_that_is_said_in_json(tmp_path: Path) -> None:
    with fronted(tmp_path, [free_port(), free_port()]) as url:
        reply = post_chat(f"{url}/v1", chat_body())
        assert (reply.status, reply.json()["error"]["code"]) == (502, "gateway_unreachable")


@dataclass(slots=True)
class Load:
    """Callers with connections that they keep, plain and streaming; `failed` holds what was no whole 200."""

    url: str
    stop: bool = False
    good: int = 0
    failed: list[str] = field(default_factory=list)

    def run(self, stream: bool) -> None:
        body = chat_body(stream=stream)
        headers = {"Content-Type": "application/json", "x-behaviour": "slow" if stream else ""}
        with httpx.Client(timeout=30, trust_env=False) as client:
            while not self.stop:
                self._ask(client, body, headers, b"[DONE]\n\n" if stream else b"}")
                time.sleep(0.005)

    def _ask(self, client: httpx.Client, body: bytes, headers: dict[str, str], end: bytes) -> None:
        try:
            reply = client.post(f"{self.url}/v1/chat/completions", content=body, headers=headers)
        except httpx.HTTPError as error:
            self.failed.append(repr(error))
            return
        if reply.status_code == 200 and reply.content.endswith(end):
            self.good += 1
        else:
            self.failed.append(f"{reply.status_code} {reply.content[-200:]!r}")


@pytest.mark.slow
def test_a_rolling_restart_fails_no_request(tmp_path: Path, upstream: Upstream) -> None:
    with fleet(tmp_path, upstream, drain_s="2") as gateways, fronted(tmp_path, gateways.ports) as url:
        load = Load(url)
        threads = [threading.Thread(target=load.run, args=(n % 2 == 1,)) for n in range(6)]
        for thread in threads:
            thread.start()
        try:
            for number in range(2):
                gateways.restart(number)
                before = load.good
                assert eventually(lambda before=before: load.good > before + 20, 20)
        finally:
            load.stop = True
            for thread in threads:
                thread.join(30)
    assert load.failed == []
    assert load.good > 100
