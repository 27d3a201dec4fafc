"""A request as messages, each knowing where it stands in the body; `read` reads those of a chat request."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from gateway.windowing.spans import Node, Shape, document, locate
from gateway.windowing.types import Api

ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
INSTRUCTING = frozenset({"system", "developer"})
RESULTS = frozenset({"tool", "function"})
MAX_MESSAGES = 50_000

_REQUEST: Shape = {"messages": [None]}
_PARTS: Shape = [{}]
_PLAIN_PART = frozenset({"type", "text"})


@dataclass(frozen=True, slots=True)
class Form:
    """Where a message holds its texts: in which field ("": it is its text), in parts of which types.

    A part with further fields is not editable, but for `beside`, as long as these are empty.
    """

    field: str
    kinds: frozenset[str]
    beside: frozenset[str] = frozenset()


CHAT = Form("content", frozenset({"text"}))


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
    """One tool call."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Message:
    """One message, at body[start:end].

    `fixed` are further strings a model reads that are never changed (names, refusals, call arguments);
    `calls` is empty for a message that calls no tool; `answers` is a result's tool_call_id. A message that is
    not `understood` is neither changed nor removed; one with `attachments` (images, audio, files) is not removed.
    One that `leads` does not stand without what the assistant said or called directly after it.
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
    leads: bool = False
    form: Form = CHAT

    @property
    def length(self) -> int:
        """The characters of all its texts."""
        return sum(len(t.value) for t in self.texts)


@dataclass(frozen=True, slots=True)
class Conversation:
    """A whole request: `text` is its body, `start` and `end` where its messages stand in it.

    `instructions` stand beside the messages; `linked`: the upstream holds messages that come before these.
    """

    text: str
    start: int
    end: int
    model: str
    messages: tuple[Message, ...]
    tools: tuple[str, ...] = field(default=())
    instructions: str = ""
    linked: bool = False
    api: Api = Api.CHAT


def read(body: bytes) -> Conversation | None:
    """Return a chat request's conversation, or None where it is not one that we understand.

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
    return Conversation(text, array.start, array.end, string_of(fields, "model"), messages, tools)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a text stands in the body: its JSON string, and the part that holds it (its index among all `parts`)."""

    start: int
    end: int
    part: int = 0


def places(body: str, message: Message) -> tuple[tuple[Place, ...], tuple[tuple[int, int], ...]]:
    """Return the place of each of the message's texts, and the start and end of each part of its content."""
    content = _held(body, message)
    if content is None or not message.texts:
        return (), ()
    if not content.opened:
        return (Place(content.start, content.end),), ()
    kinds = message.form.kinds
    texts = [(i, n.fields["text"]) for i, n in enumerate(content.items) if n.fields["type"].value in kinds]
    return tuple(Place(n.start, n.end, i) for i, n in texts), tuple((n.start, n.end) for n in content.items)


def _held(body: str, message: Message) -> Node | None:
    name = message.form.field
    return locate(body, {name: _PARTS}, message.start).fields.get(name) if name else locate(body, None, message.start)


def _message(index: int, node: Node) -> Message:
    fields = node.value
    if not isinstance(fields, dict):
        return Message(index, node.start, node.end)
    role, content = string_of(fields, "role"), fields.get("content")
    calls, parts = _calls(fields), parts_of(index, content, CHAT)
    understood = role in ROLES and calls is not None and parts is not None
    return Message(
        index,
        node.start,
        node.end,
        role,
        texts=parts[0] if parts and understood else (),
        fixed=tuple(_fixed(fields, calls or ())),
        calls=(calls or ()) if understood else (),
        answers=string_of(fields, "tool_call_id"),
        name=string_of(fields, "name"),
        understood=understood,
        attachments=bool((parts and parts[1]) or fields.get("audio")),
        cached=is_marked(fields, "content", "tool_calls"),
    )


def parts_of(index: int, content: object, form: Form) -> tuple[tuple[Text, ...], bool] | None:
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
        kind = string_of(part, "type")
        if kind in form.kinds and isinstance(part.get("text"), str):
            texts.append(Text(index, len(texts), part["text"], editable=_is_plain(part, form)))
        elif kind and kind not in form.kinds:
            attachments = True
        else:
            return None
    return tuple(texts), attachments


def _is_plain(part: Mapping[str, object], form: Form) -> bool:
    further = part.keys() - _PLAIN_PART
    return not further or (further <= form.beside and not any(part[name] for name in further))


def _calls(fields: Mapping[str, object]) -> tuple[Call, ...] | None:
    """Return the message's tool calls (a legacy function_call is one); None where they are malformed."""
    calls, legacy = fields.get("tool_calls"), fields.get("function_call")
    if calls is not None and not isinstance(calls, list):
        return None
    found = [_call(string_of(c, "id"), c.get("function") if isinstance(c, dict) else None) for c in calls or ()]
    if isinstance(legacy, dict):
        found.append(_call("", legacy))
    return tuple(found)


def _call(identifier: str, function: object) -> Call:
    return Call(identifier, string_of(function, "name"), string_of(function, "arguments"))


def _fixed(fields: Mapping[str, object], calls: tuple[Call, ...]) -> Iterator[str]:
    """Yield what else a model reads of the message."""
    content = fields.get("content")
    yield from filter(None, (string_of(fields, "name"), string_of(fields, "refusal")))
    yield from (text for call in calls for text in (call.name, call.arguments) if text)
    yield from filter(None, (string_of(part, "refusal") for part in (content if isinstance(content, list) else ())))


def is_marked(fields: Mapping[str, object], *held: str) -> bool:
    """Whether the message, or anything in these lists of it, carries a mark of the provider's cache."""
    lists = (found for key in held if isinstance(found := fields.get(key), list))
    return "cache_control" in fields or any(isinstance(x, dict) and "cache_control" in x for xs in lists for x in xs)


def string_of(fields: object, key: str) -> str:
    """Return the field where it is a string, else an empty one."""
    value = fields.get(key) if isinstance(fields, dict) else None
    return value if isinstance(value, str) else ""
