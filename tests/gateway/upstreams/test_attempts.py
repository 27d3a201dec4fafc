"""Attempts at real upstreams, each of which behaves as the operator's headers make it."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from benchmarks.processes import free_port
from gateway.config import Settings
from gateway.errors import UpstreamNotConnectedError, UpstreamOpenError, UpstreamTimeoutError, UpstreamUnreachableError
from gateway.upstreams.attempts import Attempt, Attempts, Outcome, Tried
from gateway.upstreams.breaker import Health
from gateway.upstreams.candidates import Candidate, Candidates
from gateway.upstreams.upstream import Upstream, UpstreamReply, UpstreamRequest
from tests import upstreams


@dataclass(frozen=True, slots=True)
class Desk:
    """Attempts with their upstreams, which a test sends a request to by the model's name."""

    attempts: Attempts
    candidates: Candidates
    opened: dict[str, Upstream]
    last: list[Tried] = field(default_factory=list)

    async def send(
        self, model: str = "gpt", again: bool = True, tried: Tried | None = None
    ) -> tuple[UpstreamReply, Tried]:
        tried = tried or Tried()

        async def once(candidate: Candidate) -> UpstreamReply:
            found = self.opened[candidate.upstream]
            asked = {"model": candidate.model or model, "messages": [{"role": "user", "content": "Say hello."}]}
            body = json.dumps(asked).encode()
            headers = [*found.own_headers, (b"content-length", b"%d" % len(body))]
            return await found.send(UpstreamRequest("POST", "/chat/completions", headers, body))

        try:
            return await self.attempts.send(self.candidates.of(model), once, tried, again), tried
        finally:
            self.last.append(tried)


@asynccontextmanager
async def desk(
    url: str, behaviours: dict[str, str], models: dict[str, Any] | None = None, **retries: Any
) -> AsyncIterator[Desk]:
    """Upstreams by name, with what each does ("dead": nobody listens there)."""
    named = {
        name: {
            "base_url": f"http://127.0.0.1:{free_port()}/v1" if does == "dead" else url,
            "headers": {"x-behaviour": does} if does not in ("dead", "") else {},
            "read_timeout_s": 0.3,
            "breaker_failures": 3,
            "breaker_open_s": 0.2,
        }
        for name, does in behaviours.items()
    }
    served = models or {"*": {"upstreams": list(behaviours)}}
    rules = {"backoff_s": 0.02, **retries}
    settings = Settings.model_validate({"upstreams": named, "models": served, "retries": rules})
    async with AsyncExitStack() as stack:
        opened = {
            name: await stack.enter_async_context(Upstream(name, found)) for name, found in settings.upstreams.items()
        }
        yield Desk(Attempts(settings.retries, opened), Candidates(settings), opened)


def outcomes(tried: Tried) -> list[Outcome]:
    return [attempt.outcome for attempt in tried.attempts]


async def test_what_is_answered_is_sent_once(upstream: upstreams.Upstream) -> None:
    async with desk(upstream.url, {"a": ""}, attempts=5) as at:
        reply, tried = await at.send()
        reply.close()
    assert outcomes(tried) == [Outcome.ANSWERED]
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("bad", ["error-500", "error-503", "dead"])
async def test_another_upstream_of_the_model_takes_over(upstream: upstreams.Upstream, bad: str) -> None:
    async with desk(upstream.url, {"bad": bad, "good": ""}) as at:
        replies = [await at.send() for _ in range(12)]
        for reply, tried in replies:
            assert reply.status == 200
            assert tried.attempts[-1].candidate.upstream == "good"
            assert tried.lost == []
            reply.close()
        assert at.attempts.breakers["bad"].health is Health.OPEN  # so that it was not asked each time
    assert sum(len(tried.attempts) for _, tried in replies) <= 12 + 3


