"""Other configurations: none at all, teams, shadow mode, windowing off."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.processes import ROOT, free_port, running
from demo import texts
from tests.integration.client import CHAT, chat_body, send
from tests.integration.conftest import Gateway, serve_command
from tests.integration.test_failures import assert_openai_error
from tests.upstreams import Upstream

LONG = chat_body(texts.reference("compound") + "\n\nWhen is the else clause of a while loop executed?")
TEAM_KEY = "sk-acme-0123456789abcdef"
OFF = """
upstreams: {{main: {{base_url: "{url}"}}}}
windowing: {{mode: off}}
ask_usage: off
"""
SHADOW_WITH_TEAMS = """
upstreams: {{main: {{base_url: "{url}", api_key: "sk-operator"}}}}
windowing: {{mode: "shadow", deadline_ms: 20000}}
teams:
  acme: {{keys: ["sk-acme-0123456789abcdef"], budget: {{usd: 5.00, period: month}}}}
admin: {{token: "admin-token-0123456789"}}
"""


def key(value: str) -> list[tuple[str, str]]:
    return [("Content-Type", "application/json"), ("Authorization", f"Bearer {value}")]


def test_without_any_configuration(running_upstream: Upstream) -> None:
    port = free_port()
    environment = {"CONTEXT_GATEWAY_UPSTREAM_URL": running_upstream.url}
    with running(["-m", "gateway.cli", "serve", "--port", str(port)], port, "/healthz", environment) as server:
        running_upstream.clear()
        assert send(f"{server.url}/v1", "POST", CHAT, key("sk-caller"), chat_body()).status == 200
    assert running_upstream.last.get("authorization") == "Bearer sk-caller"


def test_without_a_file_but_with_a_key(running_upstream: Upstream) -> None:
    port = free_port()
    environment = {
        "CONTEXT_GATEWAY_UPSTREAM_URL": running_upstream.url,
        "CONTEXT_GATEWAY_UPSTREAM_KEY": "sk-operator",
    }
    with running(["-m", "gateway.cli", "serve", "--port", str(port)], port, "/healthz", environment) as server:
        running_upstream.clear()
        assert send(f"{server.url}/v1", "POST", CHAT, key("sk-caller"), chat_body()).status == 200
    assert running_upstream.last.get("authorization") == "Bearer sk-operator"


def test_windowing_off(running_upstream: Upstream, tmp_path: Path) -> None:
    config = tmp_path / "off.yaml"
    config.write_text(OFF.format(url=running_upstream.url))
    port = free_port()
    with running(serve_command(config, port), port, "/readyz") as server:  # nothing to load, so it is ready at once
        running_upstream.clear()
        reply = send(f"{server.url}/v1", "POST", CHAT, key("sk-caller"), LONG)
        assert (reply.status, reply.get("x-gateway-windowing")) == (200, "off")
        assert running_upstream.last.body == LONG
        stream = chat_body(stream=True)
        assert send(f"{server.url}/v1", "POST", CHAT, key("sk-caller"), stream).status == 200
        assert running_upstream.last.body == stream


@pytest.fixture(scope="module")
def shadow(running_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    config = tmp_path_factory.mktemp("shadow") / "gateway.yaml"
    config.write_text(SHADOW_WITH_TEAMS.format(url=running_upstream.url))
    port = free_port()
    with running(serve_command(config, port), port, "/readyz", timeout_s=120) as server:
        yield Gateway(server)


def test_shadow_mode_forwards_the_original_and_says_what_would_be(shadow: Gateway, upstream: Upstream) -> None:
    reply = send(shadow.url, "POST", CHAT, key(TEAM_KEY), LONG)
    assert (reply.status, reply.get("x-gateway-windowing")) == (200, "shadow")
    assert upstream.last.body == LONG
    logged = shadow.wait_logged(reply.get("x-gateway-request-id"))
    assert (logged["team"], logged["reason"]) == ("acme", "relevance")
    assert logged["tokens_forwarded"] == logged["tokens_original"] > 4000
    assert logged["tokens_window"] < 3200


@pytest.mark.parametrize("credential", ["sk-acme-0123456789abcdee", "sk-acme", ""])
def test_a_key_of_no_team_is_401(shadow: Gateway, upstream: Upstream, credential: str) -> None:
    assert_openai_error(send(shadow.url, "POST", CHAT, key(credential), chat_body()), 401)
    assert_openai_error(send(shadow.url, "GET", "/models", key(credential)), 401)
    assert_openai_error(send(shadow.url, "GET", "/models"), 401)
    assert upstream.requests == []


def test_a_teams_key_never_leaves(shadow: Gateway, upstream: Upstream) -> None:
    assert send(shadow.url, "GET", "/models", key(TEAM_KEY)).status == 200
    assert upstream.last.get("authorization") == "Bearer sk-operator"
    assert TEAM_KEY.encode() not in upstream.last.head
    assert TEAM_KEY not in shadow.server.log.read_text()


def command(*arguments: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    line = [sys.executable, "-m", "gateway.cli", *arguments]
    return subprocess.run(line, cwd=ROOT, input=given, capture_output=True, timeout=120, check=False)


def test_a_wrong_file_stops_the_start_and_says_where(tmp_path: Path) -> None:
    config = tmp_path / "wrong.yaml"
    config.write_text('upstreams:\n  main: {base_url: "http://127.0.0.1/v1"}\nwindowing:\n  trigger_tokens: many\n')
    for done in (
        command("config", "check", str(config)),
        command("serve", "--config", str(config), "--port", str(free_port())),
    ):
        said = (done.stdout + done.stderr).decode()
        assert done.returncode != 0
        assert "trigger_tokens" in said
        assert "4" in said  # the line
        assert "integer" in said
        assert "Traceback" not in said


def test_trim_shows_what_would_be_forwarded(tmp_path: Path) -> None:
    config = tmp_path / "patient.yaml"
    config.write_text("windowing: {deadline_ms: 60000}\n")
    body = json.loads(command("trim", "--config", str(config), "--body", given=LONG).stdout)
    assert body["messages"][0]["content"].endswith("When is the else clause of a while loop executed?")
    assert len(json.dumps(body)) < len(LONG) / 2
