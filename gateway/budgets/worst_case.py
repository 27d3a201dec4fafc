"""The most that a request can cost, before it is sent."""

import asyncio
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from gateway.policies import Route
from gateway.request import NO_OUTPUT, ApiRequest
from gateway.windowing.conversation import ROLES

# Upstreams frame prompts in tokens of their own (a system prompt of the model's template, instructions for tools), and
# may count in another vocabulary than ours.
_FRAME_TOKENS = 64
_TOOL_TOKENS = 512
_FRAME_SHARE = 8
_TOOLS = re.compile(rb'"(?:tools|functions)"\s*:')
# A prompt of which the body is only the end, which tools of the upstream's own add to, or in which a file stands: of a
# PDF text and pictures of all pages are billed, however few bytes it has. It is what most models' context holds.
_LINKED_TOKENS = 200_000
_LINKED = re.compile(
    rb'"file_(?:id|url|data)"\s*:\s*"|"web_search_options"\s*:'
    rb'|"type"\s*:\s*"(?:item_reference|file_search|web_search|code_interpreter|computer_use|mcp")'
)
# Nearly every image is named by both, so that each is counted twice; the largest counts 10,000 patches.
_IMAGE = re.compile(rb'"(?:image_url|input_image)"')
_IMAGE_TOKENS = 5_500
# Of this family an image counts 33 times as much (platform.openai.com/docs/guides/images-vision).
_DEAR_IMAGES = ("gpt-4o-mini", 50_000)
_IMAGE_DATA = "data:image/"
_IMAGE_DATA_ANYHOW = b"data:image"  # where the slash behind it may be escaped
_UNUSUAL = re.compile(
    b"|".join((_TOOLS.pattern, _LINKED.pattern, _IMAGE.pattern))
)  # one search says of most: none of it
_HUGE = 10**12  # more tokens than any answer has, and no more than a store's numbers can hold at any price
# Whoever gives a model sound to hear, or asks for it, says so by one of these; videos and files can have some.
_SOUND = re.compile(rb'"(?:audio|input_audio|video|file|input_file|data:(?:audio|video)/)')
_ESCAPED = re.compile(rb"\\u00[2-7]")
# Bytes of a body that is weighed at once, in a millisecond; a longer one in a thread. Searching holds Python's lock
# there too, so that handing a shorter one over only costs time.
_INLINE = 1 << 20


class WorstCase(msgspec.Struct, frozen=True, gc=False):
    """The most tokens of prompt and completion; `audio`: some of them may be audio, and cost what that does."""

    prompt: int
    completion: int
    audio: bool = False

    @property
    def tokens(self) -> int:
        """All of them."""
        return self.prompt + self.completion

    def times(self, count: int) -> "WorstCase":
        """Return that many of it."""
        return WorstCase(self.prompt * count, self.completion * count, self.audio)


class Weighing:
    """The worst case of one body, worked out once, when it is first wanted; `long` bodies are to be weighed `apart`."""

    __slots__ = ("_found", "_weigh", "long")

    def __init__(self, weigh: Callable[[], WorstCase], size: int) -> None:
        self.long = size > _INLINE
        self._weigh = weigh
        self._found: WorstCase | None = None

    def __call__(self) -> WorstCase:
        """Return the worst case."""
        if self._found is None:
            self._found = self._weigh()
        return self._found

    async def apart(self) -> WorstCase:
        """Return the worst case, worked out off the event loop."""
        if self._found is None:
            self._found = await asyncio.to_thread(self._weigh)
        return self._found


def worst_case(asked: ApiRequest, body: bytes, counted: int | None, route: Route, answer: int) -> WorstCase:
    """Return the most that the upstream can report for the body.

    `counted` are its tokens where windowing counted them, `answer` the most of one answer whose caller names no limit.
    """
    return WorstCase(_prompt(asked, body, counted), _completion(asked, route, answer))


def may_hold_audio(asked: ApiRequest, body: bytes) -> bool:
    """Whether some of the tokens may be audio, also in what the upstream holds itself."""
    return asked.linked or _SOUND.search(_unescaped(body)) is not None


def _prompt(asked: ApiRequest, body: bytes, counted: int | None) -> int:
    plain = _unescaped(body)
    if not asked.linked and _UNUSUAL.search(plain) is None:
        return _text(body, counted, images=False) + _FRAME_TOKENS
    family, dear = _DEAR_IMAGES
    images = len(_IMAGE.findall(plain)) * (dear if family in (asked.model or "") else _IMAGE_TOKENS)
    tools = _TOOL_TOKENS if _TOOLS.search(plain) else 0
    linked = _LINKED_TOKENS if asked.linked or _LINKED.search(plain) else 0
    return _text(body, counted, images > 0) + _FRAME_TOKENS + tools + images + linked


