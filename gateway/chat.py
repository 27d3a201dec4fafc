"""A chat request as far as the relay needs to know it, and the one permitted edit: asking for a stream's usage."""

import asyncio
import json
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import msgspec

from gateway.errors import InvalidJsonError
from gateway.windowing.spans import Edit, document, spliced

# Below this many bytes a second opinion on a body costs less than handing it to a thread.
_INLINE = 65536
_ASK = b'"stream_options":{"include_usage":true}'


class _Head(msgspec.Struct):
    model: Any = None
    stream: Any = None
    stream_options: Any = None


_head = msgspec.json.Decoder(_Head)


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """The raw body with the few fields that decide how it is relayed; values of a wrong type count as absent."""

    body: bytes
    model: str | None
    stream: bool
    usage_asked: bool
    stream_options_sent: bool


async def parse_chat(body: bytes, compressed: bool = False) -> ChatRequest:
    """Read the head of a chat body; of a compressed one nothing is read, the upstream is to judge it.

    Raises:
        InvalidJsonError: Python's json refuses the body too.
    """
    if compressed:
        return ChatRequest(body, None, stream=False, usage_asked=False, stream_options_sent=False)
    try:
        head = _head.decode(body)
        if not body.isascii():
            body.decode("utf-8")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        head = await _second_opinion(body)
    options = head.stream_options
    return ChatRequest(
        body=body,
        model=head.model if isinstance(head.model, str) else None,
        stream=head.stream is True,
        usage_asked=isinstance(options, dict) and bool(options.get("include_usage")),
        stream_options_sent=options is not None,
    )


def model_of(body: bytes) -> str | None:
    """Return the model that a JSON body names, if any."""
    try:
        model = _head.decode(body).model
    except (msgspec.MsgspecError, RecursionError):
        return None
    return model if isinstance(model, str) else None


async def _second_opinion(body: bytes) -> _Head:
    if len(body) <= _INLINE:
        return _lenient_head(body)
    return await asyncio.to_thread(_lenient_head, body)


def _lenient_head(body: bytes) -> _Head:
    """Read what a stricter parser refuses but Python's json takes: NaN, lone surrogates, UTF-16, deep nesting."""
    try:
        found = json.loads(body)
    except RecursionError:
        return _Head()
    except ValueError as error:
        raise InvalidJsonError(f"We could not parse the JSON body of your request: {_place(error)}.") from None
    if not isinstance(found, dict):
        return _Head()
    return _Head(found.get("model"), found.get("stream"), found.get("stream_options"))


def _place(error: ValueError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg[:1].lower()}{error.msg[1:]} at line {error.lineno}, column {error.colno}"
    return "it is not valid UTF-8"


async def with_usage_asked(chat: ChatRequest, body: bytes) -> bytes | None:
    """Splice `include_usage` into the body of a stream request; None where it can't be done safely.

    `body` is what is to be sent: the caller's, or a windowed one.
    """
    if not chat.stream_options_sent:
        brace = body.find(b"{") + 1
        return body[:brace] + _ASK + b"," + body[brace:] if brace else None
    if len(body) <= _INLINE:
        return _asked_in_options(body)
    return await asyncio.to_thread(_asked_in_options, body)


def _asked_in_options(body: bytes) -> bytes | None:
    text = body.decode("utf-8", "surrogatepass")
    try:
        options = document(text, {"stream_options": {"include_usage": None}}).fields["stream_options"]
    except (ValueError, KeyError, RecursionError):
        return None
    if not options.opened:
        return None
    if present := options.fields.get("include_usage"):
        edit = Edit(present.start, present.end, "true")
    else:
        comma = "," if options.fields else ""
        edit = Edit(options.start + 1, options.start + 1, '"include_usage":true' + comma)
    return spliced(text, [edit]).encode("utf-8", "surrogatepass")


class UsageRefusals:
    """Remembers, of each upstream and model, that it refuses to be asked for a stream's usage."""

    _MOST = 1024

    def __init__(self) -> None:
        self._refused: OrderedDict[tuple[str, str | None], None] = OrderedDict()

    def add(self, upstream: str, model: str | None) -> None:
        """Remember a refusal; the oldest is forgotten where there are too many."""
        self._refused[upstream, model] = None
        if len(self._refused) > self._MOST:
            self._refused.popitem(last=False)

    def __contains__(self, key: tuple[str, str | None]) -> bool:
        return key in self._refused
