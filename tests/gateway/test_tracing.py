import asyncio
import subprocess
import sys
import threading
import time

import pytest
from msgspec.structs import replace

from gateway import tracing
from gateway.config import Settings
from gateway.journey import Sampler
from gateway.record import RequestRecord
from gateway.tracing import Tracing
from gateway.windowing.types import Reason, WindowOutcome
from tests.collector import collecting
from tests.gateway.records import RECORD

UPSTREAMS = {"main": {"base_url": "http://127.0.0.1:1/v1"}}
ALL = Sampler(1.0)


def settings(url: str | None) -> Settings:
    telemetry = {"otlp_endpoint": url} if url else None
    return Settings.model_validate({"upstreams": UPSTREAMS, "telemetry": telemetry})


def record(number: int, sampler: Sampler = ALL) -> RequestRecord:
    return replace(RECORD, id=f"req-{number}", journey=sampler.begin("POST", []), forwarded_body="planted-text")


async def test_without_telemetry_there_is_no_thread_and_nothing_is_kept() -> None:
    found = Tracing()
    before = threading.active_count()
    assert found.configure(settings(None)) is None
    found([record(1)])
    await found.finish()
    assert threading.active_count() == before


def test_who_exports_nothing_loads_nothing_of_it() -> None:
    code = (
        "import sys, gateway.app, gateway.tracing;"
        "print([name for name in sys.modules if name.startswith(('opentelemetry.sdk', 'opentelemetry.exporter'))])"
    )
    assert subprocess.check_output([sys.executable, "-c", code]).strip() == b"[]"


async def test_sampled_requests_are_exported_to_the_last() -> None:
    with collecting() as collector:
        found = Tracing()
        assert found.configure(settings(collector.url)) is not None
        found([record(number) for number in range(100)])
        found([record(200, Sampler(0.0)), replace(record(201), journey=None)])
        await found.finish()
        exported = [seen.values.get("context_gateway.request_id") for seen in collector.spans()]
        assert [one for one in exported if one] == [f"req-{number}" for number in range(100)]
        assert b"planted-text" not in b"".join(collector.bodies)


async def test_no_more_wait_than_there_is_room_for(capsys: pytest.CaptureFixture[str]) -> None:
    with collecting() as collector:
        found = Tracing()
        collector.status = 503  # to be tried again: the thread is busy for a while
        found.configure(settings(collector.url))
        found([record(number) for number in range(tracing._TOGETHER)])
        await asyncio.sleep(1.5)
        found([record(number) for number in range(3 * tracing._MOST)])
        assert len(found._waiting) <= tracing._MOST
        began = time.monotonic()
        await found.finish()
        assert time.monotonic() - began < 5
        assert capsys.readouterr().out.count("away") <= 1


async def test_texts_are_not_kept_while_records_wait() -> None:
    with collecting() as collector:
        found = Tracing()
        found.configure(settings(collector.url))
        found([replace(record(1), outcome=WindowOutcome(Reason.RELEVANCE, b"text" * 1000))])
        assert not any(one.outcome or one.forwarded_body for one in found._waiting)
        await found.finish()
        assert len(collector.bodies) == 1


async def test_another_target_is_taken_over() -> None:
    with collecting() as first, collecting() as second:
        found = Tracing()
        found.configure(settings(first.url))
        found([record(1)])
        first.wait(lambda seen: seen.values.get("context_gateway.request_id") == "req-1")
        found.configure(settings(second.url))
        found([record(2)])
        await found.finish()
        assert {seen.values.get("context_gateway.request_id") for seen in second.spans()} - {None} == {"req-2"}
        assert len(first.bodies) == 1
