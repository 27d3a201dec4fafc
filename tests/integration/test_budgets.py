"""Teams, keys and budgets from outside: a gateway process, the official SDK, an upstream that counts its calls."""

import contextlib
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import openai
import pytest

from benchmarks.processes import free_port, running
from tests.integration.client import eventually
from tests.integration.conftest import Gateway, serve_command
from tests.upstreams import Upstream

CONFIG = """
upstreams: {{main: {{base_url: "{upstream}", api_key: sk-upstream-of-the-operator}}}}
windowing: {{mode: "off"}}
admin: {{token: {token}}}
teams:
  tight: {{keys: [sk-tight-0123456789], budget: {{usd: 0.0001, period: day, soft: [50]}}}}
  tokens: {{keys: [sk-tokens-0123456789], budget: [{{tokens: 400, period: total, soft: [10]}}]}}
  serial: {{keys: [sk-serial-0123456789], budget: {{tokens: 400, period: day}}}}
  users: {{keys: [sk-users-0123456789], budget: {{tokens: 200, period: month, per: user}}}}
  rated: {{keys: [sk-rated-0123456789], limits: {{requests_per_minute: 3, tokens_per_minute: 100000}}}}
  single: {{keys: [sk-single-0123456789], limits: {{concurrent: 1}}}}
  models: {{keys: [sk-models-0123456789], models: [gpt-4o-mini]}}
  free: {{keys: [sk-free-0123456789]}}
"""
TOKEN = "an-admin-token-of-the-tests"
MODEL = "gpt-4o-mini"
ASK = [{"role": "user", "content": "Hello"}]


