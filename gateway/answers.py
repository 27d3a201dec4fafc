"""How much of an answer is in the events of a stream, whichever of the API's shapes they have."""

import re
from typing import Any

import msgspec

from gateway.usage import Relayed

# So many bytes of events wait to be looked at: most answers end, with their usage known, before it comes to that.
_HELD = 1 << 16
_DATA = b"data:"
# Of Responses events whose delta is no text.
_SOUND = "response.audio.delta"


class _Delta(msgspec.Struct, gc=False):
    content: Any = None
    refusal: Any = None
    reasoning_content: Any = None  # DeepSeek, vLLM
    reasoning: Any = None  # OpenRouter
    tool_calls: Any = None
    function_call: Any = None


class _Choice(msgspec.Struct, gc=False):
    delta: _Delta | None = None
    text: Any = None


class _Event(msgspec.Struct, gc=False):
    choices: list[_Choice] | None = None
    delta: Any = None
    type: Any = None


_event = msgspec.json.Decoder(_Event)


_string = msgspec.json.Decoder(str)
# The text behind each of these names, as the usual JSON writers put it, for a look at many events at once.
_NAMES = (b"content", b"delta", b"text", b"arguments", b"reasoning_content", b"reasoning", b"refusal")
_TEXTS = tuple(
    re.compile(b'"' + name + b'":' + space + rb'"([^"\\]*(?:\\.[^"\\]*)*)"') for name in _NAMES for space in (b"", b" ")
)


class AnswerCount:
    """Counts the events that carry text, and its characters: of content, refusals, reasoning and tools' arguments.

    Looking into every event takes as long as relaying it, so it is put off until somebody asks or enough is held; and
    as long as every event has its text where the one before had it, they are looked at all at once.
    """

    def __init__(self) -> None:
        self._held: list[bytes] = []
        self._size = 0
        self._text: re.Pattern[bytes] | None = None
        self._events = self._characters = 0

    def add(self, events: bytes) -> None:
        """Take whole events."""
        if self._size > _HELD or self._text is None:
            self._count()
        self._held.append(events)
        self._size += len(events)

    @property
    def latest(self) -> bytes:
        """The events that were taken last, as long as nobody has asked for the counts since."""
        return self._held[-1] if self._held else b""

    @property
    def relayed(self) -> Relayed:
        """The counts up to now."""
        self._count()
        return Relayed(self._events, self._characters)

    def _count(self) -> None:
        held, self._held, self._size = b"".join(self._held), [], 0
        found = _alike(held, self._text) if self._text else None
        if found is None:
            self._one_by_one(held)
        else:
            self._events += found.events
            self._characters += found.characters

    def _one_by_one(self, held: bytes) -> None:
        data = [line[len(_DATA) :] for line in held.splitlines() if line.startswith(_DATA)]
        sized = [(line, size) for line in data if (size := _characters(line))]
        self._events += len(sized)
        self._characters += sum(size for _, size in sized)
        if sized:
            self._text = _place_of_text(*sized[-1])


def _place_of_text(data: bytes, size: int) -> re.Pattern[bytes] | None:
    return next((text for text in _TEXTS if _length_of(text.findall(data)) == size), None)


def _alike(held: bytes, text: re.Pattern[bytes]) -> Relayed | None:
    """Count events of which each has its text in that place; None where that is not so."""
    found = text.findall(held)
    lines = 3 if held.startswith(b"event:") else 2
    if len(found) * lines != held.count(b"\n"):
        return None
    length = _length_of(found)
    return None if length is None else Relayed(len(found) - found.count(b""), length)


def _length_of(strings: list[bytes]) -> int | None:
    joined = b"".join(strings)
    if b"\\" not in joined and joined.isascii():
        return len(joined)
    try:
        return len(_string.decode(b'"' + joined + b'"'))
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _characters(data: bytes) -> int:
    try:
        event = _event.decode(data)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return 0
    if event.choices:
        return sum(map(_of_choice, event.choices))
    return len(event.delta) if isinstance(event.delta, str) and event.type != _SOUND else 0


def _of_choice(choice: _Choice) -> int:
    delta = choice.delta
    if delta is None:
        return _length(choice.text)
    said = _length(delta.content) + _length(delta.refusal) + _length(delta.reasoning_content or delta.reasoning)
    return said + _of_calls(delta) if delta.tool_calls or delta.function_call else said


def _of_calls(delta: _Delta) -> int:
    calls = delta.tool_calls if isinstance(delta.tool_calls, list) else []
    functions = [call.get("function") for call in calls if isinstance(call, dict)]
    return sum(_length(f.get("arguments")) for f in (*functions, delta.function_call) if isinstance(f, dict))


def _length(value: object) -> int:
    """Return the characters of a text, be it one string or, as Mistral sends it, parts with text in them."""
    if isinstance(value, str):
        return len(value)
    parts = value if isinstance(value, list) else []
    return sum(_length(part.get("text") or part.get("thinking")) for part in parts if isinstance(part, dict))
