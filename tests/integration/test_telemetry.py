"""Traces as a collector receives them, from real gateways."""

import json
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks.processes import free_port, running, wait_until
from demo import texts
from tests.collector import CLIENT, INTERNAL, SERVER, Collector, Seen, collecting
from tests.integration.client import chat_body, eventually, opened, post_chat, send
from tests.integration.conftest import Gateway, pairs, serve_command
from tests.upstreams import Upstream

TOKEN = "planted-collector-token-5c1d0e"
UPSTREAM_KEY = "sk-planted-upstream-90aa17"
TEAM_KEY = "sk-planted-team-61f0bd"
CONFIG = """
upstreams:
  main: {{base_url: "{url}", api_key: "{key}"}}
  other: {{base_url: "{url}"}}
  dead: {{base_url: "http://127.0.0.1:{dead}/v1"}}
models:
  "behave:error-500": {{upstream: main, fallbacks: [{{upstream: other, model: gpt-4o-mini}}]}}
  gpt-dead: {{upstream: dead}}
windowing: {{mode: "{mode}", deadline_ms: 20000}}
teams:
  acme: {{keys: ["{team}"], budget: {{tokens: 1000000000}}}}
  poor: {{keys: ["sk-poor-team"], budget: {{tokens: 0, period: total}}}}
{telemetry}
"""
ENVIRON = {"COLLECTOR_TOKEN": TOKEN}
CALLER = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER_SPAN = "00f067aa0ba902b7"
QUESTION = "When is the else clause of a while loop executed?"


def write(folder: Path, upstream: Upstream, telemetry: str, mode: str = "off") -> Path:
    file = folder / "gateway.yaml"
    values = {"url": upstream.url, "key": UPSTREAM_KEY, "team": TEAM_KEY, "dead": free_port(), "mode": mode}
    file.write_text(CONFIG.format(**values, telemetry=telemetry))
    return file


def to(url: str, more: str = "") -> str:
    return f'telemetry: {{otlp_endpoint: "{url}", headers: {{X-Token: "${{COLLECTOR_TOKEN}}"}}{more}}}'


@contextmanager
def serving(config: Path, *more: str) -> Iterator[Gateway]:
    port = free_port()
    with running(serve_command(config, port, *more), port, "/healthz", ENVIRON) as server:
        yield Gateway(server)


def ask(gateway: Gateway, content: str = "Say hello.", model: str = "gpt-4o-mini", **more: object) -> str:
    """Ask as the team and return the request's id."""
    headers = [("Content-Type", "application/json"), ("Authorization", f"Bearer {TEAM_KEY}")]
    with opened(gateway.url, "POST", "/chat/completions", headers, chat_body(content, model, **more)) as reply:
        reply.read()
        return reply.headers["x-gateway-request-id"]


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting() as found:
        yield found


