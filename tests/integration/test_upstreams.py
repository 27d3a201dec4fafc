"""Several upstreams behind one gateway: who answers, what callers see of it, what the budget says."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from benchmarks.processes import free_port, running
from tests.integration.client import chat_body, eventually
from tests.integration.conftest import Gateway, serve_command
from tests.upstreams import Upstream

KEY = "sk-test-team-key"
TOKEN = "an-admin-token-for-tests"
CONFIG = """
upstreams:
  good: {{base_url: "{url}"}}
  failing: {{base_url: "{url}", headers: {{x-behaviour: error-503}}, breaker_failures: 3, breaker_open_s: 60}}
  small: {{base_url: "{url}", headers: {{x-behaviour: too-long}}}}
  dead: {{base_url: "http://127.0.0.1:{dead}/v1", breaker_failures: 2, breaker_open_s: 60}}
  azure:
    base_url: "{root}"
    api_key: azure-key
    key_header: api-key
    azure: {{api_version: "2024-10-21", deployments: {{gpt-azure: ours}}}}
models:
  gpt-shared: {{upstreams: [failing, good]}}
  gpt-small: {{upstream: small, fallbacks: [{{upstream: good, model: gpt-4o-mini}}]}}
  gpt-dead: {{upstream: dead}}
  gpt-azure: {{upstream: azure}}
windowing: {{mode: "off"}}
admin: {{token: "{token}"}}
teams:
  acme: {{keys: [{key}], budget: {{tokens: 100000, period: total}}}}
"""


@pytest.fixture(scope="module")
def several(running_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    url = running_upstream.url
    file = tmp_path_factory.mktemp("several") / "gateway.yaml"
    values = {"url": url, "root": url.removesuffix("/v1"), "dead": free_port(), "key": KEY, "token": TOKEN}
    file.write_text(CONFIG.format(**values))
    port = free_port()
    with running(serve_command(file, port), port, "/healthz") as server:
        yield Gateway(server)


def post(several: Gateway, model: str) -> Any:
    """Return status, headers and body of the reply."""
    request = urllib.request.Request(  # noqa: S310 - our own loopback address
        f"{several.url}/chat/completions",
        chat_body(model=model, max_tokens=20),
        {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"},
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as reply:  # noqa: S310 - our own loopback address
            return reply.status, dict(reply.headers), reply.read()
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers), error.read()


def spent(several: Gateway) -> tuple[int, int]:
    """What the team's budget has spent and reserved."""
    request = urllib.request.Request(  # noqa: S310 - our own loopback address
        f"{several.root}/admin/v1/teams/acme/budgets", headers={"Authorization": f"Bearer {TOKEN}"}
    )
    with urllib.request.urlopen(request, timeout=20) as reply:  # noqa: S310 - our own loopback address
        (found,) = json.load(reply)["data"]
        return found["spent"], found["reserved"]


def test_callers_only_see_the_upstream_that_answers(several: Gateway, upstream: Upstream) -> None:
    for _ in range(8):
        status, headers, _ = post(several, "gpt-shared")
        assert status == 200
        assert headers["x-gateway-upstream"] == "good"
        assert headers["x-gateway-attempts"] in {"1", "2"}
    assert len(upstream.requests) <= 8 + 3  # the failing one is soon left alone
    logged = several.wait_logged(headers["x-gateway-request-id"])
    assert logged["attempts"][-1] == "good: answered"


def test_failed_attempts_cost_nothing_and_the_budget_is_that_of_the_bills(several: Gateway, upstream: Upstream) -> None:
    assert eventually(lambda: spent(several)[1] == 0)  # what came before is settled
    before, _ = spent(several)
    for model in ("gpt-shared", "gpt-small"):
        assert post(several, model)[0] == 200
    billed = sum(bill.input + bill.output for bill in upstream.wait_bills(2))
    assert eventually(lambda: spent(several) == (before + billed, 0))


def test_a_prompt_that_is_too_long_is_answered_by_the_fallback(several: Gateway, upstream: Upstream) -> None:
    status, headers, body = post(several, "gpt-small")
    assert status == 200
    assert (headers["x-gateway-upstream"], headers["x-gateway-attempts"]) == ("good", "2")
    assert json.loads(body)["model"] == "gpt-4o-mini"
    logged = several.wait_logged(headers["x-gateway-request-id"])
    assert (logged["model"], logged["model_served"]) == ("gpt-small", "gpt-4o-mini")
    assert logged["attempts"] == ["small: too_long", "good: answered"]


def test_azure_gets_its_addresses_and_its_key(several: Gateway, upstream: Upstream) -> None:
    post(several, "gpt-azure")
    assert upstream.last.target == "/openai/deployments/ours/chat/completions?api-version=2024-10-21"
    assert upstream.last.get("api-key") == "azure-key"
    assert upstream.last.get("authorization") == ""


def test_an_upstream_that_nobody_reaches_is_said_to_be_away(several: Gateway) -> None:
    statuses = [post(several, "gpt-dead") for _ in range(3)]
    assert [status for status, _, _ in statuses] == [502, 503, 503]
    _, headers, body = statuses[-1]
    assert json.loads(body)["error"]["code"] == "upstream_unavailable"
    assert 1 <= int(headers["retry-after"]) <= 61
    with urllib.request.urlopen(f"{several.root}/metrics", timeout=20) as reply:  # noqa: S310 - our own loopback address
        metrics = reply.read().decode()
    assert 'context_gateway_upstream_open{upstream="dead"} 1.0' in metrics
    assert 'context_gateway_upstream_attempts_total{outcome="not_connected",upstream="dead"} 2.0' in metrics
    assert eventually(lambda: spent(several)[1] == 0)
