import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from gateway.delivery import BrokenReplyError, Delivery, relay
from gateway.destinations import UpstreamSettings
from gateway.exchange import ClientGoneError, Exchange
from gateway.upstreams.upstream import Upstream, UpstreamReply, UpstreamRequest
from gateway.usage import Relayed, Usage
from tests import upstreams
from tests.gateway.asgi import JSON, Call, canned
from tests.upstreams import replies

REQUEST = {
    "model": "gpt-4o-mini",
    "messages": [{"role": "user", "content": "Say hello."}],
    "stream": True,
    "stream_options": {"include_usage": True},
}
EVENTS = list(replies.events(REQUEST))
STREAM = "Content-Type: text/event-stream"
OWN = (b"x-gateway-request-id", b"req-1")


@asynccontextmanager
async def replied(url: str, behaviour: str = "", streamed: bool = True) -> AsyncIterator[UpstreamReply]:
    """An upstream's reply whose head has come."""
    body = json.dumps({**REQUEST, "stream": streamed}).encode()
    headers = [JSON, (b"content-length", str(len(body)).encode()), (b"x-behaviour", behaviour.encode())]
    async with Upstream("main", UpstreamSettings(base_url=url)) as main:
        reply = await main.send(UpstreamRequest("POST", "/chat/completions", headers, body))
        yield reply
        reply.close()


@asynccontextmanager
async def canned_reply(head: str, body: bytes) -> AsyncIterator[UpstreamReply]:
    async with canned(head, body) as server, Upstream("main", UpstreamSettings(base_url=server.url)) as main:
        reply = await main.send(UpstreamRequest("GET", "/x", [], None))
        yield reply
        reply.close()


async def relayed(reply: UpstreamReply, drop_usage: bool = False) -> tuple[Call, Delivery]:
    client, delivery = Call("POST", "/v1/chat/completions"), Delivery()
    await relay(client.exchange(), reply, [OWN], delivery, drop_usage)
    return client, delivery


async def broken(reply: UpstreamReply) -> tuple[Call, Delivery]:
    client, delivery = Call("POST", "/v1/chat/completions"), Delivery()
    with pytest.raises(BrokenReplyError):
        await relay(client.exchange(), reply, [OWN], delivery)
    return client, delivery