@pytest.fixture(scope="module")
def gateway(
    running_upstream: Upstream, collector: Collector, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    config = write(tmp_path_factory.mktemp("telemetry"), running_upstream, to(collector.url), mode="on")
    with serving(config) as found:
        wait_until(found.server, "/readyz", 120)
        yield found


def duration(seen: Seen) -> int:
    return int(seen.span.end_time_unix_nano - seen.span.start_time_unix_nano)


def test_a_windowed_chat(gateway: Gateway, collector: Collector) -> None:
    document = texts.reference("compound", "execmodel", "debugger")
    began = time.time_ns()
    spans = collector.of(ask(gateway, f"{document}\n\n{QUESTION}"))
    own, answer, attempt = spans["POST /v1/chat/completions"], spans["chat gpt-4o-mini"], spans["POST"]
    kinds = {name: seen.span.kind for name, seen in spans.items()}
    assert kinds == {
        "POST /v1/chat/completions": SERVER, "receive": INTERNAL, "windowing": INTERNAL, "admission": INTERNAL,
        "chat gpt-4o-mini": CLIENT, "POST": CLIENT,
    }  # fmt: skip
    assert (own.parent, attempt.parent) == ("", answer.id)
    assert {spans[name].parent for name in ("receive", "windowing", "admission", "chat gpt-4o-mini")} == {own.id}
    assert not any(seen.failed or "error.type" in seen.values for seen in spans.values())
    for seen in spans.values():
        assert began <= own.span.start_time_unix_nano <= seen.span.start_time_unix_nano <= seen.span.end_time_unix_nano
        assert seen.span.end_time_unix_nano <= own.span.end_time_unix_nano <= time.time_ns()
    assert spans["windowing"].span.end_time_unix_nano <= attempt.span.start_time_unix_nano
    assert 0 < duration(spans["windowing"]) < duration(own)
    assert own.values["context_gateway.decision"] == "applied"
    assert own.values["context_gateway.reason"] == "relevance"
    assert own.values["context_gateway.team"] == "acme"
    assert own.values["context_gateway.tokens.original"] > own.values["context_gateway.tokens.forwarded"] > 0
    assert own.values["context_gateway.cost.saved_usd"] > 0
    assert (own.values["http.route"], own.values["http.response.status_code"]) == ("/v1/chat/completions", 200)
    assert spans["windowing"].values["context_gateway.windowing.rank_ms"] > 0
    assert own.resource["service.name"] == "context-gateway"
    assert collector.headers[-1]["x-token"] == TOKEN


def test_the_answer_in_the_conventions_words(gateway: Gateway, collector: Collector, upstream: Upstream) -> None:
    answer = collector.of(ask(gateway))["chat gpt-4o-mini"].values
    (bill,) = upstream.bills
    used = [answer[f"gen_ai.usage.{kind}_tokens"] for kind in ("input", "output")]
    assert used == [bill.input, bill.output]
    host, _, port = upstream.url.removeprefix("http://").removesuffix("/v1").partition(":")
    expected = {
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.response.model": "gpt-4o-mini", "server.address": host, "server.port": int(port),
    }  # fmt: skip
    assert {name: answer.get(name) for name in expected} == expected
    assert "gen_ai.request.stream" not in answer


def test_a_stream(gateway: Gateway, collector: Collector) -> None:
    spans = collector.of(ask(gateway, stream=True))
    answer = spans["chat gpt-4o-mini"]
    assert answer.values["gen_ai.request.stream"] is True
    assert 0 < answer.values["gen_ai.response.time_to_first_chunk"] < duration(answer) / 1e9
    assert answer.values["gen_ai.usage.output_tokens"] > 0
    assert answer.values["gen_ai.response.model"] == "gpt-4o-mini"


def test_an_error_of_the_upstream(gateway: Gateway, collector: Collector) -> None:
    spans = collector.of(ask(gateway, model="behave:error-401"))
    assert {spans[name].values["error.type"] for name in ("chat behave:error-401", "POST")} == {"401"}
    assert spans["POST"].failed
    own = spans["POST /v1/chat/completions"]
    assert own.values["http.response.status_code"] == 401
    assert not own.failed  # a server's span of a client's mistake is no failure
    spans = collector.of(ask(gateway, model="gpt-dead"))
    own = spans["POST /v1/chat/completions"]
    assert (own.values["http.response.status_code"], own.values["error.type"], own.failed) == (
        502, "upstream_unreachable", True,
    )  # fmt: skip
    assert spans["POST"].values["error.type"] == "not_connected"


def test_a_refusal_of_our_own(gateway: Gateway, collector: Collector) -> None:
    reply = post_chat(gateway.url, chat_body(), headers=[("X-Nothing", "")])
    assert reply.status == 401
    spans = collector.of(reply.get("x-gateway-request-id"))
    own = spans["POST /v1/chat/completions"]
    assert (own.values["error.type"], own.failed) == ("invalid_api_key", False)
    headers = [("Content-Type", "application/json"), ("Authorization", "Bearer sk-poor-team")]
    refused = send(gateway.url, "POST", "/chat/completions", headers, chat_body())
    spans = collector.of(refused.get("x-gateway-request-id"))
    assert spans["admission"].values["error.type"] == "insufficient_quota"
    assert "POST" not in spans


def test_a_retry_over_two_upstreams(gateway: Gateway, collector: Collector, upstream: Upstream) -> None:
    asked = ask(gateway, model="behave:error-500")
    spans = collector.of(asked)
    answer = spans["chat gpt-4o-mini"]
    attempts = [seen for seen in collector.spans() if seen.parent == answer.id]
    attempts.sort(key=lambda seen: seen.span.start_time_unix_nano)
    first, second = (seen.values for seen in attempts)
    assert (first["context_gateway.upstream"], second["context_gateway.upstream"]) == ("main", "other")
    assert (first["http.response.status_code"], second["http.response.status_code"]) == (500, 200)
    assert (first["error.type"], first["context_gateway.outcome"]) == ("500", "failed")
    assert "http.request.resend_count" not in first
    assert second["http.request.resend_count"] == 1
    assert attempts[0].span.end_time_unix_nano <= attempts[1].span.start_time_unix_nano
    assert not answer.failed
    assert spans["POST /v1/chat/completions"].values["context_gateway.model"] == "behave:error-500"
    said = [request.get("traceparent") for request in upstream.requests]
    assert said == [f"00-{seen.trace}-{seen.id}-03" for seen in attempts]


def test_a_callers_trace_goes_on_and_its_body_is_its_own(
    gateway: Gateway, collector: Collector, upstream: Upstream
) -> None:
    body = json.dumps({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "ä  \u2028"}]}).encode()
    headers = [
        ("Content-Type", "application/json"), ("Authorization", f"Bearer {TEAM_KEY}"), ("X-Other", "stays"),
        ("traceparent", f"00-{CALLER}-{CALLER_SPAN}-01"), ("tracestate", "vendor=a"),
    ]  # fmt: skip
    reply = send(gateway.url, "POST", "/chat/completions", headers, body)
    spans = collector.of(reply.get("x-gateway-request-id"))
    own = spans["POST /v1/chat/completions"]
    assert (own.trace, own.parent, own.span.trace_state) == (CALLER, CALLER_SPAN, "vendor=a")
    (sent,) = upstream.requests
    assert sent.body == body
    assert sent.get("traceparent") == f"00-{CALLER}-{spans['POST'].id}-01"
    assert sent.get("tracestate") == "vendor=a"
    assert (b"x-other", b"stays") in pairs(sent.headers)
    assert [name for name, _ in pairs(sent.headers)].count(b"traceparent") == 1