def _unescaped(body: bytes) -> bytes:
    """Undo escapes, so that no key hides behind them; what they stand for beyond Latin-1 is in no key."""
    first = body.find(b"\\")  # one byte is found many times faster than four
    if first < 0 or body.find(b"\\u00", first) < 0 or not _ESCAPED.search(body, first):
        return body
    return body.decode("raw_unicode_escape", "replace").encode("latin-1", "replace")


def _text(body: bytes, counted: int | None, images: bool) -> int:
    """Return the most tokens that the body's text can be.

    A token is at least a byte of the body, so that its length is a bound without counting; where it was counted, only
    what counting passes over is bounded so: files, schemas, fields that few upstreams know.
    """
    most = len(body)
    if counted is None and not (images and _IMAGE_DATA_ANYHOW in body):
        return most
    read = _read(body)
    most -= read.images
    return most if counted is None else min(most, counted + counted // _FRAME_SHARE + most - read.counted)


@dataclass(frozen=True, slots=True)
class _Bytes:
    """Bytes of a body that were counted as text by windowing, and those that are an image's data."""

    counted: int = 0
    images: int = 0


class _Body(msgspec.Struct):
    messages: Any = None
    input: Any = None
    tools: msgspec.Raw = msgspec.Raw()
    functions: msgspec.Raw = msgspec.Raw()


_body = msgspec.json.Decoder(_Body)


def _read(body: bytes) -> _Bytes:
    try:
        found = _body.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _Bytes()  # A reader that takes it all the same is none of ours: all of it may be text.
    tools = sum(len(raw) for raw in (found.tools, found.functions) if raw not in _NOTHING)
    counted = sum(map(_counted, _dicts(found.messages)))
    items = (*_dicts(found.messages), *_dicts(found.input))
    return _Bytes(tools + counted, sum(_image(part) for item in items for part in _dicts(item.get("content"))))


_NOTHING = (b"", b"null", b"false", b"0", b'""', b"[]", b"{}")


def _dicts(values: object) -> Iterator[dict[str, Any]]:
    return (value for value in (values if isinstance(values, list) else ()) if isinstance(value, dict))


def _counted(message: dict[str, Any]) -> int:
    """Return the bytes of a message's texts and of its calls' arguments, as windowing/conversation.py reads them."""
    content, calls = message.get("content"), message.get("tool_calls")
    if calls is not None and not isinstance(calls, list):
        return 0
    arguments = (_field(call.get("function"), "arguments") for call in _dicts(calls))
    role = message.get("role")
    understood = (
        isinstance(role, str) and role in ROLES and (not isinstance(content, list) or all(map(_understood, content)))
    )
    return sum(map(_length, arguments)) + (sum(map(_length, _texts(content))) if understood else 0)


def _understood(part: object) -> bool:
    kind = _field(part, "type")
    return isinstance(kind, str) and kind != "" and (kind != "text" or isinstance(_field(part, "text"), str))


def _texts(content: object) -> Iterator[object]:
    if isinstance(content, str):
        return iter((content,))
    return (part.get("text") for part in _dicts(content) if part.get("type") == "text")


def _image(part: dict[str, Any]) -> int:
    """Return the bytes of an image inside the body, which is billed by its size in pixels."""
    if part.get("type") not in ("image_url", "input_image"):
        return 0
    held = part.get("image_url")
    url = held if isinstance(held, str) else _field(held, "url")
    return len(url) if isinstance(url, str) and url.isascii() and url.startswith(_IMAGE_DATA) else 0


def _field(value: object, name: str) -> object:
    return value.get(name) if isinstance(value, dict) else None


def _length(text: object) -> int:
    if not isinstance(text, str):
        return 0
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _completion(asked: ApiRequest, route: Route, answer: int) -> int:
    if route is Route.EMBEDDINGS:
        return 0
    most = max(_output_asked(asked, route), default=answer) if asked.output is not NO_OUTPUT else answer
    return min(_HUGE, most * asked.answers)


def _output_asked(asked: ApiRequest, route: Route) -> Iterator[int]:
    """Yield the limits on an answer by the names that the route has for them: upstreams pass others over."""
    output = asked.output
    named: tuple[int | None, ...] = (output.max_completion_tokens, output.max_tokens)
    if route is not Route.CHAT:
        named = (output.max_output_tokens,) if route is Route.RESPONSES else (output.max_tokens,)
    return (most for most in named if most is not None)