async def test_the_last_bad_reply_comes_through_as_it_is(upstream: upstreams.Upstream) -> None:
    async with desk(upstream.url, {"a": "error-500", "b": "error-503"}) as at:
        reply, tried = await at.send()
        assert reply.status in (500, 503)
        assert b"The upstream says" in await reply.glimpse(1000)
        reply.close()
    assert len(tried.attempts) == 2


async def test_a_failed_upstream_is_asked_again_as_often_as_the_operator_says(upstream: upstreams.Upstream) -> None:
    upstreams_ = {"a": "error-429"}
    async with desk(upstream.url, upstreams_, attempts=2, longest_wait_s=5) as at:
        reply, tried = await at.send()
        reply.close()
    assert outcomes(tried) == [Outcome.RATE_LIMITED]  # it wants to be left alone for 7 s


async def test_no_connection_is_tried_once_more_even_without_retries(upstream: upstreams.Upstream) -> None:
    async with desk(upstream.url, {"a": "dead"}) as at:
        began = time.monotonic()
        with pytest.raises(UpstreamNotConnectedError):
            await at.send()
        assert time.monotonic() - began >= 0.1
        (tried,) = at.last
    assert outcomes(tried) == [Outcome.NOT_CONNECTED] * 2
    assert not tried.sent


async def test_a_body_that_can_be_sent_only_once_is(upstream: upstreams.Upstream) -> None:
    async with desk(upstream.url, {"bad": "error-500"}, {"gpt": {"fallbacks": [{"model": "mini"}]}}) as at:
        reply, tried = await at.send(again=False)
        assert reply.status == 500
        reply.close()
    assert len(tried.attempts) == 1


async def test_without_a_connection_nothing_of_such_a_body_is_gone(upstream: upstreams.Upstream) -> None:
    models = {
        "alone": {"upstream": "dead3"},
        "two": {"upstreams": ["dead", "dead2"], "fallbacks": [{"upstream": "good", "model": "mini"}]},
        "three": {"upstream": "dead", "fallbacks": [{"upstream": "good", "model": "mini"}, {"upstream": "good"}]},
    }
    async with desk(upstream.url, {"dead": "dead", "dead2": "dead", "dead3": "dead", "good": ""}, models) as at:
        for model in ("alone", "two"):  # under another model's name it would go to the fallback
            with pytest.raises(UpstreamNotConnectedError):
                await at.send(model, again=False)
        reply, tried = await at.send("three", again=False)
        reply.close()
    assert [outcomes(one) for one in at.last[:2]] == [[Outcome.NOT_CONNECTED] * 2, [Outcome.NOT_CONNECTED] * 3]
    assert tried.attempts[-1].candidate == Candidate("good")


@pytest.mark.parametrize(
    "does, error", [("reset-before-head", UpstreamUnreachableError), ("stall-before-head", UpstreamTimeoutError)]
)
async def test_what_was_sent_whole_is_not_sent_again(
    upstream: upstreams.Upstream, does: str, error: type[Exception]
) -> None:
    models = {"gpt": {"upstream": "bad", "fallbacks": [{"upstream": "good"}]}}
    async with desk(upstream.url, {"bad": does, "good": ""}, models, attempts=3) as at:
        with pytest.raises(error):
            await at.send()
        assert at.last[0].sent
    assert len(upstream.requests) == 1


async def test_unless_the_operator_allows_it_and_then_it_counts_as_lost(upstream: upstreams.Upstream) -> None:
    models = {"gpt": {"upstream": "bad", "fallbacks": [{"upstream": "good"}]}}
    async with desk(upstream.url, {"bad": "reset-before-head", "good": ""}, models, after_sent=True) as at:
        reply, tried = await at.send()
        assert reply.status == 200
        reply.close()
    assert outcomes(tried) == [Outcome.BROKEN, Outcome.ANSWERED]
    assert [lost.upstream for lost in tried.lost] == ["bad"]