def test_who_does_not_want_to_be_traced_is_not(gateway: Gateway, collector: Collector, upstream: Upstream) -> None:
    trace = "5" * 32
    headers = [("Authorization", f"Bearer {TEAM_KEY}"), ("traceparent", f"00-{trace}-{CALLER_SPAN}-00")]
    send(gateway.url, "POST", "/chat/completions", headers, chat_body())
    (sent,) = upstream.requests
    assert sent.get("traceparent").startswith(f"00-{trace}-")
    assert sent.get("traceparent").endswith("-00")
    collector.of(ask(gateway))  # what came after it is here
    assert trace not in {seen.trace for seen in collector.spans()}


def test_other_routes(gateway: Gateway, collector: Collector) -> None:
    headers = [("Authorization", f"Bearer {TEAM_KEY}"), ("Content-Type", "application/json")]
    models = send(gateway.url, "GET", "/models", headers)
    spans = collector.of(models.get("x-gateway-request-id"))
    assert spans["GET"].parent == spans["GET /v1/models"].id
    embedded = send(gateway.url, "POST", "/embeddings", headers, b'{"model": "text-embedding-3-small", "input": "x"}')
    spans = collector.of(embedded.get("x-gateway-request-id"))
    assert spans["embeddings text-embedding-3-small"].values["gen_ai.operation.name"] == "embeddings"
    secret = send(gateway.url, "POST", "/files?key=planted-in-a-query", headers, b"{}")
    assert "POST /v1/{path}" in collector.of(secret.get("x-gateway-request-id"))


