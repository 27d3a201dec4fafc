"""Where the values of a JSON text stand, so that a change touches its own characters only.

The text is walked with the standard library's own decoder, one value at a time: what it says of duplicate keys
(the last wins), NaN, 1e400 or lone surrogates is what the standard library says, and all that is not changed is
never written again.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

Shape: TypeAlias = "dict[str, Shape] | list[Shape] | None"
"""How far to look inside a value: a dict names the fields, a list holds its elements' shape, None stops."""

_decode = json.JSONDecoder().raw_decode
_blanks = frozenset(" \t\n\r")
_space = re.compile(r"[ \t\n\r]*+")
_surrogates = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Node:
    """A value at text[start:end]; `value` is decoded where the shape stopped, else `fields` or `items` are set."""

    start: int
    end: int
    value: object = None
    fields: dict[str, "Node"] = field(default_factory=dict)
    items: tuple["Node", ...] = ()
    opened: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """One element of an array, or one member of an object: `start` includes the key."""

    start: int
    key: str | None
    node: Node


@dataclass(frozen=True, slots=True)
class Edit:
    """text[start:end] becomes `text`."""

    start: int
    end: int
    text: str


def locate(text: str, shape: Shape = None, at: int = 0) -> Node:
    """Return the value that begins at or after `at`, opened as far as the shape says.

    Raises json.JSONDecodeError where the standard library would, RecursionError when nested too deeply for it.
    """
    start = _skip(text, at)
    head = text[start : start + 1]
    if isinstance(shape, dict) and head == "{":
        found, end = entries(text, start, shape)
        return Node(start, end, fields={e.key: e.node for e in found if e.key is not None}, opened=True)
    if isinstance(shape, list) and head == "[":
        found, end = entries(text, start, shape)
        return Node(start, end, items=tuple(e.node for e in found), opened=True)
    value, end = _decode(text, start)
    return Node(start, end, value)


def document(text: str, shape: Shape) -> Node:
    """Return the one value that the whole text is; raises json.JSONDecodeError where it is not one."""
    node = locate(text, shape)
    if (end := _skip(text, node.end)) != len(text):
        raise json.JSONDecodeError("Extra data", text, end)
    return node


def entries(text: str, start: int, shape: Shape = None) -> tuple[list[Entry], int]:
    """Return the entries of the array or object whose bracket is text[start], and where it ends."""
    keyed = text[start] == "{"
    close = "}" if keyed else "]"
    found: list[Entry] = []
    at = _skip(text, start + 1)
    if text.startswith(close, at):
        return found, at + 1
    while True:
        entry = _member(text, at, shape) if keyed else Entry(at, None, locate(text, _inner(shape), at))
        found.append(entry)
        at = _skip(text, entry.node.end)
        if text.startswith(close, at):
            return found, at + 1
        if not text.startswith(",", at):
            raise json.JSONDecodeError("Expecting ',' delimiter", text, at)
        at = _skip(text, at + 1)


def quoted(value: str, ascii_only: bool) -> str:
    """Return the value as a JSON string; lone surrogates are escaped in either style."""
    if ascii_only:
        return json.dumps(value)
    return _surrogates.sub(lambda m: f"\\u{ord(m[0]):04x}", json.dumps(value, ensure_ascii=False))


def spliced(text: str, edits: Iterable[Edit]) -> str:
    """Return the text with every edit made; the edits are disjoint, in any order."""
    parts: list[str] = []
    at = 0
    for edit in sorted(edits, key=lambda e: (e.start, e.end)):
        parts += (text[at : edit.start], edit.text)
        at = edit.end
    return "".join((*parts, text[at:]))


def removals(elements: Sequence[tuple[int, int]], kept: Sequence[bool]) -> Iterator[Edit]:
    """Yield what removes the elements of an array that are not kept, each with exactly one comma; one at least is."""
    first = list(kept).index(True)
    for at, (start, end) in enumerate(elements):
        if not kept[at]:
            yield Edit(start, elements[at + 1][0], "") if at < first else Edit(elements[at - 1][1], end, "")


def _member(text: str, at: int, shape: Shape) -> Entry:
    key, end = _decode(text, at)
    colon = _skip(text, end)
    if not isinstance(key, str):
        raise json.JSONDecodeError("Expecting property name enclosed in double quotes", text, at)
    if not text.startswith(":", colon):
        raise json.JSONDecodeError("Expecting ':' delimiter", text, colon)
    inner = shape.get(key) if isinstance(shape, dict) else None
    return Entry(at, key, locate(text, inner, colon + 1))


def _inner(shape: Shape) -> Shape:
    return shape[0] if isinstance(shape, list) else None


def _skip(text: str, at: int) -> int:
    if text[at : at + 1] not in _blanks:
        return at
    found = _space.match(text, at)
    return found.end() if found else at
