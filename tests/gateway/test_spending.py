import asyncio
import threading
import time
from functools import partial
from typing import Any

import pytest

from gateway.budgets.worst_case import WorstCase, worst_case
from gateway.policies import Route
from gateway.store.entries import Entry, Span, State
from tests.gateway.asgi import JSON, Call
from tests.gateway.pipelines import Recorded, pipeline
from tests.integration.client import chat_body
from tests.upstreams import Upstream

KEY = "sk-acme-01234567"
EVER = Span(0.0, 1e12)
ASK = chat_body(max_tokens=16)


def teams(**acme: Any) -> dict[str, Any]:
    return {"windowing": {"mode": "off"}, "teams": {"acme": {"keys": [KEY], **acme}}}


async def chat(line: Recorded, body: bytes = ASK, *headers: tuple[bytes, bytes], key: str = KEY) -> Call:
    call = Call("POST", "/v1/chat/completions", body, JSON, (b"authorization", f"Bearer {key}".encode()), *headers)
    return await call.by(line.pipeline.chat)


async def relay(line: Recorded, route: Route, method: str, path: str, body: bytes = b"") -> Call:
    call = Call(method, path, body, JSON, (b"authorization", f"Bearer {KEY}".encode()))
    return await call.by(partial(line.pipeline.relay, route=route))


async def ledger(line: Recorded) -> list[Entry]:
    """Return the ledger, once all that is finished is settled."""
    await line.accounts.finish()
    return [entry async for entry in line.accounts.store.entries(EVER)]


def said(reply: Call) -> tuple[int, str | None]:
    return reply.status, None if reply.status == 200 else reply.json()["error"]["code"]


async def test_who_calls_is_known_by_the_key(upstream: Upstream) -> None:
    async with pipeline(upstream.url, **teams()) as line:
        assert line.pipeline.spending.keys_required
        assert said(await chat(line)) == (200, None)
        assert said(await chat(line, key="sk-nobody-012345")) == (401, "invalid_api_key")
        assert [(entry.team, entry.key != "", entry.state) for entry in await ledger(line)] == [
            ("acme", True, State.SETTLED)
        ], "of a caller that nobody knows nothing is kept"
    assert len(upstream.requests) == 1


async def test_without_teams_anybody_may_call(upstream: Upstream) -> None:
    async with pipeline(upstream.url, windowing={"mode": "off"}) as line:
        assert not line.pipeline.spending.keys_required
        reply = await chat(line, key="sk-whatever")
        assert said(reply) == (200, None)
        assert [entry.team for entry in await ledger(line)] == ["default"]
    assert not [name for name, _ in reply.headers if name.startswith((b"x-ratelimit-limit", b"x-gateway-budget"))]


@pytest.mark.parametrize(
    "policy, chats, files",
    [
        ({}, 200, 200),
        ({"routes": ["chat"]}, 200, 403),
        ({"routes": ["other"]}, 403, 200),
        ({"budget": {"tokens": 10_000}}, 200, 403),
    ],
)
async def test_only_the_routes_that_the_team_may_use(
    upstream: Upstream, policy: dict[str, Any], chats: int, files: int
) -> None:
    async with pipeline(upstream.url, **teams(**policy)) as line:
        assert (await chat(line)).status == chats
        reply = await relay(line, Route.OTHER, "GET", "/v1/files")
    assert (reply.status == 403) == (files == 403)
    if files == 403:
        message = "The team 'acme' may not use GET /v1/files."
        assert reply.json()["error"] == {
            "message": message,
            "type": "invalid_request_error",
            "param": None,
            "code": "not_allowed",
        }


@pytest.mark.parametrize(
    "policy, status",
    [
        ({"budget": {"tokens": 10_000}}, 200),
        ({"models": ["gpt-4o-mini"]}, 200),
        ({"routes": ["responses"]}, 200),
        ({"routes": ["chat"]}, 403),
    ],
)
async def test_who_may_make_responses_may_see_to_them_afterwards(
    upstream: Upstream, policy: dict[str, Any], status: int
) -> None:
    async with pipeline(upstream.url, **teams(**policy)) as line:
        asked = [("GET", ""), ("GET", "/input_items"), ("POST", "/cancel"), ("DELETE", "")]
        replies = [await relay(line, Route.OTHER, method, "/v1/responses/resp_1" + rest) for method, rest in asked]
        assert [reply.status for reply in replies] == [status] * len(asked)
        assert (await relay(line, Route.OTHER, "POST", "/v1/responses/compact")).status == 403
    assert len(upstream.requests) == (len(asked) if status == 200 else 0)


ONE_MODEL = {"models": ["gpt-4o-mini"]}


