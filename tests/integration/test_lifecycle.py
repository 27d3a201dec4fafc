"""Stopping, reloading and listening, as an operator sees them."""

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from benchmarks.processes import Server, free_port, running, status_of
from tests.integration.client import Reply, chat_body, eventually, opened, post_chat, send
from tests.integration.conftest import serve_command
from tests.upstreams import Upstream

TOKEN = "an-admin-token-for-tests"
CONFIG = """
upstreams: {{main: {{base_url: "{url}"}}}}
windowing: {{mode: "off"}}
limits: {{body_mb: {body_mb}}}
admin: {{token: "{token}", {admin}}}
{more}
"""


@dataclass(slots=True)
class Running:
    """A gateway and its configuration, which a test changes."""

    server: Server
    file: Path
    upstream: Upstream

    @property
    def url(self) -> str:
        return self.server.url + "/v1"

    def configure(self, more: str = "", body_mb: float = 50, admin: str = "") -> None:
        text = CONFIG.format(url=self.upstream.url, token=TOKEN, body_mb=body_mb, admin=admin, more=more)
        self.file.write_text(text)

    def hang_up(self) -> None:
        self.server.process.send_signal(signal.SIGHUP)

    def logged(self, event: str) -> bool:
        return f'"{event}"' in self.server.log.read_text(errors="replace")

    def reload(self) -> Reply:
        """Reload through the admin API."""
        return send(self.server.url, "POST", "/admin/v1/reload", [("Authorization", f"Bearer {TOKEN}")], b"")


@contextlib.contextmanager
def gateway(folder: Path, upstream: Upstream, *options: str, admin: str = "", drain_s: str = "0") -> Iterator[Running]:
    file = folder / "gateway.yaml"
    made = Running(Server("", None, folder), file, upstream)  # type: ignore[arg-type]
    made.configure(admin=admin)
    port = free_port()
    with running(serve_command(file, port, *options), port, "/healthz", {"CONTEXT_GATEWAY_DRAIN_S": drain_s}) as server:
        made.server = server
        yield made


@dataclass(slots=True)
class Load:
    """Callers that ask again and again until told to stop; `bad` holds what was no 200."""

    url: str
    good: int = 0
    bad: list[object] = field(default_factory=list)
    stop: bool = False

    def run(self) -> None:
        while not self.stop:
            try:
                reply = post_chat(self.url, chat_body())
            except OSError as error:
                self.bad.append(error)
                continue
            if reply.status == 200:
                self.good += 1
            else:
                self.bad.append(reply)