async def test_a_streams_usage_is_noted_and_left_in(upstream: upstreams.Upstream) -> None:
    async with replied(upstream.url) as reply:
        client, delivery = await relayed(reply)
    assert client.body == b"".join(EVENTS)
    assert client.complete
    assert delivery.usage is not None
    assert delivery.usage.prompt == replies.usage(REQUEST, 0)["prompt_tokens"]
    assert (delivery.status, delivery.error) == (200, None)
    assert delivery.first_byte
    assert delivery.completed
    assert delivery.relayed == Relayed(events=-(-len(replies.CANNED) // 7), characters=len(replies.CANNED))


@pytest.mark.parametrize("kind", ["Text/Event-Stream; charset=utf-8", "APPLICATION/JSON"])
async def test_a_media_type_is_known_in_whatever_case(kind: str) -> None:
    sent = b"".join(EVENTS) if kind.startswith("Text") else json.dumps(replies.completion(REQUEST)).encode()
    async with canned_reply(f"Content-Type: {kind}", sent) as reply:
        client, delivery = await relayed(reply, drop_usage=True)
    assert delivery.usage is not None
    assert client.header(b"content-type") == kind
    assert (b'"prompt_tokens"' in client.body) == kind.startswith("APP")


async def test_drop_usage_leaves_out_exactly_one_event(upstream: upstreams.Upstream) -> None:
    async with replied(upstream.url) as reply:
        client, delivery = await relayed(reply, drop_usage=True)
    (usage_event,) = (event for event in EVENTS if b'"prompt_tokens"' in event)
    assert client.body == b"".join(event for event in EVENTS if event is not usage_event)
    assert delivery.usage is not None


@pytest.mark.parametrize("streamed, length", [(True, []), (False, [b"content-length"])])
async def test_the_head_passes_with_our_own_headers_behind_it(
    upstream: upstreams.Upstream, streamed: bool, length: list[bytes]
) -> None:
    async with replied(upstream.url, streamed=streamed) as reply:
        client, _ = await relayed(reply)
    names = [name.lower() for name, _ in client.headers]
    assert names == [b"content-type", b"x-request-id", *length, OWN[0]]  # the chunking was the connection's


@pytest.mark.parametrize("behaviour", ["truncated", "reset-after-head"])
async def test_a_broken_reply_is_left_unfinished(upstream: upstreams.Upstream, behaviour: str) -> None:
    async with replied(upstream.url, behaviour) as reply:
        client, delivery = await broken(reply)
    assert not client.complete  # the server below closes the connection: the client sees that it was cut short
    assert (delivery.status, delivery.error, delivery.usage) == (200, "upstream_unreachable", None)
    assert (delivery.completed, delivery.relayed) == (False, Relayed())


async def test_a_broken_stream_of_a_given_length_has_no_room_for_an_error_event() -> None:
    whole = b"".join(EVENTS)
    async with canned_reply(f"{STREAM}\nContent-Length: {len(whole)}", whole[:-20]) as reply:
        client, delivery = await broken(reply)
    assert not delivery.completed
    assert delivery.relayed.characters == len(replies.CANNED)
    assert whole.startswith(client.body)
    assert not client.complete


async def test_a_broken_stream_of_numbered_events_ends_with_the_next_of_them() -> None:
    event = b'event: response.created\ndata: {"type":"response.created","sequence_number":0}\n\n'
    async with canned_reply(f"{STREAM}\nTransfer-Encoding: chunked", b"%x\r\n%b\r\n" % (len(event), event)) as reply:
        client, delivery = await relayed(reply)
    assert client.body.startswith(event + b"event: error\ndata: ")
    error = json.loads(client.body.removeprefix(event + b"event: error\ndata: "))
    assert (error["type"], error["sequence_number"], error["error"]["code"]) == ("error", 1, delivery.error)


async def test_a_broken_stream_ends_with_an_error_behind_whole_events(upstream: upstreams.Upstream) -> None:
    async with replied(upstream.url, "close-in-stream") as reply:
        client, delivery = await relayed(reply)
    *before, last = client.body.removesuffix(b"\n\n").split(b"\n\n")
    assert b"\n\n".join([*before, b""]) == b"".join(EVENTS[:3])
    assert json.loads(last.removeprefix(b"data: "))["error"]["code"] == delivery.error == "upstream_unreachable"
    assert client.complete
    assert (delivery.completed, delivery.usage) == (False, None)
    assert delivery.relayed == Relayed(events=2, characters=14)


@pytest.mark.parametrize("kind", ["text/event-stream", "application/json"])
async def test_a_compressed_reply_is_relayed_byte_for_byte_and_accounted(kind: str) -> None:
    plain = b"".join(EVENTS) if kind.startswith("text") else json.dumps(replies.completion(REQUEST)).encode()
    packed = gzip.compress(plain)
    head = f"Content-Type: {kind}\nContent-Encoding: gzip\nContent-Length: {len(packed)}"
    async with canned_reply(head, packed) as reply:
        client, delivery = await relayed(reply)
    assert client.body == packed
    assert (client.header(b"content-encoding"), client.header(b"content-length")) == ("gzip", str(len(packed)))
    assert delivery.usage is not None
    assert delivery.completed
    assert delivery.relayed.characters == (len(replies.CANNED) if kind.startswith("text") else 0)


async def test_to_leave_an_event_out_a_compressed_stream_goes_out_decoded() -> None:
    packed = gzip.compress(b"".join(EVENTS))
    head = f"{STREAM}\nContent-Encoding: gzip\nContent-Length: {len(packed)}"
    async with canned_reply(head, packed) as reply:
        client, delivery = await relayed(reply, drop_usage=True)
    assert client.body == b"".join(event for event in EVENTS if b'"prompt_tokens"' not in event)
    assert [client.header(name) for name in (b"content-encoding", b"content-length")] == ["", ""]
    assert delivery.usage is not None


@pytest.mark.parametrize("packed", [False, True])
async def test_of_a_stream_that_breaks_off_what_was_relayed_is_known(packed: bool) -> None:
    plain = b"".join(EVENTS)
    sent = gzip.compress(plain, 0) if packed else plain
    head = f"{STREAM}\nContent-Length: {len(sent)}" + ("\nContent-Encoding: gzip" if packed else "")
    async with canned_reply(head, sent[:1000]) as reply:
        _, delivery = await broken(reply)
    assert delivery.relayed.characters >= 7
    assert (delivery.completed, delivery.usage) == (False, None)


async def test_when_the_client_leaves_what_it_got_until_then_is_known(upstream: upstreams.Upstream) -> None:
    client, delivery = Call("POST", "/v1/chat/completions"), Delivery()

    async def serve(exchange: Exchange, reply: UpstreamReply) -> None:
        await exchange.body(1000)
        async with exchange.while_client_waits():
            await relay(exchange, reply, [OWN], delivery)

    async with replied(upstream.url, "endless") as reply:
        serving = asyncio.create_task(serve(client.exchange(), reply))
        while delivery.relayed.events < 5:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.005)
        client.leave()
        with pytest.raises(ClientGoneError):
            await serving
    assert (delivery.completed, delivery.usage, delivery.error) == (False, None, None)
    assert delivery.relayed.characters == 3 * delivery.relayed.events == 3 * client.body.count(b'"on "')


async def test_the_usage_of_thousands_of_embeddings_is_found_at_the_end() -> None:
    vectors = b",".join([b'{"object":"embedding","embedding":"%s"}' % (b"AAAA" * 3072)] * 1500)
    whole = b'{"object":"list","data":[%s],"usage":{"prompt_tokens":9000,"total_tokens":9000},"model":"m"}' % vectors
    async with canned_reply(f"Content-Type: application/json\nContent-Length: {len(whole)}", whole) as reply:
        client, delivery = await relayed(reply)
    assert client.body == whole
    assert delivery.usage == Usage(9000, 0)


@pytest.mark.parametrize("coding", ["gzip", "a-coding-of-tomorrow"])
async def test_what_cannot_be_decoded_passes_unaccounted(coding: str) -> None:
    async with canned_reply(f"Content-Type: application/json\nContent-Encoding: {coding}", b"not packed") as reply:
        client, delivery = await relayed(reply)
    assert client.body == b"not packed"
    assert client.complete
    assert (delivery.usage, delivery.error) == (None, None)


async def test_a_stream_that_is_not_what_its_coding_says_ends_with_an_error() -> None:
    """It has to be decoded to leave the usage out, and its head is gone already."""
    async with canned_reply(f"{STREAM}\nContent-Encoding: gzip", b"".join(EVENTS)) as reply:
        client, delivery = await relayed(reply, drop_usage=True)
    assert "Content-Encoding" in json.loads(client.body.removeprefix(b"data: "))["error"]["message"]
    assert client.complete
    assert delivery.error == "upstream_unreachable"


async def test_of_what_is_no_json_nothing_is_read_as_usage() -> None:
    text = json.dumps(replies.completion(REQUEST)).encode()
    async with canned_reply("Content-Type: text/plain", text) as reply:
        client, delivery = await relayed(reply)
    assert client.body == text
    assert delivery.usage is None
