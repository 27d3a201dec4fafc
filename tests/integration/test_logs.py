"""Log lines that nobody takes: requests are served, settled and counted as ever, and the lines are counted too."""

import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from benchmarks.processes import ROOT, Server, free_port, stop, wait_until
from tests.integration.client import chat_body, eventually, send
from tests.integration.conftest import serve_command
from tests.upstreams import Upstream

TOKEN = "an-admin-token-for-tests"
KEY = "sk-acme-0123456789"
CONFIG = f"""
upstreams: {{{{main: {{{{base_url: "{{url}}"}}}}}}}}
windowing: {{{{mode: "off"}}}}
admin: {{{{token: "{TOKEN}"}}}}
logging: {{{{prompts: true}}}}
teams: {{{{acme: {{{{keys: ["{KEY}"], budget: {{{{usd: 5, period: day}}}}, limits: {{{{concurrent: 100}}}}}}}}}}}}
"""
ASKED = 40


@contextmanager
def gateway(
    folder: Path, upstream: Upstream, stdout: int | None, *options: str, without: bool = False
) -> Iterator[Server]:
    """A gateway with that standard output, or `without` any."""
    file, port = folder / "gateway.yaml", free_port()
    file.write_text(CONFIG.format(url=upstream.url))
    command = [sys.executable, *serve_command(file, port, "--drain-seconds", "0", *options)]
    with (folder / "errors").open("wb") as errors:
        process = subprocess.Popen(
            ["sh", "-c", 'exec "$@" >&-', "sh", *command] if without else command,
            cwd=ROOT,
            stdout=stdout,
            stderr=errors,
        )
    server = Server(f"http://127.0.0.1:{port}", process, folder / "errors")
    try:
        wait_until(server, "/healthz", 60)
        yield server
    finally:
        stop(process)


def ask(server: Server, times: int = ASKED, text: str = "Say hello.") -> None:
    for _ in range(times):
        body = chat_body(text, max_tokens=10)
        assert send(f"{server.url}/v1", "POST", "/chat/completions", bearer(KEY), body).status == 200


def bearer(token: str) -> list[tuple[str, str]]:
    return [("Content-Type", "application/json"), ("Authorization", f"Bearer {token}")]


def found(server: Server, path: str) -> Any:
    return send(server.url, "GET", f"/admin/v1/{path}", bearer(TOKEN)).json()


def counted(server: Server, metric: str) -> float:
    text = send(server.url, "GET", "/metrics").body.decode()
    return sum(float(number) for number in re.findall(rf"^{metric}(?:{{.*}})? (.*)$", text, re.MULTILINE))


def assert_all_are_on_the_books(server: Server, times: int = ASKED) -> None:
    assert eventually(lambda: found(server, "usage")["total"]["requests"] == times)
    assert eventually(lambda: all(budget["reserved"] == 0 for budget in found(server, "teams/acme/budgets")["data"]))
    assert counted(server, "gen_ai_server_request_duration_seconds_count") == times


def lost(server: Server) -> float:
    return counted(server, "context_gateway_log_lines_lost_total")


def assert_it_ends_quietly(server: Server) -> None:
    server.process.send_signal(signal.SIGTERM)
    server.process.wait(20)
    assert server.log.read_bytes() == b""


def test_a_reader_that_is_gone_loses_lines_only(upstream: Upstream, tmp_path: Path) -> None:
    reader, writer = os.pipe()
    with gateway(tmp_path, upstream, writer) as server:
        os.close(writer)
        os.close(reader)
        ask(server)
        assert_all_are_on_the_books(server)
        assert eventually(lambda: lost(server) >= ASKED)
        assert_it_ends_quietly(server)


def test_a_full_disk_loses_lines_only(upstream: Upstream, tmp_path: Path) -> None:
    with Path("/dev/full").open("wb") as full, gateway(tmp_path, upstream, full.fileno()) as server:
        ask(server)
        assert_all_are_on_the_books(server)
        assert eventually(lambda: lost(server) >= ASKED)
        assert_it_ends_quietly(server)


def test_without_a_standard_output_no_line_gets_anywhere_else(upstream: Upstream, tmp_path: Path) -> None:
    with gateway(tmp_path, upstream, None, without=True) as server:
        ask(server)
        assert_all_are_on_the_books(server)
        assert eventually(lambda: lost(server) >= ASKED)
        assert_it_ends_quietly(server)


def test_of_several_workers_all_lost_lines_are_counted(upstream: Upstream, tmp_path: Path) -> None:
    with Path("/dev/full").open("wb") as full, gateway(tmp_path, upstream, full.fileno(), "--workers", "2") as server:
        ask(server)
        assert_all_are_on_the_books(server)
        assert eventually(lambda: lost(server) >= ASKED)
        assert_it_ends_quietly(server)
        assert server.process.returncode == 0


def test_a_reader_that_comes_back_reads_how_many_were_lost(upstream: Upstream, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "log")
    first = os.open(tmp_path / "log", os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(tmp_path / "log", os.O_WRONLY)
    with gateway(tmp_path, upstream, writer) as server:
        os.close(writer)
        os.close(first)
        ask(server, 5)
        assert eventually(lambda: lost(server) >= 5)
        second = os.open(tmp_path / "log", os.O_RDONLY | os.O_NONBLOCK)
        ask(server, 1)
        lines = [json.loads(line) for line in read_until(second, b"log_lines_lost").splitlines()]
        os.close(second)
        assert [line["count"] for line in lines if line["event"] == "log_lines_lost"] == [lost(server)]
    assert sum(line["event"] == "request" for line in lines) == 1


def read_until(file: int, wanted: bytes) -> bytes:
    """Read lines until one holds what is wanted."""
    read, end = b"", time.monotonic() + 10
    while (wanted not in read or not read.endswith(b"\n")) and time.monotonic() < end:
        if select.select([file], [], [], 0.1)[0]:
            read += os.read(file, 1_000_000)
    return read


@pytest.mark.parametrize("size", [50, 30_000])
def test_a_reader_that_stands_still_stops_no_request(upstream: Upstream, tmp_path: Path, size: int) -> None:
    """More than its pipe takes: lines wait, and of all that fits not one is lost."""
    reader, writer = os.pipe()
    with gateway(tmp_path, upstream, writer) as server:
        os.close(writer)
        ask(server, 150, "x" * size)
        assert_all_are_on_the_books(server, 150)
        assert lost(server) == 0
        server.process.send_signal(signal.SIGTERM)  # what waits is written at the end
        read = b""
        while data := os.read(reader, 1_000_000):
            read += data
        os.close(reader)
    lines = [json.loads(line) for line in read.splitlines()]
    assert sum(line["event"] == "request" for line in lines) == 150
