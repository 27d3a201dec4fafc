"""What shadow mode does: the original is forwarded and relayed at once, a window is made beside it."""

import asyncio
from decimal import Decimal

import pytest

from benchmarks.processes import free_port
from gateway import endings
from gateway.pricing import nano_of, usd_of
from gateway.reporting.gather import Scope, tabled
from gateway.store.entries import Group, Span
from gateway.windowing.types import Decision, Reason, WindowOutcome
from tests.gateway.asgi import JSON, Call
from tests.gateway.pipelines import pipeline
from tests.gateway.test_pipeline import CHAT, LONG, LONG_STREAM, WINDOWED, Windowing, a_window, chat, for_ever
from tests.integration.client import chat_body
from tests.upstreams import Upstream

SHADOW = {"mode": "shadow"}


async def test_in_shadow_neither_the_original_nor_its_reply_waits_for_the_window(upstream: Upstream) -> None:
    ready = asyncio.Event()

    async def late() -> WindowOutcome:
        await ready.wait()
        return WINDOWED

    async with pipeline(upstream.url, Windowing(late), windowing=SHADOW) as line:
        reply = await chat(line, LONG)
        assert reply.complete
        assert line.pipeline.upstreams["main"].busy == 0
        assert line.records == []  # what is said of it waits for the window
        await chat(line, chat_body())  # and no other request does
        assert line.record.decision is Decision.BYPASSED
        ready.set()
        await line.accounts.endings.finish()
        record = line.records[-1]
    assert upstream.requests[0].body == LONG
    assert reply.header(b"x-gateway-windowing") == "shadow"
    assert (reply.header(b"x-gateway-reason"), reply.header(b"x-gateway-tokens-original")) == ("", "")
    assert (record.decision, record.reason, record.tokens_window) == (Decision.SHADOW, Reason.RELEVANCE, 30)
    assert (record.tokens_forwarded, record.tokens_saved) == (3000, 0)
    assert record.stages.total >= (record.stages.first_byte or 0.0)


async def test_a_report_says_what_windows_in_shadow_would_have_saved(upstream: Upstream) -> None:
    async with pipeline(upstream.url, Windowing(a_window), priced=True, windowing=SHADOW) as line:
        for _ in range(3):
            await chat(line, LONG)
        await chat(line, LONG, "ignore-usage")  # of this one the usage is not known
        await line.accounts.finish()
        (row,) = (await tabled(line.accounts.store, Scope(Span(0, 1e11), (Group.TEAM,)))).rows
    assert (row.requests, row.tokens_saved, row.saved_usd) == (4, 0, Decimal(0))
    assert (row.shadowed, row.tokens_shadowed, row.tokens_window, row.tokens_would_save) == (4, 12_000, 120, 11_880)
    known = [usd for record in line.records if (usd := record.cost.would_save_usd) is not None]
    assert (len(known), row.shadow_unpriced) == (3, 1)
    assert row.would_save_usd == usd_of(sum(map(nano_of, known)))
    assert sum(known) > 0


async def test_in_shadow_a_window_that_is_ready_is_told_in_the_reply(upstream: Upstream) -> None:
    async with pipeline(upstream.url, Windowing(a_window), windowing=SHADOW) as line:
        reply = await chat(line, LONG, "slow")
    said = [reply.header(b"x-gateway-" + name) for name in (b"reason", b"tokens-original", b"tokens-forwarded")]
    assert said == ["relevance", "3000", "3000"]
    assert reply.header(b"x-gateway-cost-saved-usd") == ""


async def test_in_shadow_a_stop_waits_for_windows_and_then_gives_them_up(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endings, "_PATIENCE_S", 0.05)

    async def soon() -> WindowOutcome:
        await asyncio.sleep(0.01)
        return WINDOWED

    for step, tokens in ((soon, 30), (for_ever, None)):
        windowing = Windowing(step)
        async with pipeline(upstream.url, windowing, windowing=SHADOW) as line:
            await chat(line, LONG)
        assert (line.record.decision, line.record.tokens_window) == (Decision.SHADOW, tokens)
        assert windowing.cancelled == (tokens is None)


async def test_in_shadow_a_failed_request_ends_its_window() -> None:
    windowing = Windowing(for_ever)
    async with pipeline(f"http://127.0.0.1:{free_port()}/v1", windowing, windowing=SHADOW) as line:
        assert (await chat(line, LONG)).status == 502
        await asyncio.sleep(0)
        assert (line.record.decision, line.record.reason, line.record.status) == (Decision.SHADOW, None, 502)
    assert windowing.cancelled


async def test_in_shadow_a_client_that_leaves_ends_the_window_and_gives_the_connection_back(upstream: Upstream) -> None:
    windowing = Windowing(for_ever)
    async with pipeline(upstream.url, windowing, windowing=SHADOW) as line:
        call = Call("POST", CHAT, LONG_STREAM, JSON, (b"x-behaviour", b"stall-in-stream"))
        serving = asyncio.create_task(call.by(line.pipeline.chat))
        while len(call.sent) < 2:  # noqa: ASYNC110 - its head, and the first of its events
            await asyncio.sleep(0.01)
        call.leave()
        await serving
        assert line.pipeline.upstreams["main"].busy == 0
        assert (line.record.decision, line.record.status) == (Decision.SHADOW, 499)
    assert windowing.cancelled


async def test_in_shadow_no_window_keeps_a_place_among_requests_at_the_same_time(upstream: Upstream) -> None:
    teams = {"acme": {"keys": ["sk-acme-0123"], "limits": {"concurrent": 1}}}
    windowing = Windowing(for_ever)
    async with pipeline(upstream.url, windowing, windowing=SHADOW, teams=teams) as line:
        for _ in range(3):
            assert (await chat(line, LONG, "", (b"authorization", b"Bearer sk-acme-0123"))).status == 200
            assert line.records
            await line.accounts.settling.finish()
    assert windowing.cancelled
    assert {(record.decision, record.reason) for record in line.records} == {(Decision.SHADOW, Reason.DEADLINE)}
