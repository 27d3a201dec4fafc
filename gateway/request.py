"""A request's body as far as the relay needs to know it, and the one permitted edit: asking for a stream's usage."""

import asyncio
import json
import math
import re
from collections import OrderedDict
from typing import Any

import msgspec

from gateway.errors import InvalidJsonError
from gateway.windowing.counting import readable
from gateway.windowing.spans import Edit, document, spliced

# What servers say to a field that they don't know; Mistral, and most that validate by a schema, the second.
FIELD_REFUSED = frozenset((400, 422))
# Below this many bytes a second opinion on a body costs less than handing it to a thread.
_INLINE = 65536
_LONGEST_NAME = 256  # characters of a user's or a model's name that are told apart
_HUGE = 10**12
_NAMED = re.compile(rb'"model"\s*:\s*("[^"\\]*")')  # inside a text the quotes are escaped
_FIELD = re.compile(r"\w+")  # of a parameter's name: "messages" of "messages[0].content"
_ASKED = '{"include_usage":true}'
_ASK = b'"stream_options":' + _ASKED.encode()


class _Head(msgspec.Struct):
    model: Any = None
    stream: Any = None
    stream_options: Any = msgspec.UNSET
    user: Any = None
    max_completion_tokens: Any = None
    max_tokens: Any = None
    max_output_tokens: Any = None
    n: Any = None
    best_of: Any = None
    prompt: Any = None
    previous_response_id: Any = None
    conversation: Any = None
    background: Any = None
    prompt_cache_retention: Any = None


_head = msgspec.json.Decoder(_Head)


class _Blame(msgspec.Struct):
    param: Any = None


class _Refusal(msgspec.Struct):
    error: _Blame


_refusal = msgspec.json.Decoder(_Refusal)


class OutputAsked(msgspec.Struct, frozen=True, gc=False):
    """The most tokens that the caller allows for one answer, by each of the names that routes have for it."""

    max_completion_tokens: int | None = None
    max_tokens: int | None = None
    max_output_tokens: int | None = None


_NOT_ASKED = (None, None, None)
NO_OUTPUT = OutputAsked()


class ApiRequest(msgspec.Struct, frozen=True, gc=False):
    """The raw body with the few fields that decide how it is relayed; values of a wrong type count as absent.

    `answers` is how many the caller asks for. `linked`: the upstream adds text that it holds itself, so that the body
    says nothing of the prompt's size. `background`: the upstream works on whether somebody waits or not.
    `cached_a_day`: the provider is asked to keep the prompt for so long.
    """

    body: bytes
    model: str | None
    stream: bool
    usage_asked: bool
    stream_options_sent: bool
    user: str = ""
    output: OutputAsked = NO_OUTPUT
    answers: int = 1
    linked: bool = False
    background: bool = False
    cached_a_day: bool = False
    readable: bool = True


async def parse_request(body: bytes, compressed: bool = False, strict: bool = True) -> ApiRequest:
    """Read the head of a JSON body; of a compressed one nothing is read, the upstream is to judge it.

    Raises:
        InvalidJsonError: Python's json refuses the body too; only where `strict`.
    """
    if compressed:
        return _unread(body)
    head: _Head | None
    try:
        head = _head.decode(body)
        if not body.isascii():
            body.decode("utf-8")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        try:
            head = await _second_opinion(body)
        except InvalidJsonError:
            if strict:
                raise
            return _unread(body)
    return _unread(body) if head is None else _read(head, body)


def _unread(body: bytes) -> ApiRequest:
    return ApiRequest(body, None, stream=False, usage_asked=False, stream_options_sent=False, readable=False)


def with_ends(start: bytes, end: bytes) -> ApiRequest:
    """Return what is known of a body of which just both ends are: the model, if one of them names it."""
    found = _NAMED.findall(start)[:1] or _NAMED.findall(end)[-1:]
    try:
        model = _name(json.loads(found[0])) if found else None
    except ValueError:
        model = None
    return msgspec.structs.replace(_unread(b""), model=model)


def _read(head: _Head, body: bytes) -> ApiRequest:
    options = head.stream_options
    return ApiRequest(
        body=body,
        model=_name(head.model) if isinstance(head.model, str) else None,
        stream=head.stream is True,
        usage_asked=isinstance(options, dict) and bool(options.get("include_usage")),
        stream_options_sent=options is not msgspec.UNSET,
        user=_name(head.user) if isinstance(head.user, str) else "",
        output=_output(head),
        answers=_answers(head),
        linked=_linked(head),
        background=head.background is True,
        cached_a_day=head.prompt_cache_retention == "24h",
    )


def _output(head: _Head) -> OutputAsked:
    asked = (head.max_completion_tokens, head.max_tokens, head.max_output_tokens)
    return NO_OUTPUT if asked == _NOT_ASKED else OutputAsked(*map(_count, asked))


