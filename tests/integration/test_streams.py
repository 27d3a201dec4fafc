"""Streams: as they are sent, with their usage known, and with a clear end whatever happens."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.integration.client import CHAT, MODEL, Reply, chat_body, post_chat
from tests.integration.conftest import Gateway, Line
from tests.upstreams import Upstream, replies

ASKED: Any = {"include_usage": True}


def asked_for_usage(upstream: Upstream) -> object:
    """Return what the latest request said about usage."""
    return (upstream.last.json().get("stream_options") or {}).get("include_usage")


def usual_stream() -> Reply:
    """Return the stream that OpenAI sends to a client which asks for no usage."""
    request = {"model": MODEL, "messages": [{"role": "user", "content": "Say hello."}]}
    return Reply(200, (), b"".join(replies.events(request)))


@pytest.mark.parametrize("behaviour", ["", "bytewise"])
def test_usage_is_asked_for_and_left_out_again(gateway: Gateway, upstream: Upstream, behaviour: str) -> None:
    sent = chat_body(stream=True)
    reply = post_chat(gateway.url, sent, behaviour)
    assert asked_for_usage(upstream) is True
    assert [event["choices"] for event in reply.events()] == [event["choices"] for event in usual_stream().events()]
    assert all(event.get("usage") is None for event in reply.events())
    assert reply.body.endswith(b"data: [DONE]\n\n")
    logged = gateway.wait_logged(reply.get("x-gateway-request-id"))
    assert logged["usage"]["prompt"] > 0
    assert logged["usage"]["completion"] > 0
    # The one permitted edit: the rest of the body is as it came.
    edited = upstream.last.body
    spliced = [b'"stream_options":{"include_usage":true},', b',"stream_options":{"include_usage":true}']
    assert sent in [edited.replace(piece, b"", 1) for piece in spliced]


def test_usage_that_the_client_asked_for_is_left_in(gateway: Gateway, upstream: Upstream) -> None:
    sent = chat_body(stream=True, stream_options=ASKED)
    reply = post_chat(gateway.url, sent)
    assert upstream.last.body == sent
    assert reply.events()[-1]["choices"] == []
    assert reply.events()[-1]["usage"]["prompt_tokens"] > 0


@pytest.mark.parametrize("options", [{"include_usage": False}, {}, {"include_obfuscation": False}])
def test_other_stream_options_stay(gateway: Gateway, upstream: Upstream, options: dict[str, object]) -> None:
    reply = post_chat(gateway.url, chat_body(stream=True, stream_options=options))
    assert upstream.last.json()["stream_options"] == {**options, "include_usage": True}
    assert all(event["choices"] for event in reply.events())


def test_null_stream_options(gateway: Gateway, upstream: Upstream) -> None:
    reply = post_chat(gateway.url, chat_body(stream=True, stream_options=None))
    assert asked_for_usage(upstream) is True
    assert len(reply.events()) > 3
    assert all(event["choices"] for event in reply.events())
    assert gateway.wait_logged(reply.get("x-gateway-request-id"))["usage_state"] == "settled"


def test_usage_is_not_asked_for_outside_streams(gateway: Gateway, upstream: Upstream) -> None:
    sent = chat_body()
    post_chat(gateway.url, sent)
    assert upstream.last.body == sent


def test_an_upstream_that_refuses_the_field_is_asked_again_and_remembered(gateway: Gateway, upstream: Upstream) -> None:
    sent = chat_body(model="behave:refuse-stream-options", stream=True)
    reply = post_chat(gateway.url, sent)
    assert reply.status == 200
    assert reply.body.endswith(b"data: [DONE]\n\n")
    assert len(upstream.requests) == 2
    assert upstream.last.body == sent
    assert post_chat(gateway.url, sent).status == 200
    assert len(upstream.requests) == 3
    assert upstream.last.body == sent


def test_another_400_comes_back_as_it_is(gateway: Gateway, upstream: Upstream) -> None:
    reply = post_chat(gateway.url, chat_body(stream=True), "error-400")
    assert reply.status == 400
    assert reply.json()["error"]["code"] == "context_length_exceeded"


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
def test_a_compressed_stream_with_usage_that_nobody_asked_for(
    gateway: Gateway, upstream: Upstream, coding: str
) -> None:
    reply = post_chat(gateway.url, chat_body(stream=True), coding, [("Accept-Encoding", coding)])
    assert reply.get("content-encoding") == ""
    assert reply.body.endswith(b"data: [DONE]\n\n")
    assert all(event["choices"] for event in reply.events())
    assert gateway.wait_logged(reply.get("x-gateway-request-id"))["usage"]["prompt"] > 0


def test_comments_other_events_and_crlf_pass(gateway: Gateway, upstream: Upstream) -> None:
    reply = post_chat(gateway.url, chat_body(stream=True), "crlf")
    assert reply.body.startswith(b": a comment\r\n\r\nevent: ping\r\ndata: {}\r\n\r\n")
    assert reply.body.endswith(b"data: [DONE]\r\n\r\n")
    assert b'"prompt_tokens"' not in reply.body


@pytest.mark.parametrize("behaviour", ["reset-in-stream", "close-in-stream"])
@pytest.mark.parametrize("options", [None, ASKED])
def test_a_stream_that_breaks_ends_with_an_error_event(
    gateway: Gateway, upstream: Upstream, behaviour: str, options: object
) -> None:
    body = chat_body(stream=True, stream_options=options) if options else chat_body(stream=True)
    reply = post_chat(gateway.url, body, behaviour)
    assert reply.status == 200
    events = reply.events()
    assert [len(event.get("choices", [])) for event in events] == [1, 1, 1, 0]
    assert set(events[-1]["error"]) == {"message", "type", "param", "code"}
    assert b"[DONE]" not in reply.body
    assert gateway.wait_logged(reply.get("x-gateway-request-id"))["error"]


def test_a_stream_that_falls_silent_ends_with_an_error_event(gateway: Gateway, upstream: Upstream) -> None:
    reply = post_chat(gateway.url, chat_body(model="gpt-impatient", stream=True), "stall-in-stream")
    assert reply.status == 200
    assert "error" in reply.events()[-1]
    assert upstream.wait_gone()


@pytest.mark.parametrize("behaviour", ["usage-beside-choices", "ignore-usage", "one-big-event", "odd-json"])
def test_streams_of_other_makers_pass_whole(line: Line, behaviour: str) -> None:
    headers = [("Content-Type", "application/json"), ("x-behaviour", behaviour)]
    line.same("POST", CHAT, headers, chat_body(stream=True, stream_options=ASKED))


def test_usage_beside_choices_is_noted_and_stays(gateway: Gateway, upstream: Upstream) -> None:
    reply = post_chat(gateway.url, chat_body(stream=True), "usage-beside-choices")
    assert asked_for_usage(upstream) is True
    assert reply.events()[-1]["choices"][0]["finish_reason"] == "stop"
    assert gateway.wait_logged(reply.get("x-gateway-request-id"))["usage"]["completion"] == 12


def test_an_upstream_without_usage_is_taken_as_it_is(gateway: Gateway, upstream: Upstream) -> None:
    reply = post_chat(gateway.url, chat_body(stream=True), "ignore-usage")
    assert reply.body == usual_stream().body
    assert gateway.wait_logged(reply.get("x-gateway-request-id"))["usage_state"] == "estimated"


def test_a_big_event_and_an_end_without_its_empty_line(gateway: Gateway, upstream: Upstream) -> None:
    reply = post_chat(gateway.url, chat_body(stream=True), "one-big-event")
    assert len(reply.body) > 3_000_000
    assert reply.body.rstrip().endswith(b"data: [DONE]")


def test_many_streams_at_once_keep_apart(gateway: Gateway, upstream: Upstream) -> None:
    def one(number: int) -> bool:
        text = f"stream number {number} " * 20
        reply = post_chat(gateway.url, chat_body(text, stream=True), "echo")
        return "".join(event["choices"][0]["delta"].get("content") or "" for event in reply.events()) == text

    with ThreadPoolExecutor(40) as pool:
        assert all(pool.map(one, range(120)))