async def test_one_that_was_not_even_connected_after_that_is_no_second_prompt(upstream: upstreams.Upstream) -> None:
    models = {"gpt": {"upstream": "bad", "fallbacks": [{"upstream": "none"}]}}
    async with desk(upstream.url, {"bad": "reset-before-head", "none": "dead"}, models, after_sent=True) as at:
        with pytest.raises(UpstreamNotConnectedError):
            await at.send()
        (tried,) = at.last
    # What was not connected is tried once more itself: another one may have been paid for already.
    assert outcomes(tried) == [Outcome.BROKEN, Outcome.NOT_CONNECTED, Outcome.NOT_CONNECTED]
    assert ([lost.upstream for lost in tried.lost], tried.sent) == (["bad"], False)
    assert len(upstream.requests) == 1


def test_an_attempt_is_lost_while_the_next_one_is_under_way() -> None:
    broken = Attempt(Candidate("a"), Outcome.BROKEN)
    assert Tried([broken], begun=1, under_way=True).lost == []
    paused = Tried([broken], begun=1)
    assert (paused.lost, paused.sent) == ([], True)
    following = Tried([broken], begun=2, under_way=True)
    assert (following.lost, following.sent) == ([broken.candidate], True)


async def test_a_prompt_that_is_too_long_goes_to_the_fallback_and_not_to_an_equal(upstream: upstreams.Upstream) -> None:
    models = {"gpt": {"upstreams": ["small", "small2"], "fallbacks": [{"upstream": "big", "model": "gpt-long"}]}}
    async with desk(upstream.url, {"small": "too-long", "small2": "too-long", "big": ""}, models) as at:
        reply, tried = await at.send()
        assert reply.status == 200
        reply.close()
        assert at.attempts.breakers["small"].health is Health.CLOSED  # it did nothing wrong
    assert outcomes(tried) == [Outcome.TOO_LONG, Outcome.ANSWERED]
    assert upstream.last.json()["model"] == "gpt-long"


async def test_a_client_that_leaves_while_an_error_is_looked_at_leaves_no_connection_behind() -> None:
    async def refuse_in_part(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 100\r\n\r\n")
        await reader.read()  # until the other side hangs up
        writer.close()

    models = {"gpt": {"upstream": "slow", "fallbacks": [{"upstream": "big"}]}}
    async with await asyncio.start_server(refuse_in_part, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        async with desk(url, {"slow": "", "big": ""}, models) as at:
            tried = Tried()
            task = asyncio.create_task(at.send(tried=tried))
            while not (tried.attempts or task.done()):  # noqa: ASYNC110 - then the head is here
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert at.opened["slow"].busy == 0


async def test_without_a_fallback_it_comes_through(upstream: upstreams.Upstream) -> None:
    async with desk(upstream.url, {"small": "too-long"}) as at:
        reply, tried = await at.send()
        assert reply.status == 400
        reply.close()
    assert outcomes(tried) == [Outcome.ANSWERED]


async def test_where_nothing_answers_nobody_waits_for_long(upstream: upstreams.Upstream) -> None:
    async with desk(upstream.url, {"a": "dead"}) as at:
        for _ in range(2):
            with pytest.raises(UpstreamNotConnectedError):
                await at.send()
        with pytest.raises(UpstreamOpenError) as raised:
            await at.send()
        assert 0 < raised.value.wait_s <= 0.2
        await asyncio.sleep(0.25)
        with pytest.raises(UpstreamNotConnectedError):  # the probe
            await at.send()


async def test_one_that_answers_with_errors_is_asked_all_the_same_where_there_is_no_other(
    upstream: upstreams.Upstream,
) -> None:
    async with desk(upstream.url, {"a": "error-500"}) as at:
        for _ in range(6):
            reply, _ = await at.send()
            assert reply.status == 500
            reply.close()
    assert len(upstream.requests) == 6


async def test_a_client_that_leaves_says_nothing_of_the_upstream(upstream: upstreams.Upstream) -> None:
    async with desk(upstream.url, {"a": "slow"}) as at:
        for _ in range(5):
            task = asyncio.create_task(at.send())
            await asyncio.sleep(0.02)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert at.attempts.breakers["a"].health is Health.CLOSED
