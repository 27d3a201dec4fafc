import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from gateway.errors import UnknownUrlError
from gateway.exchange import Message
from gateway.store.entries import State
from gateway.windowing.types import Api, Decision, Reason, WindowOutcome, WindowPolicy
from tests.gateway.asgi import JSON, Call
from tests.gateway.pipelines import Recorded, pipeline
from tests.integration.client import chat_body
from tests.upstreams import Upstream

LONG = chat_body("word " * 2000)
LONG_STREAM = chat_body("word " * 2000, stream=True)
WINDOWED = WindowOutcome(Reason.RELEVANCE, chat_body("a window", stream=True), 3000, 30)
CHAT = "/v1/chat/completions"
LONG_INPUT = json.dumps({"model": "gpt-4o-mini", "input": "word " * 2000, "stream": True}).encode()
WINDOWED_INPUT = WindowOutcome(
    Reason.RELEVANCE, b'{"model": "gpt-4o-mini", "input": "a window", "stream": true}', 3000, 30
)


class Windowing:
    """Windows by the given steps, and notes what it was asked."""

    def __init__(self, step: Callable[[], Awaitable[WindowOutcome]]) -> None:
        self.asked: list[tuple[bytes, WindowPolicy]] = []
        self.cancelled = False
        self._step = step

    async def window(self, body: bytes, policy: WindowPolicy) -> WindowOutcome:
        self.asked.append((body, policy))
        try:
            return await self._step()
        except asyncio.CancelledError:
            self.cancelled = True
            raise


async def a_window() -> WindowOutcome:
    return WINDOWED


async def a_fault() -> WindowOutcome:
    raise ZeroDivisionError("a prompt's text")


async def for_ever() -> WindowOutcome:
    await asyncio.Event().wait()
    return WINDOWED


async def chat(line: Recorded, body: bytes, behaviour: str = "", *headers: tuple[bytes, bytes]) -> Call:
    return await Call("POST", CHAT, body, JSON, (b"x-behaviour", behaviour.encode()), *headers).by(line.pipeline.chat)


async def test_a_window_is_forwarded_under_its_own_length(upstream: Upstream) -> None:
    windowing = Windowing(a_window)
    async with pipeline(upstream.url, windowing) as line:
        reply = await chat(line, LONG, "", (b"x-gateway-window-tokens", b"700"))
    assert windowing.asked == [(LONG, WindowPolicy(4000, 700, 1500))]
    assert upstream.last.body == WINDOWED.body
    assert upstream.last.get("content-length") == str(len(WINDOWED.body or b""))
    assert (reply.status, reply.header(b"x-gateway-windowing")) == (200, "applied")
    assert (line.record.decision, line.record.tokens_saved) == (Decision.APPLIED, 2970)


async def respond(line: Recorded, body: bytes, *headers: tuple[bytes, bytes]) -> Call:
    return await Call("POST", "/v1/responses", body, JSON, *headers).by(line.pipeline.respond)


async def test_a_responses_window_is_forwarded_and_no_usage_asked_for(upstream: Upstream) -> None:
    async def made() -> WindowOutcome:
        return WINDOWED_INPUT

    windowing = Windowing(made)
    async with pipeline(upstream.url, windowing) as line:
        reply = await respond(line, LONG_INPUT, (b"x-gateway-window-tokens", b"700"))
    assert windowing.asked == [(LONG_INPUT, WindowPolicy(4000, 700, 1500, api=Api.RESPONSES))]
    assert upstream.last.body == WINDOWED_INPUT.body
    assert (reply.header(b"x-gateway-windowing"), reply.header(b"x-gateway-tokens-saved")) == ("applied", "2970")
    record = line.record
    assert (record.route, record.decision, record.tokens_saved) == ("responses", Decision.APPLIED, 2970)
    assert record.usage is not None


async def test_responses_in_shadow_off_small_and_unreadable_are_relayed_as_they_are(upstream: Upstream) -> None:
    wish = (b"x-gateway-windowing", b"off")
    small, broken = b'{"model": "gpt-4o-mini", "input": "hi"}', b'{"model": ' + b"x" * 9000
    for mode, body, headers, decision, reason in (
        ("shadow", LONG_INPUT, (), Decision.SHADOW, Reason.RELEVANCE),
        ("off", LONG_INPUT, (), Decision.OFF, Reason.OPTED_OUT),
        ("on", LONG_INPUT, (wish,), Decision.BYPASSED, Reason.OPTED_OUT),
        ("on", small, (), Decision.BYPASSED, Reason.SMALL),
        ("on", broken, (), Decision.BYPASSED, Reason.NOT_TEXT),
    ):
        windowing = Windowing(a_window)
        async with pipeline(upstream.url, windowing, windowing={"mode": mode}) as line:
            await respond(line, body, *headers)
        assert upstream.last.body == body
        assert (line.record.decision, line.record.reason) == (decision, reason)
        assert len(windowing.asked) == (mode == "shadow")


