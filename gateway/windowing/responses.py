"""A request to the Responses API as messages: a text is one of the user's, else each item of its input is one.

Items that the upstream pairs with what came with them (reasoning, the calls of its own tools, references) are left
alone, and so is whatever the assistant said or called directly after them: providers refuse the one without the other.
"""

import json
from collections.abc import Iterator, Mapping

from gateway.windowing.conversation import (
    INSTRUCTING,
    MAX_MESSAGES,
    ROLES,
    Call,
    Conversation,
    Form,
    Message,
    Text,
    is_marked,
    parts_of,
    string_of,
)
from gateway.windowing.spans import Node, Shape, document
from gateway.windowing.types import Api

_REQUEST: Shape = {"input": [None]}
_ROLES = INSTRUCTING | {"user", "assistant"}
_KINDS = frozenset({"input_text", "output_text"})
_BESIDE = frozenset({"annotations", "logprobs"})
_BARE = Form("", _KINDS)
_CONTENT = Form("content", _KINDS, _BESIDE)
_OUTPUT = Form("output", _KINDS, _BESIDE)
_CALLS = {"function_call": "arguments", "custom_tool_call": "input"}
_OUTPUTS = frozenset({"function_call_output", "custom_tool_call_output"})
_LINKS = ("previous_response_id", "conversation")
# Of an item that is left alone, what a model does not read as text.
_UNREAD = frozenset(
    ("id", "call_id", "type", "status", "role", "encrypted_content", "image_url", "file_data", "file_url", "result")
)


def read(body: bytes) -> Conversation | None:
    """Return the request's conversation, or None where it is not one that we understand; raises as for chat.

    None too for a template of the upstream's (`prompt`): what is asked may stand there.
    """
    text = body.decode("utf-8", "surrogatepass")
    root = document(text, _REQUEST)
    given = root.fields.get("input")
    fields = {key: node.value for key, node in root.fields.items()}
    messages = _messages(given) if given is not None and fields.get("prompt") is None else ()
    if given is None or not messages:
        return None
    tools = (json.dumps(fields["tools"], ensure_ascii=False),) if fields.get("tools") else ()
    return Conversation(
        text,
        given.start,
        given.end,
        string_of(fields, "model"),
        messages,
        tools,
        string_of(fields, "instructions"),
        any(fields.get(name) is not None for name in _LINKS),
        Api.RESPONSES,
    )


def _messages(given: Node) -> tuple[Message, ...]:
    if isinstance(given.value, str):
        return (Message(0, given.start, given.end, "user", (Text(0, 0, given.value),), understood=True, form=_BARE),)
    if len(given.items) > MAX_MESSAGES:
        return ()
    found = [_item(index, node, node.value) for index, node in enumerate(given.items) if isinstance(node.value, dict)]
    return tuple(found) if len(found) == len(given.items) else ()


def _item(index: int, node: Node, fields: Mapping[str, object]) -> Message:
    found = None
    kind = fields.get("type")
    if kind is None or kind == "message":
        found = _said(index, node, fields)
    elif isinstance(kind, str) and _is_for_the_model(fields):
        found = _called(index, node, fields, kind) if kind in _CALLS else None
        found = _returned(index, node, fields) if kind in _OUTPUTS else found
    return found or _left_alone(index, node, fields, kind)


def _said(index: int, node: Node, fields: Mapping[str, object]) -> Message | None:
    role, content = string_of(fields, "role"), fields.get("content")
    parts = None if content is None else parts_of(index, content, _CONTENT)
    if role not in _ROLES or parts is None:
        return None
    fixed = tuple(filter(None, (string_of(part, "refusal") for part in (content if isinstance(content, list) else ()))))
    return Message(
        index,
        node.start,
        node.end,
        role,
        parts[0],
        fixed,
        understood=True,
        attachments=parts[1],
        cached=is_marked(fields, "content"),
        form=_CONTENT,
    )


def _called(index: int, node: Node, fields: Mapping[str, object], kind: str) -> Message | None:
    call = Call(string_of(fields, "call_id"), string_of(fields, "name"), string_of(fields, _CALLS[kind]))
    if not call.id or not call.name or not isinstance(fields.get(_CALLS[kind]), str):
        return None
    fixed = tuple(filter(None, (call.name, call.arguments)))
    return Message(
        index,
        node.start,
        node.end,
        "assistant",
        fixed=fixed,
        calls=(call,),
        understood=True,
        cached=is_marked(fields),
        leads=True,
    )


def _returned(index: int, node: Node, fields: Mapping[str, object]) -> Message | None:
    answers, output = string_of(fields, "call_id"), fields.get("output")
    parts = None if output is None else parts_of(index, output, _OUTPUT)
    if not answers or parts is None:
        return None
    return Message(
        index,
        node.start,
        node.end,
        "tool",
        parts[0],
        answers=answers,
        understood=True,
        attachments=parts[1],
        cached=is_marked(fields, "output"),
        form=_OUTPUT,
    )


def _left_alone(index: int, node: Node, fields: Mapping[str, object], kind: object) -> Message:
    role = _role(fields, kind)
    return Message(
        index,
        node.start,
        node.end,
        role,
        fixed=tuple(_strings(fields)),
        answers=string_of(fields, "call_id"),
        cached=is_marked(fields, "content", "output"),
        leads=role in ("assistant", ""),
    )


def _role(fields: Mapping[str, object], kind: object) -> str:
    named = kind if isinstance(kind, str) else "message"
    if named == "message":
        return role if (role := string_of(fields, "role")) in ROLES else ""
    if named == "reasoning" or named.endswith("_call"):
        return "assistant"
    return "tool" if named in _OUTPUTS else ""


def _is_for_the_model(fields: Mapping[str, object]) -> bool:
    """Whether the model called, and reads what comes back: a program of its own needs the output whole."""
    caller = fields.get("caller")
    return caller is None or string_of(caller, "type") == "direct"


def _strings(fields: object) -> Iterator[str]:
    waiting = [fields]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            yield from () if value.startswith("data:") else (value,)
        elif isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            waiting += (inner for key, inner in value.items() if key not in _UNREAD)