@pytest.fixture(scope="module")
def teams(running_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway with teams."""
    file = tmp_path_factory.mktemp("teams") / "gateway.yaml"
    file.write_text(CONFIG.format(upstream=running_upstream.url, token=TOKEN))
    port = free_port()
    with running(serve_command(file, port), port, "/healthz") as server:
        yield Gateway(server)


def sdk(teams: Gateway, team: str, **more: object) -> openai.OpenAI:
    return openai.OpenAI(base_url=teams.url, api_key=f"sk-{team}-0123456789", **more)  # type: ignore[arg-type]


def ask(client: openai.OpenAI, **more: object) -> httpx.Response:
    create = client.chat.completions.with_raw_response.create
    return create(model=MODEL, messages=ASK, **{"max_tokens": 16, **more}).http_response  # type: ignore[call-overload, no-any-return]


def test_a_budget_with_no_room_refuses_and_the_sdk_does_not_try_again(teams: Gateway, upstream: Upstream) -> None:
    with pytest.raises(openai.RateLimitError) as refused:
        ask(sdk(teams, "tight", max_retries=5), max_tokens=10_000)
    assert refused.value.code == "insufficient_quota"
    reply = refused.value.response
    assert reply.headers["x-should-retry"] == "false"
    assert 0 < int(reply.headers["retry-after"]) <= 86_400
    assert "$0.0001" in refused.value.message
    assert not upstream.requests
    assert teams.wait_logged(reply.headers["x-gateway-request-id"])["status"] == 429
    assert len([line for line in teams.log_lines() if line.get("team") == "tight"]) == 1


def test_a_budget_in_tokens_is_spent_to_the_upstreams_own_count(teams: Gateway, upstream: Upstream) -> None:
    client = sdk(teams, "tokens", max_retries=0)
    spent, warnings = 0, []
    with pytest.raises(openai.RateLimitError):  # noqa: PT012 - which of the requests is refused depends on their usage
        for _ in range(100):
            reply = ask(client)
            spent += reply.json()["usage"]["total_tokens"]
            if warning := reply.headers.get("x-gateway-budget-warning"):
                warnings.append(warning)
            assert eventually(lambda: len(settled(teams, "tokens")) == len(upstream.requests))
    assert 400 - 200 < spent <= 400
    assert len(warnings) == 1
    assert warnings[0].startswith("10%")
    assert len([line for line in teams.log_lines() if line["event"] == "budget_reached"]) == 1


def settled(teams: Gateway, team: str) -> list[object]:
    """Return the team's entries in the ledger, as the admin API shows them."""
    reply = httpx.get(
        f"{teams.root}/admin/v1/usage",
        params={"group_by": "user", "team": team},
        headers={"Authorization": f"Bearer {TOKEN}"},
    )
    return [None] * sum(row["requests"] for row in reply.json()["rows"])


def test_a_client_that_asks_one_after_the_other_is_not_refused_for_its_own_last_request(
    teams: Gateway, upstream: Upstream
) -> None:
    client = sdk(teams, "serial", max_retries=0)
    spent = sum(ask(client).json()["usage"]["total_tokens"] for _ in range(8))
    assert len(upstream.requests) == 8
    assert spent < 400 < 8 * (len(upstream.last.body) + 16), "several reservations do not fit beside each other"


def test_each_user_has_a_budget(teams: Gateway, upstream: Upstream) -> None:
    client = sdk(teams, "users", max_retries=0)
    assert ask(client, user="anna").status_code == 200
    with pytest.raises(openai.RateLimitError):
        ask(client, user="anna", max_tokens=190)
    assert ask(client, user="otto", max_tokens=16).status_code == 200
    assert len(upstream.requests) == 2


def test_rates_are_told_and_held_to(teams: Gateway, upstream: Upstream) -> None:
    client = sdk(teams, "rated", max_retries=0)
    while time.time() % 60 > 50:  # the next minute begins anew
        time.sleep(0.5)
    left = [int(ask(client).headers["x-ratelimit-remaining-requests"]) for _ in range(3)]
    assert left == [2, 1, 0]
    with pytest.raises(openai.RateLimitError) as refused:
        ask(client)
    assert refused.value.code == "rate_limit_exceeded"
    headers = refused.value.response.headers
    assert headers["x-ratelimit-limit-requests"] == "3"
    assert headers["x-ratelimit-limit-tokens"] == "100000"
    assert 1 <= int(headers["retry-after"]) <= 60
    assert "x-should-retry" not in headers
    assert len(upstream.requests) == 3


def test_a_team_may_only_use_what_it_is_allowed(teams: Gateway, upstream: Upstream) -> None:
    client = sdk(teams, "models", max_retries=0)
    assert ask(client).status_code == 200
    with pytest.raises(openai.PermissionDeniedError):
        client.chat.completions.create(model="gpt-4o", messages=ASK)  # type: ignore[arg-type]
    with pytest.raises(openai.PermissionDeniedError):
        client.images.generate(model="gpt-image-1", prompt="no way round")
    assert len(upstream.requests) == 1


def test_a_body_that_cannot_be_counted_is_no_way_round(teams: Gateway, upstream: Upstream) -> None:
    headers = {"Authorization": "Bearer sk-tokens-0123456789", "Content-Encoding": "gzip"}
    reply = httpx.post(f"{teams.url}/chat/completions", content=b"\x1f\x8b", headers=headers)
    assert reply.status_code == 400
    for path in ("/chat/completions/", "//chat/completions", "/chat%2Fcompletions", "/files"):
        reply = httpx.post(f"{teams.url}{path}", json={"model": MODEL, "messages": ASK}, headers=headers)
        assert reply.status_code in {403, 404}, path
    assert not upstream.requests


def test_a_key_made_while_the_gateway_runs_works_until_it_is_revoked(teams: Gateway, upstream: Upstream) -> None:
    admin = httpx.Client(base_url=f"{teams.root}/admin/v1", headers={"Authorization": f"Bearer {TOKEN}"})
    assert httpx.get(f"{teams.root}/admin/v1/teams").status_code == 401
    assert admin.post("/teams", json={"name": "made", "models": [MODEL]}).status_code == 201
    made = admin.post("/teams/made/keys", json={"name": "ci"}).json()
    client = openai.OpenAI(base_url=teams.url, api_key=made["key"], max_retries=0)
    assert ask(client).status_code == 200
    assert made["key"] not in admin.get("/keys").text
    assert admin.delete(f"/keys/{made['id']}").status_code in {200, 204}
    revoked = time.monotonic()

    def refused() -> bool:
        try:
            ask(client)
        except openai.AuthenticationError:
            return True
        return False

    assert eventually(refused)
    assert time.monotonic() - revoked < 1
    assert made["key"] not in Path(teams.server.log).read_text()


def test_without_limits_a_body_is_passed_on_before_it_is_there_whole(teams: Gateway, upstream: Upstream) -> None:
    body = b'{"model": "text-embedding-3-small", "input": "' + b"x" * 100_000 + b'"}'
    parts = urlsplit(teams.url)
    head = (
        "POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close\r\n"
        f"Authorization: Bearer sk-free-0123456789\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection((parts.hostname or "", parts.port or 0), 10) as line:
        line.sendall(head.encode() + body[:50_000])
        assert eventually(lambda: upstream.begun == 1), "the upstream hears of it while half is still to come"
        assert not upstream.requests
        line.sendall(body[50_000:])
        reply = b"".join(iter(lambda: line.recv(65536), b""))
    assert reply.startswith(b"HTTP/1.1 200")
    assert upstream.last.body == body
    (identity,) = re.findall(rb"x-gateway-request-id: (\S+)", reply)
    assert teams.wait_logged(identity.decode())["model"] == "text-embedding-3-small"


def test_while_the_store_is_away_workers_share_what_their_gateway_may_spend(
    running_upstream: Upstream, tmp_path: Path
) -> None:
    file, port = tmp_path / "gateway.yaml", free_port()
    away = 'redis: {url: "redis://127.0.0.1:1/0", replicas: 1}\non_store_outage: open\n'
    file.write_text(CONFIG.format(upstream=running_upstream.url, token=TOKEN) + away)
    with running(serve_command(file, port, "--workers", "2"), port, "/healthz") as server:
        teams = Gateway(server)
        served = 0
        for _ in range(40):
            client = sdk(teams, "rated", max_retries=0)  # a connection of its own
            with contextlib.suppress(openai.InternalServerError):
                served += ask(client).status_code == 200
    # Each has the half of 3, and of as many more should a minute begin meanwhile; each on its own would have 3.
    assert 1 <= served <= 4
