"""One question to a running gateway: the answer, when it began, what it was billed for."""

import asyncio
import re
import time

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


class _Delta(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    delta: _Delta | None = None


class _Event(msgspec.Struct):
    choices: list[_Choice] = []


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
    try:
        return await _answered(gateway, request)
    except GatewayError as error:
        raise CannotAskError(str(error)) from None


async def _answered(gateway: Upstream, request: UpstreamRequest) -> Answer:
    for left in reversed(range(_TRIES)):
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
        if reply.status not in _AGAIN or not left or reply.header(b"x-should-retry") == "false":
            raise CannotAskError(f"status {reply.status}: {said}")
        wait = reply.retry_after
        await asyncio.sleep(min(_LONGEST_WAIT_S, _WAIT_S if wait is None else wait))
    raise AssertionError  # pragma: no cover - the last try returns or raises


async def _read(reply: UpstreamReply, asked: float) -> Answer:
    decision = reply.header(b"x-gateway-windowing")
    if not _is_gateway(reply):
        raise CannotAskError("this is no context-gateway: its reply has no x-gateway-windowing header")
    text, began, usage, rest = list[str](), None, None, b""
    async for piece in reply.chunks():
        *lines, rest = (rest + piece).split(b"\n")
        for data in (line[len(_DATA) :].strip() for line in lines if line.startswith(_DATA)):
            said = _content(data)
            began = time.perf_counter() - asked if said and began is None else began
            text.append(said)
            usage = reported(data)[0] or usage
    return Answer("".join(text), decision == "applied", began, usage)


def _is_gateway(reply: UpstreamReply) -> bool:
    return bool(reply.header(b"x-gateway-windowing"))


def _content(data: bytes) -> str:
    try:
        choices = _event.decode(data).choices
    except msgspec.MsgspecError:  # [DONE], or an event of another kind
        return ""
    return "".join(choice.delta.content or "" for choice in choices if choice.delta)