async def test_windowing_that_fails_leaves_the_original(upstream: Upstream) -> None:
    with capture_logs() as logged:
        async with pipeline(upstream.url, Windowing(a_fault)) as line:
            assert (await chat(line, LONG)).status == 200
    assert upstream.last.body == LONG
    record = line.record
    assert (record.decision, record.reason, record.detail) == (Decision.BYPASSED, Reason.ERROR, "ZeroDivisionError")
    assert record.error is None
    assert [(entry["event"], entry["error"]) for entry in logged] == [("windowing_failed", "ZeroDivisionError")]
    assert "a prompt's text" not in str(logged)


async def test_what_is_forwarded_whole_is_remembered_as_what_a_later_window_forgoes(upstream: Upstream) -> None:
    async def none() -> WindowOutcome:
        return WindowOutcome(Reason.LOW_CONFIDENCE, None, 3000, 3000)

    async with pipeline(upstream.url, Windowing(none)) as line:
        await chat(line, LONG)
        assert len(await line.pipeline.prefixes.remember("main", "gpt-4o-mini", LONG)) > 0.7 * len(LONG)


async def test_what_a_caller_keeps_from_being_windowed_is_remembered_too(upstream: Upstream) -> None:
    async with pipeline(upstream.url, Windowing(a_window)) as line:
        await chat(line, LONG, "", (b"x-gateway-windowing", b"off"))
        assert line.record.reason is Reason.OPTED_OUT
        await asyncio.gather(*line.pipeline.prefixes._reading)  # it may take longer than the canned answer
        await asyncio.sleep(0)
        assert await line.pipeline.prefixes.remember("main", "gpt-4o-mini", LONG)


async def test_a_window_that_nobody_answered_well_saved_nothing(upstream: Upstream) -> None:
    async with pipeline(upstream.url, Windowing(a_window), priced=True) as line:
        replies = [await chat(line, LONG, behaviour) for behaviour in ("error-500", "error-400")]
    for reply, record in zip(replies, line.records, strict=True):
        assert (reply.header(b"x-gateway-windowing"), reply.header(b"x-gateway-tokens-saved")) == ("applied", "")
        assert not reply.header(b"x-gateway-cost-saved-usd")
        assert (record.tokens_forwarded, record.tokens_saved, record.state) == (None, None, State.FREE)
        assert record.cost.saved_usd is not None
        assert record.cost.saved_usd < 0


async def test_a_client_that_leaves_ends_the_window_and_is_recorded(upstream: Upstream) -> None:
    call = Call("POST", CHAT, LONG, JSON)

    async def left() -> WindowOutcome:
        call.leave()
        return await for_ever()

    windowing = Windowing(left)
    async with pipeline(upstream.url, windowing) as line:
        await call.by(line.pipeline.chat)
    assert windowing.cancelled
    assert call.sent == []
    assert upstream.requests == []
    assert (line.record.client_gone, line.record.status) == (True, 499)


async def test_usage_is_asked_for_in_the_window(upstream: Upstream) -> None:
    async with pipeline(upstream.url, Windowing(a_window)) as line:
        reply = await chat(line, LONG_STREAM)
    asked = upstream.last.json()
    assert asked.pop("stream_options") == {"include_usage": True}
    assert asked["messages"] == [{"role": "user", "content": "a window"}]
    assert b'"usage": {' not in reply.body
    assert line.record.usage is not None


@pytest.mark.parametrize("refusing", ["refuse-stream-options", "refuse-stream-options-422"])
async def test_a_refusal_to_tell_usage_is_remembered_of_that_model_alone(upstream: Upstream, refusing: str) -> None:
    async with pipeline(upstream.url) as line:
        for model, requests in (("one", 2), ("one", 1), ("two", 2), ("two", 1)):
            upstream.clear()
            assert (await chat(line, chat_body(model=model, stream=True), refusing)).status == 200
            assert len(upstream.requests) == requests
            assert b"stream_options" not in upstream.last.body


async def test_a_refusal_is_only_remembered_where_the_field_was_its_cause(upstream: Upstream) -> None:
    async with pipeline(upstream.url) as line:
        assert (await chat(line, chat_body(stream=True), "refuse-stream-options-busy")).status == 429
        await chat(line, chat_body(stream=True))
    assert b"stream_options" in upstream.last.body


async def test_a_400_for_another_cause_is_no_refusal(upstream: Upstream) -> None:
    async with pipeline(upstream.url) as line:
        refused = await chat(line, chat_body(stream=True), "error-400")
        assert refused.json()["error"]["code"] == "context_length_exceeded"
        await chat(line, chat_body(stream=True))
    assert b"stream_options" in upstream.last.body
    assert [record.status for record in line.records] == [400, 200]


async def test_a_refusal_of_what_the_caller_sent_is_not_asked_for_twice(upstream: Upstream) -> None:
    async with pipeline(upstream.url) as line:
        refused = await chat(line, b'{"model":"m","messages":[],"stream":true}')
    assert (refused.status, refused.json()["error"]["param"]) == (400, "messages")
    assert len(upstream.requests) == 1


