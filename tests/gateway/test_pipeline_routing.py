"""Which upstream a request that is not a chat goes to, and what is read of its body for that."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest

from benchmarks.processes import free_port
from gateway import pipeline as pipeline_module
from gateway.policies import Route
from gateway.store.entries import State
from tests.gateway.asgi import JSON, Call
from tests.gateway.pipelines import Recorded, pipeline
from tests.upstreams import Upstream

SHORT, LONGER = b'{"model": "special", "input": "hi"}', b'{"model": "special", "input": "%s"}' % (b"x" * (1 << 20))
ODDLY_TYPED = (b"content-type", b"Application/JSON ; charset=utf-8")
PLAIN = (b"content-type", b"text/plain")


@asynccontextmanager
async def two_upstreams(url: str, **more: Any) -> AsyncIterator[Recorded]:
    """A pipeline that sends the model `special` to the upstream `second`, which is known by its key."""
    upstreams = {"main": {"base_url": url}, "second": {"base_url": url, "api_key": "sk-second"}}
    async with pipeline(url, upstreams=upstreams, models={"special": {"upstream": "second"}}, **more) as line:
        yield line


async def served(line: Recorded, upstream: Upstream, call: Call, route: Route) -> str:
    """Return the upstream that was sent the request."""
    await call.by(partial(line.pipeline.relay, route=route))
    name = "second" if upstream.last.get("authorization") == "Bearer sk-second" else "main"
    assert line.records[-1].upstream == name
    return name


@pytest.mark.parametrize("route", [Route.EMBEDDINGS, Route.COMPLETIONS])
async def test_a_counted_body_goes_where_its_model_is_served_however_it_comes(upstream: Upstream, route: Route) -> None:
    path = f"/v1/{route.value}"
    async with two_upstreams(upstream.url) as line:
        for body, kind in ((SHORT, JSON), (SHORT, ODDLY_TYPED), (SHORT, PLAIN), (LONGER, JSON)):
            for call in (Call("POST", path, body, kind), Call("POST", path, body, kind).chunked(100_000)):
                assert await served(line, upstream, call, route) == "second"
                assert upstream.last.body == body
        assert await served(line, upstream, Call("POST", path, b'{"model": "unknown"}', JSON), route) == "main"


@pytest.mark.parametrize("size", [5000, 1 << 21])
@pytest.mark.parametrize("model_first", [True, False])
async def test_the_model_of_a_body_too_long_to_be_kept_is_known(
    upstream: Upstream, size: int, model_first: bool
) -> None:
    fields = [b'"model": "text-embedding-3-small"', b'"input": "%s"' % (b"x" * (3 << 20))]
    body = b"{%s, %s}" % tuple(fields if model_first else reversed(fields))
    async with pipeline(upstream.url, priced=True) as line:
        call = Call("POST", "/v1/embeddings", body, JSON).chunked(size)
        await call.by(partial(line.pipeline.relay, route=Route.EMBEDDINGS))
        assert (line.record.model, line.record.state) == ("text-embedding-3-small", State.SETTLED)
        assert line.record.cost.usd
    assert upstream.last.body == body


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v1/responses/resp_1"), ("POST", "/v1/responses/resp_1/cancel"), ("GET", "/v1/models")],
)
async def test_what_looks_at_an_answer_does_not_bill_it_again(upstream: Upstream, method: str, path: str) -> None:
    async with pipeline(upstream.url, priced=True) as line:
        body = b'{"model": "gpt-4o-mini"}' if method == "POST" else b""
        call = Call(method, path, body, JSON, (b"x-behaviour", b"odd-json"))
        await call.by(partial(line.pipeline.relay, route=Route.OTHER))
        assert "usage" in call.json()
        assert (line.record.usage, line.record.state, line.record.cost.usd) == (None, State.FREE, None)


async def test_a_counted_body_of_a_model_that_decides_has_a_longest_length(upstream: Upstream) -> None:
    async with two_upstreams(upstream.url, limits={"body_mb": 0.01}) as line:
        for call in (
            Call("POST", "/v1/embeddings", LONGER, JSON),
            Call("POST", "/v1/embeddings", LONGER).chunked(5000),
        ):
            reply = await call.by(partial(line.pipeline.relay, route=Route.EMBEDDINGS))
            assert (reply.status, reply.json()["error"]["code"]) == (413, "body_too_large")
    assert upstream.requests == []


async def test_other_short_json_bodies_go_where_their_model_is_served(upstream: Upstream) -> None:
    async with two_upstreams(upstream.url) as line:
        for body, kind, name in (
            (SHORT, JSON, "second"),
            (SHORT, ODDLY_TYPED, "second"),
            (SHORT, PLAIN, "main"),
            (SHORT, (b"content-type", b"application/jsonl"), "main"),
            (LONGER, JSON, "main"),
        ):
            images = partial(Call, "POST", "/v1/images/generations", body, kind)
            for call in (images(), images().chunked(100_000)):
                assert await served(line, upstream, call, Route.OTHER) == name
                assert upstream.last.body == body


async def test_what_hides_the_model_leaves_it_to_the_first_upstream(upstream: Upstream) -> None:
    async with two_upstreams(upstream.url) as line:
        for coding, name in ((b"br", "main"), (b"Identity", "second")):
            call = Call("POST", "/v1/embeddings", SHORT, JSON, (b"content-encoding", coding))
            assert await served(line, upstream, call, Route.EMBEDDINGS) == name


async def test_a_client_that_leaves_while_its_upload_is_read_leaves_no_connection_behind(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = asyncio.Event()

    async def read_for_ever(*_: object, **__: object) -> None:
        begun.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(pipeline_module, "parse_request", read_for_ever)
    async with pipeline(upstream.url) as line:
        call = Call("POST", "/v1/embeddings", b'{"model": "embedder", "input": "hi"}', JSON)
        served = asyncio.create_task(call.by(partial(line.pipeline.relay, route=Route.EMBEDDINGS)))
        await asyncio.wait_for(begun.wait(), 10)
        assert line.pipeline.upstreams["main"].busy == 1  # its reply is here
        call.leave()
        await served
        assert line.pipeline.upstreams["main"].busy == 0


async def test_an_upload_goes_whole_to_the_upstream_that_can_be_reached(upstream: Upstream) -> None:
    upstreams = {"dead": {"base_url": f"http://127.0.0.1:{free_port()}/v1"}, "main": {"base_url": upstream.url}}
    served = {"*": {"upstreams": ["dead"], "fallbacks": [{"upstream": "main"}]}}
    body = b"x" * 300_000
    async with pipeline(upstream.url, upstreams=upstreams, models=served) as line:
        call = Call("POST", "/v1/files", body, (b"content-type", b"text/plain"))
        await call.by(partial(line.pipeline.relay, route=Route.OTHER))
    assert upstream.last.body == body
    assert [attempt.candidate.upstream for attempt in line.record.attempts] == ["dead", "dead", "main"]