@pytest.mark.parametrize(
    "policy", [ONE_MODEL, {"keys": [{"key": KEY, **ONE_MODEL}]}, {**ONE_MODEL, "budget": {"tokens": 10_000}}]
)
@pytest.mark.parametrize(
    "body, status",
    [
        (ASK, 200),
        (chat_body(model="gpt-4o", max_tokens=16), 403),
        (b'{"messages": [], "max_tokens": 16}', 403),
        (b'{"model": null, "messages": [], "max_tokens": 16}', 403),
        (b'{"model": "", "messages": [], "max_tokens": 16}', 403),
    ],
)
async def test_only_the_models_that_the_team_or_the_key_may_ask_for(
    upstream: Upstream, policy: dict[str, Any], body: bytes, status: int
) -> None:
    async with pipeline(upstream.url, **teams(**policy)) as line:
        assert (await chat(line, body)).status == status
        completion = await relay(line, Route.COMPLETIONS, "POST", "/v1/completions", body)
        assert (completion.status == 403) == (status == 403)
        assert (State.SETTLED in {entry.state for entry in await ledger(line)}) == (status == 200)
    assert (len(upstream.requests) == 0) == (status == 403)


async def test_without_a_list_of_models_none_need_be_named(upstream: Upstream) -> None:
    async with pipeline(upstream.url, **teams(budget={"tokens": 10_000})) as line:
        await chat(line, b'{"messages": [], "max_tokens": 16}')
    assert len(upstream.requests) == 1


async def test_what_is_left_of_the_rates_is_said_of_every_reply(upstream: Upstream) -> None:
    if (left := 60 - time.time() % 60) < 3:
        await asyncio.sleep(left)  # All three in one minute.
    rates = {"requests_per_minute": 2, "tokens_per_minute": 100_000}
    async with pipeline(upstream.url, **teams(limits=rates)) as line:
        replies = [await chat(line) for _ in range(3)]
        first, _, refused = replies
        assert [reply.status for reply in replies] == [200, 200, 429]
        assert [reply.header(b"x-ratelimit-remaining-requests") for reply in replies] == ["1", "0", "0"]
        assert first.header(b"x-ratelimit-limit-tokens") == "100000"
        assert 0 < 100_000 - int(first.header(b"x-ratelimit-remaining-tokens")) <= len(ASK) + 64 + 16
        assert 0 <= float(first.header(b"x-ratelimit-reset-requests").removesuffix("s")) <= 60
        assert refused.json()["error"]["code"] == "rate_limit_exceeded"
        assert 1 <= int(refused.header(b"retry-after")) <= 60
        assert sorted(entry.state for entry in await ledger(line)) == [State.FREE, State.SETTLED, State.SETTLED]


async def test_a_soft_limit_is_announced_once_with_the_next_reply(upstream: Upstream) -> None:
    async with pipeline(upstream.url, **teams(budget={"tokens": 10_000, "period": "total", "soft": [1, 90]})) as line:
        warnings = []
        for _ in range(12):
            warnings.append((await chat(line)).header(b"x-gateway-budget-warning"))
            spent = sum(entry.input + entry.output for entry in await ledger(line))
        assert 100 <= spent < 9000
    assert [warning for warning in warnings if warning] == ["1% of the 10,000 tokens in total is spent"]
    assert not warnings[0]


async def test_a_budget_with_no_room_refuses_before_anything_is_sent(upstream: Upstream) -> None:
    async with pipeline(upstream.url, **teams(budget={"tokens": 500})) as line:
        reply = await chat(line, chat_body(max_tokens=400))
        assert said(reply) == (429, "insufficient_quota")
        assert said(await chat(line)) == (200, None)
        assert [entry.state for entry in await ledger(line)] == [State.FREE, State.SETTLED]
    assert len(upstream.requests) == 1


async def test_what_has_ended_is_settled_before_anything_more_is_set_aside(upstream: Upstream) -> None:
    async with pipeline(upstream.url, **teams(budget={"tokens": 10_000})) as line:
        seen: list[dict[str, set[str]]] = []
        line.accounts.endings(lambda: seen.append(dict(line.pipeline.spending.admission.open)))
        assert said(await chat(line)) == (200, None)
    assert seen == [{}]


class Weighed:
    """Weighs as `worst_case` does, and notes in which threads."""

    def __init__(self) -> None:
        self.threads: list[int] = []

    def __call__(self, *of: Any) -> WorstCase:
        self.threads.append(threading.get_ident())
        return worst_case(*of)


@pytest.mark.parametrize("policy", [{}, {"budget": {"tokens": 100_000_000}}])
@pytest.mark.parametrize("size", [10, 2_000_000])
async def test_a_body_is_weighed_once_and_a_long_one_off_the_loop(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch, policy: dict[str, Any], size: int
) -> None:
    weighed = Weighed()
    monkeypatch.setattr("gateway.spending.worst_case", weighed)
    body, here = chat_body("x" * size, stream=True, max_tokens=16), threading.get_ident()
    async with pipeline(upstream.url, **teams(**policy)) as line:
        for behaviour, state, needed in (
            (b"", State.SETTLED, 0),
            (b"error-400", State.FREE, 0),
            (b"ignore-usage", State.ESTIMATED, 1),
            (b"close-before-head", State.ESTIMATED, 1),
        ):
            weighed.threads.clear()
            await chat(line, body, (b"x-behaviour", behaviour))
            assert line.records[-1].state is state
            assert len(weighed.threads) == (1 if policy else needed)
            assert (here in weighed.threads) == bool(size < 1000 and weighed.threads)