def _name(name: str) -> str:
    return readable(name[:_LONGEST_NAME])


def _linked(head: _Head) -> bool:
    # A prompt that is an object is a template that the upstream keeps.
    return head.previous_response_id is not None or head.conversation is not None or isinstance(head.prompt, dict)


def _answers(head: _Head) -> int:
    if head.prompt is head.n is head.best_of is None:
        return 1
    prompts = head.prompt
    several = len(prompts) if isinstance(prompts, list) and prompts and not isinstance(prompts[0], int) else 1
    return max(_count(head.n) or 1, _count(head.best_of) or 1) * several


def _count(value: object) -> int | None:
    if isinstance(value, str):
        value = _number(value)  # as lenient upstreams read it
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        return None
    return min(int(value), _HUGE)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


async def _second_opinion(body: bytes) -> _Head | None:
    if len(body) <= _INLINE:
        return _lenient_head(body)
    return await asyncio.to_thread(_lenient_head, body)


def _lenient_head(body: bytes) -> _Head | None:
    """Read what a stricter parser refuses but Python's json takes: NaN, lone surrogates, UTF-16.

    None for what is nested too deep to be read: an upstream may read it all the same.
    """
    try:
        found = _loaded(body)
    except RecursionError:
        return None
    except ValueError as error:
        raise InvalidJsonError(f"We could not parse the JSON body of your request: {_place(error)}.") from None
    if not isinstance(found, dict):
        return _Head()
    return _Head(**{name: found[name] for name in _Head.__struct_fields__ if name in found})


def _loaded(body: bytes) -> object:
    try:
        return json.loads(body)
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise
    except ValueError:  # An integer has more digits than Python reads.
        return json.loads(body, parse_int=_integer)


def _integer(digits: str) -> int:
    try:
        return int(digits)
    except ValueError:
        return -_HUGE if digits.startswith("-") else _HUGE


def _place(error: ValueError) -> str:
    if isinstance(error, json.JSONDecodeError):
        said = error.msg.removesuffix(" at")
        return f"{said[:1].lower()}{said[1:]} at line {error.lineno}, column {error.colno}"
    return "it is not valid UTF-8"


async def with_usage_asked(asked: ApiRequest, body: bytes) -> bytes | None:
    """Splice `include_usage` into the body of a stream request; None where it can't be done safely, as in UTF-16.

    `body` is what is to be sent: the caller's, or a windowed one.
    """
    if not asked.stream_options_sent:
        brace = body.find(b"{") + 1
        return body[:brace] + _ASK + b"," + body[brace:] if brace and _is_utf8(body) else None
    if len(body) <= _INLINE:
        return _asked_in_options(body)
    return await asyncio.to_thread(_asked_in_options, body)


def _is_utf8(body: bytes) -> bool:
    """Whether a body that was read as JSON is UTF-8, by how it begins."""
    return json.detect_encoding(body).startswith("utf-8")


def _asked_in_options(body: bytes) -> bytes | None:
    try:
        text = body.decode("utf-8", "surrogatepass")
        options = document(text, {"stream_options": {"include_usage": None}}).fields["stream_options"]
    except (ValueError, KeyError, RecursionError):
        return None
    if not options.opened:
        whole = Edit(options.start, options.end, _ASKED)
        return _edited(text, whole) if options.value is None else None
    if present := options.fields.get("include_usage"):
        edit = Edit(present.start, present.end, "true")
    else:
        comma = "," if options.fields else ""
        edit = Edit(options.start + 1, options.start + 1, _ASKED[1:-1] + comma)
    return _edited(text, edit)


async def with_model(body: bytes, model: str) -> bytes:
    """Return the body under another model's name; as it is where it names none, or where it is not UTF-8."""
    return _named(body, model) if len(body) <= _INLINE else await asyncio.to_thread(_named, body, model)


def _named(body: bytes, model: str) -> bytes:
    try:
        text = body.decode("utf-8", "surrogatepass")
        found = document(text, {"model": None}).fields["model"]
    except (ValueError, KeyError, RecursionError):
        return body
    return _edited(text, Edit(found.start, found.end, json.dumps(model)))


def _edited(text: str, edit: Edit) -> bytes:
    return spliced(text, [edit]).encode("utf-8", "surrogatepass")


def blames_another(refusal: bytes, sent: bytes) -> bool:
    """Whether an upstream's error, in OpenAI's shape, is about another field of what was sent than `stream_options`."""
    if b"stream_options" in refusal or b"include_usage" in refusal:
        return False
    try:
        named = _refusal.decode(refusal).error.param
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    field = _FIELD.match(named) if isinstance(named, str) else None
    return field is not None and b'"%b"' % field[0].encode() in sent  # some say "None"


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