def test_nothing_of_a_prompt_and_no_secret_is_exported(gateway: Gateway, collector: Collector) -> None:
    planted = "planted-prompt-7c02d9"
    for model in ("gpt-4o-mini", "behave:error-401", "behave:quote-credentials", "gpt-dead"):
        collector.of(ask(gateway, f"{planted} " + "word " * 6000, model, user="planted-user-1b8e"))
    collector.of(ask(gateway, planted, stream=True))
    exported = b"".join(collector.bodies)
    assert b"behave:quote-credentials" in exported
    for secret in (planted, "planted-user-1b8e", TEAM_KEY, UPSTREAM_KEY, TOKEN, "planted-in-a-query", TEAM_KEY[:14]):
        assert secret.encode() not in exported


def test_a_collector_that_is_down_is_nobodys_affair(tmp_path: Path, upstream: Upstream) -> None:
    port = free_port()
    with serving(write(tmp_path, upstream, to(f"http://127.0.0.1:{port}"))) as gateway:
        took = []
        for _ in range(30):
            began = time.monotonic()
            ask(gateway)
            took.append(time.monotonic() - began)

        def said() -> list[str]:
            return [str(line["status"]) for line in gateway.log_lines() if line.get("event") == "traces"]

        assert eventually(said, 15)
        ask(gateway)
        assert sorted(took)[15] < 0.1
        with collecting(port) as collector:
            # Each export waits for its time to run out, so the next one may come late.
            assert eventually(lambda: (ask(gateway), said()[-1] == "back")[1], 20)
            collector.of(ask(gateway))
        assert said() == ["away", "back"]
        assert "Traceback" not in gateway.server.log.read_text()
        assert {line["level"] for line in gateway.log_lines()} == {"info"}


@pytest.mark.slow
def test_a_stop_waits_for_no_collector(tmp_path: Path, upstream: Upstream) -> None:
    with serving(write(tmp_path, upstream, to(f"http://127.0.0.1:{free_port()}"))) as gateway:
        ask(gateway)
        began = time.monotonic()
        gateway.server.process.terminate()
        gateway.server.process.wait(15)
        assert time.monotonic() - began < 6


def test_what_waits_is_exported_at_a_clean_stop(tmp_path: Path, upstream: Upstream) -> None:
    with collecting() as collector:
        with serving(write(tmp_path, upstream, to(collector.url))) as gateway:
            collector.of(ask(gateway))
            asked = [ask(gateway) for _ in range(20)]
        exported = {seen.values.get("context_gateway.request_id") for seen in collector.spans()}
        assert set(asked) <= exported


@pytest.mark.slow
def test_a_reload_changes_where_to_and_switches_it_off_and_on(tmp_path: Path, upstream: Upstream) -> None:
    with collecting() as first, collecting() as second, serving(write(tmp_path, upstream, "")) as gateway:

        def reload(telemetry: str) -> None:
            before = gateway.server.log.read_text().count('"reloaded"')
            write(tmp_path, upstream, telemetry)
            gateway.server.process.send_signal(signal.SIGHUP)
            assert eventually(lambda: gateway.server.log.read_text().count('"reloaded"') > before)

        ask(gateway)
        assert upstream.last.get("traceparent") == ""
        reload(to(first.url))
        first.of(ask(gateway))
        reload(to(second.url, ", service_name: elsewhere"))
        spans = second.of(ask(gateway))
        assert {seen.resource["service.name"] for seen in spans.values()} == {"elsewhere"}
        reload(to(second.url, ", sample: 0"))
        unsampled = ask(gateway)
        assert upstream.last.get("traceparent").endswith("-02")
        reload("")
        ask(gateway)
        assert upstream.last.get("traceparent") == ""
        reload(to(second.url))
        second.of(ask(gateway))
        exported = [seen.values.get("context_gateway.request_id") for seen in first.spans() + second.spans()]
        assert unsampled not in exported
        assert len([one for one in exported if one]) == 3


@pytest.mark.slow
def test_each_worker_exports_for_itself(tmp_path: Path, upstream: Upstream) -> None:
    with (
        collecting() as collector,
        serving(write(tmp_path, upstream, to(collector.url)), "--workers", "2") as gateway,
    ):

        def who() -> set[int]:
            ask(gateway)
            return {int(seen.resource["process.pid"]) for seen in collector.spans()}

        assert eventually(lambda: len(who()) == 2, 30)
        assert gateway.server.process.pid not in who()
