"""A chat request as messages whose texts know where they stand in the body."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field

from gateway.windowing.spans import Node, Shape, document

ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
INSTRUCTING = frozenset({"system", "developer"})
RESULTS = frozenset({"tool", "function"})
MAX_MESSAGES = 50_000

_SHAPE: Shape = {
    "messages": [{"content": [{}], "tool_calls": [{"function": {}}], "function_call": {}}],
    "tools": None,
}
_PLAIN_PART = frozenset({"type", "text"})
_CACHE_MARK = '"cache_control"'


@dataclass(frozen=True, slots=True)
class Text:
    """A text that a model reads: `value`, written as the JSON string at body[start:end].

    `editable` is false for what is understood but never changed (a part with further fields).
    """

    message: int
    start: int
    end: int
    value: str
    editable: bool = True


@dataclass(frozen=True, slots=True)
class Call:
    """One tool call of an assistant message."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Message:
    """One message, at body[start:end].

    `fixed` are further strings a model reads that are never changed (names, refusals, call arguments);
    `calls` is empty for a message that calls no tool; `answers` is a result's tool_call_id. A message that is
    not `understood` is neither changed nor removed; one with `attachments` (images, audio, files) is not removed.
    """

    index: int
    start: int
    end: int
    role: str = ""
    texts: tuple[Text, ...] = ()
    fixed: tuple[str, ...] = ()
    calls: tuple[Call, ...] = ()
    answers: str = ""
    name: str = ""
    understood: bool = False
    attachments: bool = False
    cached: bool = False

    @property
    def length(self) -> int:
        """The characters of all its texts."""
        return sum(len(t.value) for t in self.texts)


@dataclass(frozen=True, slots=True)
class Conversation:
    """A whole request: `text` is its body, `start` and `end` where the messages array stands in it."""

    text: str
    start: int
    end: int
    model: str
    messages: tuple[Message, ...]
    tools: tuple[str, ...] = field(default=())


def read(body: bytes) -> Conversation | None:
    """Return the request's conversation, or None where it is not one that we understand.

    Raises ValueError (json.JSONDecodeError, UnicodeDecodeError) for what is not JSON in UTF-8, and
    RecursionError for what is nested deeper than the standard library reads.
    """
    text = body.decode("utf-8", "surrogatepass")
    root = document(text, _SHAPE)
    array = root.fields.get("messages")
    if array is None or not array.opened or not 0 < len(array.items) <= MAX_MESSAGES:
        return None
    messages = tuple(_message(i, node, text) for i, node in enumerate(array.items))
    tools = tuple(json.dumps(n.value, ensure_ascii=False) for k in ("tools", "functions") if (n := root.fields.get(k)))
    return Conversation(text, array.start, array.end, _string(root.fields.get("model")), messages, tools)


def _message(index: int, node: Node, text: str) -> Message:
    fields = node.fields
    role = _string(fields.get("role"))
    content = fields.get("content")
    calls = _calls(fields)
    # The mark may sit on the message, on a part, or deeper: its name in the raw text is looked for first.
    cached = text.find(_CACHE_MARK, node.start, node.end) >= 0 and _marked(fields)
    message = Message(
        index, node.start, node.end, role, fixed=_fixed(fields, calls), cached=cached, name=_string(fields.get("name"))
    )
    if not node.opened or role not in ROLES or calls is None:
        return message
    parts = _parts(index, content)
    if parts is None:
        return message
    texts, attachments = parts
    return Message(
        index, node.start, node.end, role, texts, (*message.fixed, *_refusals(content)), calls,
        _string(fields.get("tool_call_id")), message.name, True, attachments, cached,
    )  # fmt: skip


def _parts(index: int, content: Node | None) -> tuple[tuple[Text, ...], bool] | None:
    """Return the content's texts and whether it holds anything else; None where it is of no known form."""
    if content is None or (content.value is None and not content.opened):
        return (), False
    if isinstance(content.value, str):
        return (Text(index, content.start, content.end, content.value),), False
    if not content.opened:
        return None
    texts: list[Text] = []
    attachments = False
    for part in content.items:
        kind = _string(part.fields.get("type"))
        value = part.fields.get("text")
        if kind == "text" and value is not None and isinstance(value.value, str):
            plain = part.fields.keys() <= _PLAIN_PART
            texts.append(Text(index, value.start, value.end, value.value, editable=plain))
        elif part.opened and kind and kind != "text":
            attachments = True
        else:
            return None
    return tuple(texts), attachments


def _calls(fields: dict[str, Node]) -> tuple[Call, ...] | None:
    """Return the message's tool calls (a legacy function_call is one); None where they are malformed."""
    found: list[Call] = []
    calls = fields.get("tool_calls")
    if calls is not None and calls.opened:
        for item in calls.items:
            function = item.fields.get("function")
            found.append(_call(_string(item.fields.get("id")), function.fields if function else {}))
    elif calls is not None and calls.value is not None:
        return None
    legacy = fields.get("function_call")
    if legacy is not None and legacy.opened:
        found.append(_call("", legacy.fields))
    return tuple(found)


def _call(identifier: str, fields: dict[str, Node]) -> Call:
    return Call(identifier, _string(fields.get("name")), _string(fields.get("arguments")))


def _fixed(fields: dict[str, Node], calls: tuple[Call, ...] | None) -> tuple[str, ...]:
    own = (_string(fields.get(key)) for key in ("name", "refusal"))
    called = (text for call in calls or () for text in (call.name, call.arguments))
    return tuple(text for text in (*own, *called) if text)


def _refusals(content: Node | None) -> Iterator[str]:
    for part in content.items if content else ():
        if text := _string(part.fields.get("refusal")):
            yield text


def _marked(fields: dict[str, Node]) -> bool:
    if "cache_control" in fields:
        return True
    content, calls = fields.get("content"), fields.get("tool_calls")
    return any("cache_control" in item.fields for node in (content, calls) if node for item in node.items)


def _string(node: Node | None) -> str:
    return node.value if node is not None and isinstance(node.value, str) else ""
