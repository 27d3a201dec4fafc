"""What operators see: health, readiness, metrics of one worker and of several, the log."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.processes import free_port, running, status_of, wait_until
from demo import texts
from tests.integration.client import chat_body, eventually, post_chat, send
from tests.integration.conftest import Gateway, serve_command, write_config
from tests.upstreams import Upstream

LONG = texts.reference("compound") + "\n\nWhen is the else clause of a while loop executed?"


def metric(root: str, name: str, **labels: str) -> float:
    """Return the sum of a metric's samples that have these labels."""
    total = 0.0
    for line in send(root, "GET", "/metrics").body.decode().splitlines():
        found = re.fullmatch(re.escape(name) + r"(?:\{(.*)\})? (\S+)", line)
        if found and all(f'{key}="{value}"' in (found[1] or "") for key, value in labels.items()):
            total += float(found[2])
    return total


def requests(root: str, **labels: str) -> float:
    return metric(root, "gen_ai_server_request_duration_seconds_count", **labels)


def test_health(gateway: Gateway) -> None:
    assert send(gateway.root, "GET", "/healthz").status == 200


def test_readiness(warm_gateway: Gateway) -> None:
    assert send(warm_gateway.root, "GET", "/readyz").status == 200


def test_requests_are_counted_by_team_model_and_status(gateway: Gateway, upstream: Upstream) -> None:
    def counts() -> tuple[float, float, float]:
        return (
            requests(gateway.root, team="default", model="gpt-4o-mini", status="200"),
            requests(gateway.root, model="gpt-4o-mini", status="429"),
            requests(gateway.root, model="gpt-dead", status="502"),
        )

    before = counts()
    post_chat(gateway.url, chat_body())
    post_chat(gateway.url, chat_body(), "error-429")
    post_chat(gateway.url, chat_body(model="gpt-dead"))
    assert eventually(lambda: counts() == tuple(count + 1 for count in before))


def test_the_upstreams_usage_is_counted(gateway: Gateway, upstream: Upstream) -> None:
    def tokens() -> float:
        return metric(gateway.root, "gen_ai_client_token_usage_total", model="gpt-4o-mini", gen_ai_token_type="input")

    before = tokens()
    usage = post_chat(gateway.url, chat_body()).json()["usage"]
    assert eventually(lambda: tokens() == before + usage["prompt_tokens"])


def test_callers_cannot_grow_the_set_of_models(gateway: Gateway, upstream: Upstream) -> None:
    for number in range(20):
        post_chat(gateway.url, chat_body(model=f"made-up-{number}"))
    assert "made-up" not in send(gateway.root, "GET", "/metrics").body.decode()
    assert requests(gateway.root, model="other") >= 20


def test_a_request_has_one_line_in_the_log(gateway: Gateway, upstream: Upstream) -> None:
    line = gateway.wait_logged(post_chat(gateway.url, chat_body()).get("x-gateway-request-id"))
    assert line["team"] == "default"
    assert line["model"] == "gpt-4o-mini"
    assert line["upstream"] == "main"
    assert (line["decision"], line["reason"]) == ("bypassed", "small")
    assert line["usage"]["prompt"] > 0
    assert line["cost_usd"] > 0
    assert line["status"] == 200
    assert line["stream"] is False
    assert line["client_gone"] is False
    assert {"total", "overhead", "first_byte"} <= set(line["ms"])
    assert line["time"]


@pytest.fixture(scope="module")
def two_workers(running_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    config: Path = write_config(tmp_path_factory.mktemp("workers"), running_upstream.url)
    port = free_port()
    command = serve_command(config, port, "--workers", "2")
    with running(command, port, "/healthz", {"TEST_UPSTREAM_KEY": "sk-operator"}) as server:
        yield Gateway(server)


def test_two_workers_warm_up_serve_and_count_together(two_workers: Gateway, upstream: Upstream) -> None:
    """Until the model is there an oversized prompt passes whole; the workers' metrics are one sum."""
    sent = chat_body(LONG)
    cold = post_chat(two_workers.url, sent)
    assert (cold.status, cold.get("x-gateway-windowing"), cold.get("x-gateway-reason")) == (200, "bypassed", "warming")
    assert upstream.last.body == sent
    wait_until(two_workers.server, "/readyz", 120)
    for _ in range(40):  # every request is a connection of its own, which either worker may accept
        assert post_chat(two_workers.url, chat_body()).status == 200
    readings = [requests(two_workers.root, status="200") for _ in range(8)]
    assert eventually(lambda: requests(two_workers.root, status="200") == 41)
    assert max(readings) <= 41
    assert eventually(lambda: post_chat(two_workers.url, sent).get("x-gateway-windowing") == "applied", 60)
    assert status_of(two_workers.root + "/readyz") in {200, 503}


def test_a_model_that_cannot_be_loaded_is_said_and_stops_no_request(upstream: Upstream, tmp_path: Path) -> None:
    config = tmp_path / "gateway.yaml"
    config.write_text(
        f"upstreams: {{main: {{base_url: '{upstream.url}'}}}}\nwindowing: {{embedding_model: /no/such/model}}\n"
    )
    port = free_port()
    with running(serve_command(config, port), port, "/healthz") as server:
        assert eventually(lambda: b"cannot be loaded" in send(server.url, "GET", "/readyz").body, 60)
        assert status_of(f"{server.url}/readyz") == 503
        assert post_chat(f"{server.url}/v1", chat_body(LONG * 3)).get("x-gateway-reason") == "warming"
        assert eventually(lambda: server.log.read_text().count("cannot be loaded") >= 1)