@pytest.mark.parametrize(
    "sent",
    [
        chat_body(stream=True, stream_options={}).decode().encode("utf-16"),
        chat_body(stream=True).decode().encode("utf-16"),
        chat_body().replace(b"{", b'{"seed":' + b"1" * 5000 + b",", 1),
        chat_body(stream=True, stream_options={}).replace(b"{", b'{"n":' + b"1" * 5000 + b",", 1),
    ],
)
async def test_what_is_read_but_cannot_be_edited_goes_as_it_came(upstream: Upstream, sent: bytes) -> None:
    async with pipeline(upstream.url) as line:
        await chat(line, sent)
    assert upstream.last.body == sent
    assert line.record.error is None


async def test_ask_usage_off_leaves_streams_alone(upstream: Upstream) -> None:
    sent = chat_body(stream=True)
    async with pipeline(upstream.url, ask_usage="off") as line:
        await chat(line, sent)
    assert upstream.last.body == sent


async def test_prompts_are_recorded_where_the_operator_asks_alone(upstream: Upstream) -> None:
    for asked, recorded in ((True, LONG.decode()), (False, None)):
        async with pipeline(upstream.url, windowing={"mode": "off"}, logging={"prompts": asked}) as line:
            await chat(line, LONG)
        assert line.record.forwarded_body == recorded


async def test_a_key_of_no_team_is_refused_before_the_body_is_read(upstream: Upstream) -> None:
    async with pipeline(upstream.url, teams={"acme": {"keys": ["sk-acme-0123"]}}, limits={"body_mb": 0.0001}) as line:
        for key, status in (("sk-nobody-0123", 401), ("sk-acme-0123", 413)):
            assert (await chat(line, LONG, "", (b"authorization", f"Bearer {key}".encode()))).status == status
    assert [(record.team, record.error) for record in line.records] == [
        ("default", "invalid_api_key"),
        ("acme", "body_too_large"),
    ]
    assert upstream.requests == []


async def test_a_fault_of_our_own_is_a_clear_answer(upstream: Upstream) -> None:
    with capture_logs() as logged:
        async with pipeline(upstream.url) as line:
            unwired = replace(line, pipeline=replace(line.pipeline, upstreams={}))
            reply = await chat(unwired, chat_body("a prompt's text"))
    assert (reply.status, reply.json()["error"]["code"]) == (500, "internal_error")
    assert reply.header(b"x-gateway-request-id") == line.record.id
    assert [(entry["event"], entry["id"]) for entry in logged] == [("request_failed", line.record.id)]
    assert "pipeline.py:" in logged[0]["where"]
    assert "a prompt's text" not in reply.body.decode() + str(logged)


class BreaksAfter(Call):
    """A client at which writing fails once some of the stream has come through."""

    async def _keep(self, message: Message) -> None:
        if self.body.count(b"data:") > 3:
            raise ZeroDivisionError
        await super()._keep(message)


async def test_a_fault_in_a_reply_that_has_begun_is_billed_by_what_was_relayed(upstream: Upstream) -> None:
    with capture_logs() as logged:
        async with pipeline(upstream.url) as line:
            call = BreaksAfter("POST", CHAT, chat_body(stream=True), JSON, (b"x-behaviour", b"endless"))
            await call.by(line.pipeline.chat)
    record = line.record
    assert (call.status, call.complete, logged[0]["event"]) == (200, False, "request_failed")
    assert (record.status, record.error, record.state) == (200, "internal_error", State.ESTIMATED)
    assert record.usage is not None
    assert record.usage.completion > 0


async def test_a_fault_behind_the_upstreams_head_is_billed_by_what_the_upstream_said(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def relay(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("gateway.pipeline.relay", relay)
    async with pipeline(upstream.url) as line:
        for behaviour in ("", "error-400"):
            assert (await chat(line, chat_body(), behaviour)).status == 500
    assert [(record.status, record.state) for record in line.records] == [(500, State.ESTIMATED), (500, State.FREE)]


async def test_a_refusal_is_recorded_too(upstream: Upstream) -> None:
    async with pipeline(upstream.url) as line:
        call = Call("GET", "/elsewhere")
        await call.by(lambda exchange: line.pipeline.refuse(exchange, UnknownUrlError("No.")))
    assert call.json()["error"]["message"] == "No."
    assert (line.record.route, line.record.status, line.record.error) == ("none", 404, "unknown_url")


@pytest.mark.parametrize("background, completion", [(True, 500), (False, 4)])
async def test_a_stream_in_the_background_that_nobody_hears_to_its_end_may_cost_the_most_it_can(
    upstream: Upstream, background: bool, completion: int
) -> None:
    asked = {"model": "m", "input": "hi", "stream": True, "background": background, "max_output_tokens": 500}
    async with pipeline(upstream.url) as line:
        call = Call("POST", "/v1/responses", json.dumps(asked).encode(), JSON, (b"x-behaviour", b"close-in-stream"))
        await call.by(line.pipeline.respond)
    assert line.record.state is State.ESTIMATED
    assert line.record.usage is not None
    assert line.record.usage.completion == completion
