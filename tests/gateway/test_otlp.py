from collections.abc import Mapping

import pytest
from msgspec.structs import replace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode
from pydantic import SecretStr

from gateway.destinations import AzureSettings, TelemetrySettings, UpstreamSettings
from gateway.journey import Call, Journey, Stretch
from gateway.otlp import Exporter, spans_of
from gateway.record import RequestRecord, Stages
from gateway.store.entries import State
from gateway.upstreams.attempts import Attempt, Outcome
from gateway.upstreams.candidates import Candidate
from tests.collector import collecting
from tests.gateway.records import RECORD, REFUSED

MAIN = {"main": UpstreamSettings(base_url="https://models.example/v1")}
STARTED = 100.0


def journey(*calls: Call, stretches: tuple[Stretch, ...] = ()) -> Journey:
    return Journey("POST", "a" * 32, "b" * 16, 1, calls=list(calls), stretches=list(stretches))


def call(name: str = "main", status: int | None = 200, began: float = 100.05, ended: float = 100.1) -> Call:
    return Call(f"{len(name):016x}", Candidate(name), began, ended, status)


def done(found: Journey, **more: object) -> RequestRecord:
    return replace(RECORD, journey=found, started=STARTED, **more)


def spans(record: RequestRecord, upstreams: Mapping[str, UpstreamSettings] = MAIN) -> dict[str, ReadableSpan]:
    return {span.name: span for span in spans_of(record, upstreams, Resource({}))}


def values(span: ReadableSpan) -> dict[str, object]:
    return dict(span.attributes or {})


def test_a_record_without_a_journey_has_no_spans() -> None:
    assert spans(RECORD) == {}


def test_times_are_those_of_the_record() -> None:
    found = spans(done(journey(call(), stretches=(Stretch("windowing", 100.001, 100.04),))))
    own = found["POST /v1/chat/completions"]
    start = int(RECORD.time.timestamp()) * 10**9
    assert (own.start_time, own.end_time) == (start, start + 900_000_000)

    def at(name: str) -> list[int]:
        return [round(((moment or 0) - start) / 1e6) for moment in (found[name].start_time, found[name].end_time)]

    assert at("windowing") == [1, 40]
    # The model's answer and the attempt that brought it last until it has been passed on.
    assert at("chat gpt-4o-mini-2024-07-18") == at("POST") == [50, 900]


def test_usage_is_the_upstreams_own() -> None:
    (answer,) = (s for n, s in spans(done(journey(call()), model_answered="gpt-x")).items() if n.startswith("chat "))
    assert {name: value for name, value in values(answer).items() if name.startswith("gen_ai.")} == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o-mini-2024-07-18",
        "gen_ai.request.stream": True,
        "gen_ai.response.model": "gpt-x",
        "gen_ai.response.time_to_first_chunk": 0.07,
        "gen_ai.usage.input_tokens": 3_000,
        "gen_ai.usage.output_tokens": 100,
        "gen_ai.usage.cache_read.input_tokens": 1_000,
        "gen_ai.usage.reasoning.output_tokens": 40,
    }
    estimated = spans(done(journey(call()), state=State.ESTIMATED))["chat gpt-4o-mini-2024-07-18"]
    assert not [name for name in values(estimated) if name.startswith("gen_ai.usage.")]


def test_attempts_that_failed_say_how() -> None:
    calls = (call("main", 503), call("elsewhere", None, 100.2, 100.3))
    attempts = (Attempt(Candidate("main"), Outcome.FAILED), Attempt(Candidate("elsewhere"), Outcome.TIMED_OUT))
    record = done(journey(*calls), attempts=attempts, status=504, error="upstream_timeout")
    made = list(spans_of(record, MAIN, Resource({})))
    first, second = (span for span in made if span.name == "POST")
    assert values(first)["error.type"] == "503"
    assert (values(first)["server.address"], values(first)["server.port"]) == ("models.example", 443)
    assert values(first)["url.full"] == "https://models.example/v1/chat/completions"
    assert values(second)["error.type"] == "timed_out"
    assert "server.address" not in values(second)  # an upstream that is configured no more
    assert second.end_time == pytest.approx((made[0].start_time or 0) + 300_000_000, rel=0, abs=1_000)
    assert all(span.status.status_code is StatusCode.ERROR for span in made)


def test_an_attempt_that_its_client_left() -> None:
    record = done(journey(call(status=None)), attempts=(), status=499, client_gone=True)
    found = spans(record)
    assert values(found["POST"])["error.type"] == "cancelled"
    assert values(found["POST /v1/chat/completions"])["context_gateway.client_gone"] is True
    assert found["POST /v1/chat/completions"].status.status_code is StatusCode.UNSET


def test_a_reply_that_broke_off_is_a_failure() -> None:
    found = spans(done(journey(call()), status=200, error="upstream_unreachable"))
    assert {span.status.status_code for name, span in found.items() if name != "POST"} == {StatusCode.ERROR}


def test_a_stage_that_took_next_to_nothing_is_no_span_unless_it_failed() -> None:
    short, failed = Stretch("windowing", 100.0, 100.00001), Stretch("admission", 100.0, 100.00001, "rate_limit")
    record = replace(REFUSED, journey=journey(stretches=(short, failed)), started=STARTED, stages=Stages(total=1.0))
    found = spans(record)
    assert set(found) == {"POST /v1/chat/completions", "admission"}
    assert found["admission"].kind is SpanKind.INTERNAL
    assert values(found["admission"])["error.type"] == "rate_limit"


@pytest.mark.parametrize(
    ("url", "azure", "provider"),
    [
        ("https://api.openai.com/v1", False, "openai"),
        ("https://house.openai.azure.com", False, "azure.ai.openai"),
        ("https://gateway.internal", True, "azure.ai.openai"),
        ("https://api.groq.com/openai/v1", False, "groq"),
        ("https://not-api.groq.com.example/v1", False, "openai"),
    ],
)
def test_providers(url: str, azure: bool, provider: str) -> None:
    settings = UpstreamSettings(base_url=url, azure=AzureSettings(api_version="2024-10-21") if azure else None)
    answer = spans(done(journey(call())), {"main": settings})["chat gpt-4o-mini-2024-07-18"]
    assert values(answer)["gen_ai.provider.name"] == provider


@pytest.mark.parametrize(
    ("route", "names"),
    [
        ("responses", {"POST /v1/responses", "chat gpt-4o-mini-2024-07-18", "POST"}),
        ("completions", {"POST /v1/completions", "text_completion gpt-4o-mini-2024-07-18", "POST"}),
        ("relay", {"POST /v1/{path}", "POST"}),
        ("none", {"POST"}),
    ],
)
def test_names_by_route(route: str, names: set[str]) -> None:
    calls = () if route == "none" else (call(),)
    assert set(spans(done(journey(*calls), route=route))) == names


def test_an_exporter_sends_what_a_collector_reads() -> None:
    with collecting() as collector:
        exporter = Exporter(
            TelemetrySettings(otlp_endpoint=f"{collector.url}/v1/traces", headers={"X-Token": SecretStr("t")})
        )
        assert exporter.export([RECORD], MAIN)  # nothing to send
        assert exporter.export([done(journey(call()))], MAIN)
        seen = {found.span.name: found for found in collector.spans()}
        assert seen["POST /v1/chat/completions"].trace == "a" * 32
        assert seen["POST"].resource["service.name"] == "context-gateway"
        collector.status = 400
        assert not exporter.export([done(journey(call()))], MAIN)
        exporter.close()
        assert len(collector.bodies) == 1
