import contextlib
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from benchmarks import load
from benchmarks.canned import REPLY
from benchmarks.http_clients import BODY
from benchmarks.processes import free_port, running


@pytest.fixture(scope="module")
def canned() -> Iterator[str]:
    port = free_port()
    with running(["-m", "benchmarks.canned", str(port)], port) as server:
        yield server.url + "/v1/chat/completions"


@pytest.mark.parametrize("wrk", [True, False])
def test_both_generators_measure(canned: str, wrk: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if wrk and load.generator() != "wrk":
        pytest.skip("wrk is not installed")
    if not wrk:
        monkeypatch.setenv("PATH", "")
        assert load.generator() != "wrk"
    found = load.measure(canned, BODY, connections=4, seconds=0.3)
    assert found.rps > 10
    assert 0 < found.p50 <= found.p99
    assert found.errors == 0
    assert found.requests > 2


@pytest.mark.parametrize("wrk", [True, False])
def test_both_generators_send_headers(wrk: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if wrk and load.generator() != "wrk":
        pytest.skip("wrk is not installed")
    if not wrk:
        monkeypatch.setenv("PATH", "")
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/v1/chat/completions"
        with ThreadPoolExecutor(1) as pool:
            head = pool.submit(first_request, server)
            load.run(url, BODY, 1, 1, {"x-gateway-windowing": "off"})
            lines = head.result().lower().split(b"\r\n")
    assert {b"x-gateway-windowing: off", b"authorization: bearer sk-benchmark"} < set(lines)
    assert b"content-length: %d" % len(BODY) in lines


def first_request(server: socket.socket) -> bytes:
    """Return the head of the first request, and answer all on its connection; wrk first makes one for nothing."""
    server.settimeout(5)
    while True:
        connection, _ = server.accept()
        connection.settimeout(5)
        with connection, contextlib.suppress(ConnectionError):  # which wrk resets at its end
            first = data = connection.recv(1 << 16)
            while data:
                connection.sendall(REPLY)
                data = connection.recv(1 << 16)
        if first:
            return first


def test_quantiles() -> None:
    values = list(range(1, 101))
    assert load.quantile(values, 0.5) == 51
    assert load.quantile(values, 0.99) == 100
    assert load.quantile([7.0], 0.99) == 7.0