@contextlib.contextmanager
def under_load(url: str) -> Iterator[Load]:
    load = Load(url)
    threads = [threading.Thread(target=load.run) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        load.stop = True
        for thread in threads:
            thread.join(20)


def test_told_to_stop_it_drains_first(tmp_path: Path, upstream: Upstream) -> None:
    with gateway(tmp_path, upstream, drain_s="1.5") as found:
        assert status_of(f"{found.server.url}/readyz") == 200
        found.server.process.send_signal(signal.SIGTERM)
        assert eventually(lambda: status_of(f"{found.server.url}/readyz") == 503)
        reply = post_chat(found.url, chat_body())  # who has not noticed yet is served
        assert reply.status == 200
        assert reply.get("connection") == "close"
        assert found.server.process.wait(10) in (0, -signal.SIGTERM)


def test_a_stream_that_runs_is_finished(tmp_path: Path, upstream: Upstream) -> None:
    body = chat_body(stream=True)
    with gateway(tmp_path, upstream, drain_s="0.2") as found:
        with opened(found.url, "POST", "/chat/completions", [("x-behaviour", "slow")], body) as reply:
            found.server.process.send_signal(signal.SIGTERM)
            received = reply.read()
        assert received.endswith(b"data: [DONE]\n\n")
        assert found.server.process.wait(10) in (0, -signal.SIGTERM)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_reload_fails_no_request_and_holds(tmp_path: Path, upstream: Upstream, workers: int) -> None:
    with gateway(tmp_path, upstream, "--workers", str(workers)) as found:
        large = chat_body("x" * 2_000_000)
        assert post_chat(found.url, large).status == 200
        with under_load(found.url) as load:
            for number in range(3):
                found.configure(f"models: {{gpt-{number}: {{upstream: main}}}}", body_mb=1)
                found.hang_up()
                time.sleep(0.5)
        assert load.bad == []
        assert load.good > 20
        assert eventually(lambda: all(post_chat(found.url, large).status == 413 for _ in range(6)), 10)


def test_a_bad_file_keeps_the_old_configuration_and_says_so(tmp_path: Path, upstream: Upstream) -> None:
    with gateway(tmp_path, upstream) as found:
        found.configure("limits_of: 3")
        found.hang_up()
        assert eventually(lambda: found.logged("reload_failed"))
        assert "limits_of: unknown field" in found.server.log.read_text()
        assert post_chat(found.url, chat_body()).status == 200
        reply = found.reload()
        assert reply.status == 400
        assert "limits_of: unknown field" in reply.json()["error"]["message"]


def test_teams_keys_and_upstreams_come_and_go_with_the_file(tmp_path: Path, upstream: Upstream) -> None:
    acme = "teams: {acme: {keys: [sk-acme-0123456789]}}"
    with gateway(tmp_path, upstream) as found:
        found.configure(acme)
        assert found.reload().status == 200
        assert post_chat(found.url, chat_body()).status == 401
        key = [("Authorization", "Bearer sk-acme-0123456789"), ("Content-Type", "application/json")]
        assert send(found.url, "POST", "/chat/completions", key, chat_body()).status == 200
        dead = f'models: {{gpt-4o-mini: {{upstream: dead}}}}\nupstreams: {{dead: {{base_url: "http://127.0.0.1:{free_port()}/v1"}}}}'
        found.file.write_text(dead)
        assert found.reload().status == 200
        assert post_chat(found.url, chat_body()).status == 502


def test_certificates_that_cannot_be_read_leave_all_as_it_was(tmp_path: Path, upstream: Upstream) -> None:
    bad = tmp_path / "ca.pem"
    bad.write_text("no certificate")
    with gateway(tmp_path, upstream) as found:
        found.file.write_text(
            f'upstreams: {{new: {{base_url: "https://127.0.0.1:9/v1", ca_file: "{bad}"}}}}\n'
            f"admin: {{token: {TOKEN}}}\nteams: {{acme: {{keys: [sk-acme-0123456789]}}}}\n"
        )
        reply = found.reload()
        assert reply.status == 400
        assert "upstreams.new" in reply.json()["error"]["message"]
        assert post_chat(found.url, chat_body()).status == 200  # no team holds, and the old upstream serves


def test_what_takes_a_restart_is_said(tmp_path: Path, upstream: Upstream) -> None:
    with gateway(tmp_path, upstream) as found:
        found.configure("store: {retention_days: 5}")
        assert found.reload().status == 200
        assert eventually(lambda: '"needs_a_restart":["store"]' in found.server.log.read_text())


def test_the_admin_api_may_have_an_address_of_its_own(tmp_path: Path, upstream: Upstream) -> None:
    port = free_port()
    key = [("Authorization", f"Bearer {TOKEN}")]
    with gateway(tmp_path, upstream, admin=f'listen: "127.0.0.1:{port}"') as found:
        assert send(found.server.url, "GET", "/admin/v1/teams", key).status == 404
        assert send(f"http://127.0.0.1:{port}", "GET", "/admin/v1/teams", key).status == 200
        assert send(f"http://127.0.0.1:{port}", "POST", "/v1/chat/completions", key, chat_body()).status == 404
        assert post_chat(found.url, chat_body()).status == 200
        found.server.process.send_signal(signal.SIGTERM)
        assert found.server.process.wait(10) in (0, -signal.SIGTERM)
