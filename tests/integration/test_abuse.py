"""Clients that mean no good: what they send is refused or read in one way, memory stays, others are served on."""

import gzip
import re
import resource
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from benchmarks.processes import free_port, running, status_of
from tests.integration.client import chat_body, eventually, post_chat, send
from tests.integration.conftest import BODY_MB, Gateway, serve_command
from tests.upstreams import Upstream

CONFIG = """
upstreams: {{main: {{base_url: "{upstream}"}}}}
windowing: {{mode: "off"}}
limits: {{body_mb: {body_mb}}}
"""
IDLE = 2000
FILES = 4096  # that either end may have open
GROWTH_MB = 25  # what is never given back by an allocator that has been busy; attacks below are of hundreds
CHAT = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
CHUNKED = CHAT + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(scope="module")
def gateway(running_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway of its own, which may have many connections, as may this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = max(soft, FILES if hard == resource.RLIM_INFINITY else min(FILES, hard))
    config = tmp_path_factory.mktemp("abuse") / "gateway.yaml"
    config.write_text(CONFIG.format(upstream=running_upstream.url, body_mb=BODY_MB))
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    port = free_port()
    try:
        with running(serve_command(config, port), port, "/healthz") as server:
            for _ in range(20):  # what is loaded with the first requests is no growth
                post_chat(f"{server.url}/v1", chat_body("x" * 200_000))
            yield Gateway(server)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def resident_mb(gateway: Gateway) -> float:
    """Return the process' resident memory."""
    status = Path(f"/proc/{gateway.server.process.pid}/status")
    if not status.exists():
        pytest.skip("no /proc to read a process' memory from")
    found = re.search(r"VmRSS:\s+(\d+) kB", status.read_text())
    assert found
    return int(found[1]) / 1024


@contextmanager
def steady(gateway: Gateway, growth_mb: float = GROWTH_MB) -> Iterator[None]:
    """Assert that memory does not grow by more, as seen at the block's end."""
    before = resident_mb(gateway)
    yield
    assert resident_mb(gateway) - before < growth_mb


def assert_served(gateway: Gateway, within_s: float = 1.0) -> None:
    """Assert that others are answered, and soon."""
    begun = time.monotonic()
    assert post_chat(gateway.url, chat_body()).status == 200
    assert time.monotonic() - begun < within_s


def connected(base: str) -> socket.socket:
    """Return a connection to a server."""
    parts = urlsplit(base)
    return socket.create_connection((parts.hostname or "", parts.port or 80), 10)


def poured(base: str, head: bytes, piece: bytes, most: int) -> tuple[bytes, int]:
    """Send a head, then pieces until there is a reply or the connection ends; return the reply, and how much went."""
    sent, received = 0, b""
    with connected(base) as connection:
        connection.sendall(head)
        connection.setblocking(False)
        end = time.monotonic() + 10
        while sent < most and not received and time.monotonic() < end:
            try:
                sent += connection.send(piece)
            except BlockingIOError:
                time.sleep(0.001)
            except ConnectionError:
                break
            received = _come(connection)
        connection.settimeout(5)
        while not received.endswith(b"}") and (more := connection.recv(65536)):
            received += more
    return received, sent


def _come(connection: socket.socket) -> bytes:
    try:
        return connection.recv(65536)
    except BlockingIOError:
        return b""


# Large bodies.


def test_bodies_announced_as_too_large_are_refused_at_once(gateway: Gateway, upstream: Upstream) -> None:
    with steady(gateway):
        for length in (BODY_MB * 1_000_000 + 1, 10**10, 10**15):
            with connected(gateway.url) as connection:
                connection.sendall(CHAT + b"Content-Length: %d\r\n\r\n" % length)
                assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")
        head = CHAT + b"Content-Length: 10000000000\r\n\r\n"
        with ThreadPoolExecutor(8) as pool:
            pours = [pool.submit(poured, gateway.url, head, b"x" * 65536, 1 << 28) for _ in range(16)]
            assert_served(gateway)
            assert all(pour.result()[0].startswith(b"HTTP/1.1 413 ") for pour in pours)
    assert [request.path for request in upstream.requests] == ["/v1/chat/completions"]


def test_bodies_without_an_end_are_refused_as_soon_as_they_are_too_large(gateway: Gateway, upstream: Upstream) -> None:
    piece = b"ffff\r\n" + b"x" * 0xFFFF + b"\r\n"
    with steady(gateway, GROWTH_MB + 8 * 2 * BODY_MB), ThreadPoolExecutor(8) as pool:
        pours = [pool.submit(poured, gateway.url, CHUNKED, piece, 1 << 28) for _ in range(16)]
        assert_served(gateway)
        for pour in pours:
            reply, sent = pour.result()
            assert reply.startswith(b"HTTP/1.1 413 ")
            assert sent < BODY_MB * 1_000_000 + (16 << 20)  # the rest lies in the system's buffers
    assert len(upstream.requests) == 1


@pytest.mark.parametrize(
    "piece",
    [b"1\r\nx\r\n" * 8192, b"1;" + b"e" * 65536, b"0" * 65536, b"0\r\nX-Trailer: " + b"t" * 65536],
    ids=["tiny chunks", "an extension", "a size", "a trailer"],
)
def test_bodies_of_little_else_than_framing(gateway: Gateway, upstream: Upstream, piece: bytes) -> None:
    poured(gateway.url, CHUNKED, piece, 1 << 27)  # the memory that one takes is used again for the next
    with steady(gateway):
        reply, _ = poured(gateway.url, CHUNKED, piece, 1 << 27)
        assert re.match(rb"HTTP/1.1 4(00|13|31) ", reply)
        assert_served(gateway)
    assert len(upstream.requests) == 1


def test_heads_without_an_end(gateway: Gateway, upstream: Upstream) -> None:
    with steady(gateway):
        for before in (b"GET /", b"GET /v1/models HTTP/1.1\r\nX-Long: ", CHAT + b"X-Long: "):
            reply, sent = poured(gateway.url, before, b"x" * 65536, 1 << 28)
            assert reply.startswith(b"HTTP/1.1 431 ")
            assert sent < 16 << 20
        assert_served(gateway)
    assert len(upstream.requests) == 1


# Bombs: 1 MB that unfolds to 1 GB.


@pytest.fixture(scope="module")
def bomb() -> bytes:
    block = gzip.compress(bytes(100_000_000), 6)
    return block * 10  # members one after the other unfold one after the other


def test_a_compressed_body_is_never_unfolded(gateway: Gateway, upstream: Upstream, bomb: bytes) -> None:
    headers = [("Content-Type", "application/json"), ("Content-Encoding", "gzip")]
    with steady(gateway):
        for path, status in (("/chat/completions", 400), ("/responses", 400), ("/files", 200)):
            assert send(gateway.url, "POST", path, headers, bomb).status == status  # as the upstream likes it
            assert upstream.last.body == bomb
            assert upstream.last.get("content-encoding") == "gzip"
            assert_served(gateway)


# Many, and slow.


def test_thousands_of_idle_connections(gateway: Gateway, upstream: Upstream) -> None:
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = min(IDLE, most - 500)
    begun = [b"", b"GET /v1/models HTTP/1.1\r\nX-A: ", CHAT + b"Content-Length: 1000\r\n\r\n{"]
    with steady(gateway, GROWTH_MB + 30), ExitStack() as stack:
        for number in range(count):
            connection = stack.enter_context(connected(gateway.url))
            connection.sendall(begun[number % 3])
        for _ in range(20):
            assert_served(gateway)
        assert status_of(f"{gateway.root}/healthz") == 200
    assert eventually(lambda: len(sockets(gateway)) < 100)
    assert_served(gateway)
    assert len(upstream.requests) == 21


def sockets(gateway: Gateway) -> list[str]:
    """Return the process' open sockets."""
    folder = Path(f"/proc/{gateway.server.process.pid}/fd")
    if not folder.exists():
        pytest.skip("no /proc to count a process' sockets by")
    found = []
    for entry in folder.iterdir():
        try:
            target = str(entry.readlink())
        except FileNotFoundError:
            continue
        if target.startswith("socket:"):
            found.append(target)
    return found


def test_slow_senders_hold_up_nobody(gateway: Gateway, upstream: Upstream) -> None:
    whole = CHAT + b"Content-Length: 1000000\r\nX-Slow: yes\r\n\r\n" + b"x" * 100
    with steady(gateway), ExitStack() as stack:
        slow = [stack.enter_context(connected(gateway.url)) for _ in range(200)]
        for start in range(0, len(whole), 20):
            for connection in slow:
                connection.sendall(whole[start : start + 20])
            assert_served(gateway)
        assert len(upstream.requests) == len(range(0, len(whole), 20))


def test_slow_readers_hold_up_nobody(gateway: Gateway, upstream: Upstream) -> None:
    asked = b"GET /v1/files/f/content HTTP/1.1\r\nHost: x\r\nx-behaviour: flood\r\n\r\n"  # 64 MB each
    with steady(gateway, GROWTH_MB + 20 * 2), ExitStack() as stack:
        slow = [stack.enter_context(connected(gateway.url)) for _ in range(20)]
        for connection in slow:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.sendall(asked)
        assert eventually(lambda: upstream.begun == 20)
        for _ in range(5):
            assert_served(gateway, within_s=3)  # the upstream is Python too, and fills buffers meanwhile
            time.sleep(0.1)
    assert upstream.wait_gone(20)


# Smuggling: a request within a request, which one of two servers may take for one of its own.


SMUGGLED = b"GET /v1/smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /v1/uploads HTTP/1.1\r\nHost: x\r\n"
LENGTH = b"Content-Length: %d\r\n" % (len(SMUGGLED) + 5)
CODED = b"Transfer-Encoding: chunked\r\n"
IN_CHUNK = b"%x\r\n%b\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED)
BY_LENGTH = b"0\r\n\r\n" + SMUGGLED
TRIES: dict[str, bytes] = {
    "CL.TE": POST + LENGTH + CODED + b"\r\n" + BY_LENGTH,
    "TE.CL": POST + CODED + b"Content-Length: 4\r\n\r\n" + IN_CHUNK,
    "TE.TE, identity": POST + CODED + b"Transfer-Encoding: identity\r\n" + LENGTH + b"\r\n" + BY_LENGTH,
    "TE.TE, x": POST + b"Transfer-Encoding: x\r\n" + CODED + LENGTH + b"\r\n" + BY_LENGTH,
    "xchunked": POST + b"Transfer-Encoding: xchunked\r\n" + LENGTH + b"\r\n" + BY_LENGTH,
    "xchunked alone": POST + b"Transfer-Encoding: xchunked\r\n\r\n" + BY_LENGTH,
    "a list that ends otherwise": POST + b"Transfer-Encoding: chunked, identity\r\n" + LENGTH + b"\r\n" + BY_LENGTH,
    "a space before the colon": POST + b"Transfer-Encoding : chunked\r\n" + LENGTH + b"\r\n" + BY_LENGTH,
    "a space before the length's colon": POST + b"Content-Length : 0\r\n\r\n" + SMUGGLED,
    "a folded coding": POST + b"Transfer-Encoding:\r\n chunked\r\n" + LENGTH + b"\r\n" + BY_LENGTH,
    "a folded header": POST + b"X-A: b\r\n Transfer-Encoding: chunked\r\n" + LENGTH + b"\r\n" + BY_LENGTH,
    "a vertical tab": POST + b"Transfer-Encoding: \x0bchunked\r\n" + LENGTH + b"\r\n" + BY_LENGTH,
    "a nul": POST + b"Transfer-Encoding: chunked\x00\r\n" + LENGTH + b"\r\n" + BY_LENGTH,
    "a bare line feed": POST + b"X-A: b\nTransfer-Encoding: chunked\r\n" + LENGTH + b"\r\n" + BY_LENGTH,
    "a bare carriage return": POST + b"X-A: b\rTransfer-Encoding: chunked\r\n" + LENGTH + b"\r\n" + BY_LENGTH,
    "quotes": POST + b'Transfer-Encoding: "chunked"\r\n' + LENGTH + b"\r\n" + BY_LENGTH,
    "two lengths": POST + b"Content-Length: 0\r\n" + LENGTH + b"\r\n" + BY_LENGTH,
    "two lengths, the other way": POST + LENGTH + b"Content-Length: 0\r\n\r\n" + BY_LENGTH,
    "a list of lengths": POST + b"Content-Length: 0, 44\r\n\r\n" + SMUGGLED,
    "a signed length": POST + b"Content-Length: +0\r\n\r\n" + SMUGGLED,
    "a length in hex": POST + b"Content-Length: 0x0\r\n\r\n" + SMUGGLED,
    "a length that overflows": POST + b"Content-Length: 18446744073709551616\r\n\r\n" + SMUGGLED,
    "chunks of HTTP/1.0": POST.replace(b"1.1", b"1.0") + CODED + LENGTH + b"\r\n" + BY_LENGTH,
    "a chunk's size with a sign": POST + CODED + b"\r\n+0\r\n\r\n" + SMUGGLED,
    "a chunk's size that overflows": POST + CODED + b"\r\n10000000000000000\r\n\r\n" + SMUGGLED,
    "a line feed after a chunk's size": POST + CODED + b"\r\n0\n\r\n" + SMUGGLED,
    "a line feed in a chunk's extension": POST + CODED + b"\r\n2;\nxx\r\n1c\r\n0\r\n\r\n" + SMUGGLED,
    "a chunk longer than its size": POST + CODED + b"\r\n1\r\nxx\r\n0\r\n\r\n" + SMUGGLED,
    "a length among the trailers": POST + CODED + b"\r\n0\r\nContent-Length: 44\r\n\r\n" + SMUGGLED,
    "CONNECT": b"CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n" + SMUGGLED,
    "HTTP/0.9": b"GET /v1/models\r\n\r\n" + SMUGGLED,
    "a line break in the target": b"GET /v1/models?\r\nX: " + SMUGGLED,
}
# What is well-formed: one request whose body only looks like another.
BODIES: dict[str, bytes] = {
    "a length": POST + b"Content-Length: %d\r\n\r\n" % len(SMUGGLED) + SMUGGLED,
    "a chunk": POST + CODED + b"\r\n" + IN_CHUNK,
    "a body of a GET": b"GET /v1/uploads HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(SMUGGLED) + SMUGGLED,
    "a wish to upgrade": POST
    + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
    + b"Content-Length: %d\r\n\r\n" % len(SMUGGLED)
    + SMUGGLED,
    "a length named as of the connection": POST
    + b"Connection: Content-Length\r\nContent-Length: %d\r\n\r\n" % len(SMUGGLED)
    + SMUGGLED,
}


def answered(base: str, data: bytes) -> bytes:
    """Send bytes, and return what comes back until the server closes or says no more for a moment."""
    received = b""
    with connected(base) as connection:
        connection.sendall(data)
        with suppress(TimeoutError, ConnectionResetError):
            while more := connection.recv(65536):
                received += more
                connection.settimeout(0.15)
    return received


def replies_in(received: bytes) -> int:
    """Count the replies by their first lines."""
    return len(re.findall(rb"HTTP/1\.1 \d{3} ", received))


@pytest.mark.parametrize("sent", TRIES.values(), ids=TRIES.keys())
def test_what_could_be_read_in_two_ways_is_refused(gateway: Gateway, upstream: Upstream, sent: bytes) -> None:
    received = answered(gateway.url, sent)
    assert received.startswith(b"HTTP/1.1 400 ")
    assert replies_in(received) == 1
    assert b'"invalid_http"' in received
    assert [request.head for request in upstream.requests if b"smuggled" in request.head] == []


def test_nothing_of_a_refused_request_reaches_the_upstream(gateway: Gateway, upstream: Upstream) -> None:
    """But for those whose head was right, and whose body then was not: of these no end."""
    for sent in TRIES.values():
        answered(gateway.url, sent)
    assert [request.target for request in upstream.requests if request.target != "/v1/uploads"] == []
    assert [request.body for request in upstream.requests if request.body] == []


@pytest.mark.parametrize("sent", BODIES.values(), ids=BODIES.keys())
def test_what_only_looks_like_a_request_is_a_body(gateway: Gateway, upstream: Upstream, sent: bytes) -> None:
    received = answered(gateway.url, sent)
    assert received.startswith(b"HTTP/1.1 200 ")
    assert [(request.path, request.body) for request in upstream.requests] == [("/v1/uploads", SMUGGLED)]


# The same behind nginx, which keeps its connections to the gateway and passes bodies on as they come.


NGINX = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
    access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    upstream gateway {{ server 127.0.0.1:{gateway}; keepalive 1; }}
    server {{
        listen 127.0.0.1:{port};
        client_max_body_size 0;
        location / {{
            proxy_pass http://gateway; proxy_http_version 1.1; proxy_set_header Connection "";
            proxy_request_buffering off; proxy_buffering off;
        }}
    }}
}}
"""


@pytest.fixture(scope="module")
def nginx(gateway: Gateway, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The base URL of an nginx before the gateway."""
    command = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    if command is None:
        pytest.skip("no nginx here: smuggling through it is not tried")
    folder, port = tmp_path_factory.mktemp("nginx"), free_port()
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, port=port, gateway=urlsplit(gateway.root).port))
    with subprocess.Popen([command, "-p", str(folder), "-c", str(folder / "nginx.conf")]) as process:
        try:
            assert eventually(lambda: status_of(f"http://127.0.0.1:{port}/healthz") == 200, 10)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.terminate()