@pytest.mark.parametrize("policy, status", [({}, 200), ({"budget": {"tokens": 10_000}}, 400), (ONE_MODEL, 400)])
async def test_a_body_that_cannot_be_read_is_refused_where_it_is_held_to_something(
    upstream: Upstream, policy: dict[str, Any], status: int
) -> None:
    async with pipeline(upstream.url, **teams(**policy)) as line:
        assert (await chat(line, ASK, (b"content-encoding", b"identity"))).status == 200
        reply = await chat(line, b"compressed", (b"content-encoding", b"br"))
    assert (status == 400) == (reply.status == 400 and b"plain JSON, not compressed" in reply.body)
    assert len(upstream.requests) == (1 if status == 400 else 2)


@pytest.mark.parametrize("policy, written", [({}, 0), ({"limits": {"requests_per_minute": 9}}, 1)])
async def test_with_the_ledger_off_only_callers_with_limits_are_in_it(
    upstream: Upstream, policy: dict[str, Any], written: int
) -> None:
    async with pipeline(upstream.url, store={"ledger": "off"}, **teams(**policy)) as line:
        assert said(await chat(line)) == (200, None)
        assert len(await ledger(line)) == written
    assert len(line.records) == 1


SPOKEN = {"modalities": ["text", "audio"], "audio": {"voice": "ash", "format": "mp3"}}
# What 100 tokens of an answer, and a prompt of at most 500, cost in USD with nothing to spare, by prices of text alone.
AS_TEXT = {"gpt-audio": 500 * 2.5e-6 + 100 * 10e-6, "gemini-2.5-flash": 500 * 0.3e-6 + 100 * 2.5e-6}


@pytest.mark.parametrize(
    "body, status",
    [
        (chat_body(model="gpt-audio", max_tokens=100, **SPOKEN), 429),
        (chat_body(model="gpt-audio", max_tokens=100), 429),  # it may speak without being asked to
        (chat_body(model="gemini-2.5-flash", max_tokens=100), 200),
        (chat_body([{"type": "input_audio", "input_audio": {"data": "A" * 330}}], "gemini-2.5-flash"), 429),
    ],
)
async def test_audio_is_reserved_at_its_own_price(upstream: Upstream, body: bytes, status: int) -> None:
    usd = AS_TEXT["gpt-audio" if b"gpt-audio" in body else "gemini-2.5-flash"]
    async with pipeline(
        upstream.url, priced=True, spending={"output_tokens": 100}, **teams(budget={"usd": usd})
    ) as line:
        assert (await chat(line, body)).status == status


async def test_an_answer_of_audio_is_charged_at_its_own_price(upstream: Upstream) -> None:
    async with pipeline(upstream.url, priced=True, **teams(budget={"usd": 9})) as line:
        assert (await chat(line, chat_body(model="gpt-audio", max_tokens=100, **SPOKEN))).status == 200
        (entry,) = await ledger(line)
    assert entry.output > 0
    assert entry.cost_nano == entry.input * 2_500 + entry.output * 64_000


ANY = {"*": {"price": {"input": 1000, "output": 1000}, "max_output_tokens": 50}}


async def test_models_that_nobody_names_have_the_price_and_the_limit_of_any(upstream: Upstream) -> None:
    own = {**ANY, "house": {}}
    async with pipeline(upstream.url, priced=True, models=own, **teams(budget={"usd": 100})) as line:
        assert (await chat(line, chat_body(model="unknown-x"))).status == 200
        assert said(await chat(line, chat_body(model="house", max_tokens=9))) == (403, "not_allowed")
        unknown, refused = await ledger(line)
        assert unknown.cost_nano == (unknown.input + unknown.output) * 10**6
        assert refused.cost_nano is None
        most = line.pipeline.spending._answer
        assert (most("unknown-x"), most(None), most("house"), most("gpt-4o")) == (50, 50, 32_768, 16_384)


@pytest.mark.parametrize("model", ["unknown-x", "unknown-y"])
async def test_of_the_price_of_any_each_model_has_a_budget_of_its_own(upstream: Upstream, model: str) -> None:
    budget = {"usd": 0.175, "per": "model"}
    async with pipeline(upstream.url, priced=True, models=ANY, **teams(budget=budget)) as line:
        replies = [(await chat(line, chat_body(model=name, max_tokens=9))).status for name in ("unknown-x", model)]
    assert replies == [200, 200 if model == "unknown-y" else 429]


async def test_a_soft_limit_is_announced_with_a_refusal_too(upstream: Upstream) -> None:
    async with pipeline(upstream.url, **teams(budget={"tokens": 500, "period": "total", "soft": [1]})) as line:
        await chat(line)
        await ledger(line)
        reply = await chat(line, chat_body(max_tokens=500))
        assert said(reply) == (429, "insufficient_quota")
        assert reply.header(b"x-gateway-budget-warning") == "1% of the 500 tokens in total is spent"
