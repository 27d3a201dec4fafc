"""One question to a running gateway: the answer, when it began, what it was billed for."""

import asyncio
import re
import time
from typing import Any

import msgspec

from gateway.errors import GatewayError
from gateway.upstreams.upstream import Upstream, UpstreamReply, UpstreamRequest
from gateway.usage import Usage, reported

_TRIES = 4
_WAIT_S = 2.0  # where a reply that asks for patience names no time
_LONGEST_WAIT_S = 60.0
_AGAIN = frozenset((408, 429, 500, 502, 503, 504))
_REFUSED = frozenset((400, 413, 422))
_TOO_LONG = re.compile(r"context|too (?:long|large)|maximum|exceed", re.IGNORECASE)  # as servers put it
_SHOWN = 300  # characters of an error
_DATA = b"data:"


class CannotAskError(Exception):
    """No question can be asked like this; the message says why."""


class Answer(msgspec.Struct, frozen=True):
    """What came of one question.

    `text` is None where the prompt was too long for the model. `began` is the seconds to its first piece.
    """

    text: str | None
    windowed: bool = False
    began: float | None = None
    usage: Usage | None = None


class _Later(msgspec.Struct, frozen=True):
    """Nobody could answer now; `why`, and after how long to ask again."""

    why: str
    wait_s: float


class _Delta(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    delta: _Delta | None = None


class _Event(msgspec.Struct):
    choices: list[_Choice] = []
    error: Any = None


_event = msgspec.json.Decoder(_Event)


async def ask(gateway: Upstream, model: str, prompt: str, *, windowing: bool) -> Answer:
    """Return the answer to the prompt, windowed if the gateway sees fit, or as it is; a busy upstream is asked again.

    Raises:
        CannotAskError: the key or the model is refused, there is no gateway, or nobody answers.
    """
    body = msgspec.json.encode(
        {
            "model": model, "stream": True, "stream_options": {"include_usage": True},
            "messages": [{"role": "user", "content": prompt}],
        }
    )  # fmt: skip
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), *gateway.own_headers]
    headers += [] if windowing else [(b"x-gateway-windowing", b"off")]
    request = UpstreamRequest("POST", "/chat/completions", headers, body)
    answer, tries = await _tried(gateway, request), 1
    while isinstance(answer, _Later):
        if tries == _TRIES:
            raise CannotAskError(answer.why)
        await asyncio.sleep(min(_LONGEST_WAIT_S, answer.wait_s))
        answer, tries = await _tried(gateway, request), tries + 1
    return answer


async def _tried(gateway: Upstream, request: UpstreamRequest) -> "Answer | _Later":
    try:
        return await _answered(gateway, request)
    except GatewayError as error:  # no connection, or one that broke
        return _Later(str(error), _WAIT_S)


async def _answered(gateway: Upstream, request: UpstreamRequest) -> "Answer | _Later":
    asked = time.perf_counter()
    reply = await gateway.send(request)
    try:
        if reply.status < 300:
            return await _read(reply, asked)
        said = (await reply.glimpse(_SHOWN))[:_SHOWN].decode("utf-8", "replace")
    finally:
        reply.close()
    if reply.status in _REFUSED and _TOO_LONG.search(said):
        return Answer(None)
    why = f"status {reply.status}: {said}"
    if reply.status not in _AGAIN or reply.header(b"x-should-retry") == "false":
        raise CannotAskError(why)
    return _Later(why, _WAIT_S if reply.retry_after is None else reply.retry_after)


async def _read(reply: UpstreamReply, asked: float) -> Answer | _Later:
    decision = reply.header(b"x-gateway-windowing")
    if not _is_gateway(reply):
        raise CannotAskError("this is no context-gateway: its reply has no x-gateway-windowing header")
    text, began, usage, rest = list[str](), None, None, b""
    async for piece in reply.chunks():
        *lines, rest = (rest + piece).split(b"\n")
        for data in (line[len(_DATA) :].strip() for line in lines if line.startswith(_DATA)):
            event = _event_of(data)
            if event.error is not None:
                return _Later("the stream broke off", _WAIT_S)
            said = _content(event)
            began = time.perf_counter() - asked if said and began is None else began
            text.append(said)
            usage = reported(data)[0] or usage
    return Answer("".join(text), decision == "applied", began, usage)


def _is_gateway(reply: UpstreamReply) -> bool:
    return bool(reply.header(b"x-gateway-windowing"))


def _event_of(data: bytes) -> _Event:
    try:
        return _event.decode(data)
    except msgspec.MsgspecError:  # [DONE], or an event of another kind
        return _Event()


def _content(event: _Event) -> str:
    return "".join(choice.delta.content or "" for choice in event.choices if choice.delta)
