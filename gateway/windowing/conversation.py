"""A chat request as messages, each knowing where it stands in the body."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from gateway.windowing.spans import Node, Shape, document, locate

ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
INSTRUCTING = frozenset({"system", "developer"})
RESULTS = frozenset({"tool", "function"})
MAX_MESSAGES = 50_000

_REQUEST: Shape = {"messages": [None]}
_MESSAGE: Shape = {"content": [{}]}
_PLAIN_PART = frozenset({"type", "text"})


@dataclass(frozen=True, slots=True)
class Text:
    """A text that a model reads: the content of a message, or the n-th text among its parts.

    `editable` is false for what is understood but never changed (a part with further fields).
    """

    message: int
    place: int
    value: str
    editable: bool = True

    @property
    def key(self) -> tuple[int, int]:
        """What tells it from the request's other texts."""
        return self.message, self.place


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
    root = document(text, _REQUEST)
    array = root.fields.get("messages")
    if array is None or not array.opened or not 0 < len(array.items) <= MAX_MESSAGES:
        return None
    fields = {key: node.value for key, node in root.fields.items()}
    messages = tuple(_message(i, node) for i, node in enumerate(array.items))
    tools = tuple(json.dumps(fields[k], ensure_ascii=False) for k in ("tools", "functions") if fields.get(k))
    return Conversation(text, array.start, array.end, _string(fields, "model"), messages, tools)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a text stands in the body: its JSON string, and the part that holds it (its index among all `parts`)."""

    start: int
    end: int
    part: int = 0


def places(body: str, message: Message) -> tuple[tuple[Place, ...], tuple[tuple[int, int], ...]]:
    """Return the place of each of the message's texts, and the start and end of each part of its content."""
    content = locate(body, _MESSAGE, message.start).fields.get("content")
    if content is None or not message.texts:
        return (), ()
    if not content.opened:
        return (Place(content.start, content.end),), ()
    texts = [(i, n.fields["text"]) for i, n in enumerate(content.items) if n.fields["type"].value == "text"]
    return tuple(Place(n.start, n.end, i) for i, n in texts), tuple((n.start, n.end) for n in content.items)


def _message(index: int, node: Node) -> Message:
    fields = node.value
    if not isinstance(fields, dict):
        return Message(index, node.start, node.end)
    role, content = _string(fields, "role"), fields.get("content")
    calls, parts = _calls(fields), _parts(index, content)
    understood = role in ROLES and calls is not None and parts is not None
    return Message(
        index,
        node.start,
        node.end,
        role,
        texts=parts[0] if parts and understood else (),
        fixed=tuple(_fixed(fields, calls or ())),
        calls=(calls or ()) if understood else (),
        answers=_string(fields, "tool_call_id"),
        name=_string(fields, "name"),
        understood=understood,
        attachments=bool((parts and parts[1]) or fields.get("audio")),
        cached=_marked(fields),
    )


def _parts(index: int, content: object) -> tuple[tuple[Text, ...], bool] | None:
    """Return the content's texts and whether it holds anything else; None where it is of no known form."""
    if content is None:
        return (), False
    if isinstance(content, str):
        return (Text(index, 0, content),), False
    if not isinstance(content, list):
        return None
    texts: list[Text] = []
    attachments = False
    for part in content:
        kind = _string(part, "type")
        if kind == "text" and isinstance(part.get("text"), str):
            texts.append(Text(index, len(texts), part["text"], editable=part.keys() <= _PLAIN_PART))
        elif kind and kind != "text":
            attachments = True
        else:
            return None
    return tuple(texts), attachments


def _calls(fields: Mapping[str, object]) -> tuple[Call, ...] | None:
    """Return the message's tool calls (a legacy function_call is one); None where they are malformed."""
    calls, legacy = fields.get("tool_calls"), fields.get("function_call")
    if calls is not None and not isinstance(calls, list):
        return None
    found = [_call(_string(c, "id"), c.get("function") if isinstance(c, dict) else None) for c in calls or ()]
    if isinstance(legacy, dict):
        found.append(_call("", legacy))
    return tuple(found)


def _call(identifier: str, function: object) -> Call:
    return Call(identifier, _string(function, "name"), _string(function, "arguments"))


def _fixed(fields: Mapping[str, object], calls: tuple[Call, ...]) -> Iterator[str]:
    """Yield what else a model reads of the message."""
    content = fields.get("content")
    yield from filter(None, (_string(fields, "name"), _string(fields, "refusal")))
    yield from (text for call in calls for text in (call.name, call.arguments) if text)
    yield from filter(None, (_string(part, "refusal") for part in (content if isinstance(content, list) else ())))


def _marked(fields: Mapping[str, object]) -> bool:
    """Whether the message, one of its parts or one of its calls carries a mark of the provider's cache."""
    lists = (found for key in ("content", "tool_calls") if isinstance(found := fields.get(key), list))
    return "cache_control" in fields or any(isinstance(x, dict) and "cache_control" in x for xs in lists for x in xs)


def _string(fields: object, key: str) -> str:
    value = fields.get(key) if isinstance(fields, dict) else None
    return value if isinstance(value, str) else ""