@pytest.mark.parametrize("sent", TRIES.values(), ids=TRIES.keys())
def test_through_nginx_nothing_is_smuggled(nginx: str, upstream: Upstream, sent: bytes) -> None:
    """It reads some of these in its own way, and passes on what is right; replies stay with their requests."""
    received = answered(nginx, sent)
    smuggled = [request for request in upstream.requests if request.path == "/v1/smuggled"]
    # Where nginx takes the rest for a request of its own, as it may, the client gets that one's reply as well.
    assert len(smuggled) <= max(0, replies_in(received) - 1)
    assert re.match(rb"HTTP/1.1 (200|400|405|501) |\{", received)  # HTTP/0.9 has no heads
    for number in range(2):  # Others, on the connection that nginx keeps.
        reply = send(nginx, "POST", f"/uploads/{number}", [], b"abc")
        assert (reply.status, reply.json()["target"]) == (200, f"/v1/uploads/{number}")


@pytest.mark.parametrize("sent", BODIES.values(), ids=BODIES.keys())
def test_through_nginx_a_body_is_a_body(nginx: str, upstream: Upstream, sent: bytes) -> None:
    assert answered(nginx, sent).startswith(b"HTTP/1.1 200 ")
    assert [(request.path, request.body) for request in upstream.requests] == [("/v1/uploads", SMUGGLED)]
