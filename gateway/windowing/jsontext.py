"""Tool results that are JSON: cut at whole elements, so that what is forwarded still parses.

A result becomes a tree of slices of its text. The leaves are the atoms that are kept or dropped; brackets, commas
and keys around them come back as they stood, and each run of dropped siblings becomes one marker: an element of its
own in an array, a member of its own in an object, a stretch inside a long string.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from gateway.windowing.markers import marker, measure
from gateway.windowing.spans import Entry, document, entries

RECORD = 900  # characters of a record that is kept or dropped whole, about 250 tokens
RUN = 240  # small neighbours are joined up to this length: a marker costs more than they do
PIECE = 400  # characters of a long string's pieces
_DEEPEST = 16
_MAX_HEADING = 200

_IDENTITY = re.compile(
    r"(?i)(?:^|[_\-\s])(?:id|key|name|title|number|no|code|date|time|url|uri|path|email|type|role)$|Id$|Name$"
)
# Atomic: a piece never ends inside an escape, whatever the matcher tries.
_UNIT = r"(?>\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\.|[^\\])"
_SOME = rf"{_UNIT}{{0,{PIECE}}}?"
_pieces = re.compile(
    rf"{_UNIT}{{{PIECE // 2}}}(?:{_SOME}(?:\\n)+|{_SOME}[.!?]\s|{_SOME}[。！？]|{_SOME}\s|{_UNIT}{{{PIECE}}})|{_UNIT}+",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Slice:
    """text[start:end], an atom or, with `inner`, a value that holds further slices.

    `count` is how many elements or fields it stands for, `noun` what they are called; `identity` marks the short
    fields that say which record this is. `open` and `close` bound what is inside the brackets or quotes.
    """

    start: int
    end: int
    count: int = 1
    noun: str = "element"
    heading: str = ""
    identity: bool = False
    inner: tuple["Slice", ...] = ()
    open: int = 0
    close: int = 0
    keys: frozenset[str] = field(default=frozenset())


def parse(text: str) -> Slice | None:
    """Return the tree of a text that is one JSON value; None where it is not (or is nested too deeply to read)."""
    try:
        node = document(text, None)
        return _slice(text, Entry(node.start, None, node), "element", "", 0)
    except (ValueError, RecursionError):
        return None


def atoms(root: Slice) -> tuple[Slice, ...]:
    """Return the leaves of the tree, in order."""
    return tuple(_leaves(root))


def identities(root: Slice) -> Iterator[tuple[range, tuple[int, ...]]]:
    """Yield, for each value that was cut: the ordinals of its atoms, and of those that say what it is."""
    yield from _identities(root, 0)[1]


def rendered(text: str, root: Slice, kept: frozenset[int]) -> str:
    """Return the text with only those atoms (ordinals of `atoms`) kept, markers in the places of the others."""
    body, _, _ = _render(text, root, kept, 0)
    return text[: root.start] + body + text[root.end :]


def _slice(text: str, entry: Entry, noun: str, heading: str, depth: int) -> Slice:
    start, node = entry.start, entry.node
    leaf = Slice(start, node.end, 1, noun, heading, _is_identity(entry))
    if _weight(text, start, node.end) <= RECORD or depth > _DEEPEST:
        return leaf
    if isinstance(node.value, str):
        return _string(text, leaf, node.start)
    if not isinstance(node.value, (dict, list)):
        return leaf
    found, _ = entries(text, node.start)
    kind = "field" if isinstance(node.value, dict) else "element"
    name = _joined(heading, entry.key or "")
    below = _joined(name, *_names(found))
    children = [_slice(text, e, kind, below, depth + 1) for e in found]
    keys = frozenset(e.key for e in found if e.key is not None)
    return Slice(start, node.end, 1, noun, heading, False, tuple(_packed(children)), node.start + 1, node.end - 1, keys)


def _string(text: str, leaf: Slice, start: int) -> Slice:
    found = _pieces.finditer(text, start + 1, leaf.end - 1)
    inner = tuple(Slice(m.start(), m.end(), 1, "line", leaf.heading) for m in found)
    return Slice(leaf.start, leaf.end, 1, leaf.noun, leaf.heading, False, inner, start + 1, leaf.end - 1)


def _packed(children: Sequence[Slice]) -> Iterator[Slice]:
    """Join runs of small leaves; what says which record this is stays by itself."""
    run: Slice | None = None
    for child in children:
        small = not child.inner and not child.identity and child.end - child.start <= RUN // 2
        if run and small and child.end - run.start <= RUN:
            run = Slice(run.start, child.end, run.count + child.count, child.noun, run.heading)
            continue
        if run:
            yield run
        run = child if small else None
        if not small:
            yield child
    if run:
        yield run


def _leaves(node: Slice) -> Iterator[Slice]:
    if not node.inner:
        yield node
    for child in node.inner:
        yield from _leaves(child)


def _identities(node: Slice, first: int) -> tuple[int, list[tuple[range, tuple[int, ...]]]]:
    if not node.inner:
        return first + 1, []
    at = first
    own: list[int] = []
    below: list[tuple[range, tuple[int, ...]]] = []
    for child in node.inner:
        if child.identity:
            own.append(at)
        at, found = _identities(child, at)
        below += found
    return at, [(range(first, at), tuple(own)), *below] if own else below


def _render(text: str, node: Slice, kept: frozenset[int], first: int) -> tuple[str, int, bool]:
    """Return the slice as it is forwarded, the ordinal after its last atom, and whether anything of it is kept."""
    if not node.inner:
        return text[node.start : node.end], first + 1, first in kept
    shown: list[tuple[str, bool]] = []
    at = first
    for child in node.inner:
        body, at, any_kept = _render(text, child, kept, at)
        shown.append((body, any_kept))
    if not any(k for _, k in shown):
        return text[node.start : node.end], at, False
    inner = _string_body(text, node, shown) if node.inner[0].noun == "line" else _container_body(text, node, shown)
    return text[node.start : node.open] + inner + text[node.close : node.end], at, True


def _container_body(text: str, node: Slice, shown: Sequence[tuple[str, bool]]) -> str:
    parts: list[str] = []
    spare = iter(_spare_keys(node.keys))
    head = text[node.open : node.inner[0].start]
    tail = text[node.inner[-1].end : node.close]
    # A marker stands on a line of its own, indented as its siblings are.
    line = head if "\n" in head else "\n"
    for first, last, kept in _runs(shown):
        final = last == len(shown)
        if kept:
            # After a marker, the comma and the line break are already written.
            parts += ("" if first else head, *_with_separators(text, node, shown, first, last), tail if final else "")
        else:
            sign = marker(sum(c.count for c in node.inner[first:last]), node.inner[0].noun)
            key = f'"{next(spare)}": ' if node.keys else ""
            comma = _separator(text, node, first).partition(",") if first else ("", "", "")
            after = (tail if "\n" in tail else "\n") if final else f",{line}"
            parts += (*comma[:2], line, key, f'"{sign}"', after)
    return "".join(parts)


def _with_separators(text: str, node: Slice, shown: Sequence[tuple[str, bool]], first: int, last: int) -> Iterator[str]:
    for at in range(first, last):
        if at > first:
            yield _separator(text, node, at)
        yield shown[at][0]


def _separator(text: str, node: Slice, at: int) -> str:
    """Return what stands before the child: the comma and the blanks around it."""
    return text[node.inner[at - 1].end : node.inner[at].start]


def _string_body(text: str, node: Slice, shown: Sequence[tuple[str, bool]]) -> str:
    parts: list[str] = []
    for first, last, kept in _runs(shown):
        stretch = text[node.inner[first].start : node.inner[last - 1].end]
        parts.append(stretch if kept else f" {measure(json.loads(chr(34) + stretch + chr(34)))} ")
    return "".join(parts)


def _runs(shown: Sequence[tuple[str, bool]]) -> Iterator[tuple[int, int, bool]]:
    first = 0
    for at in range(1, len(shown) + 1):
        if at == len(shown) or shown[at][1] != shown[first][1]:
            yield first, at, shown[first][1]
            first = at


def _spare_keys(keys: frozenset[str]) -> Iterator[str]:
    """Yield keys for the markers that the object does not have."""
    at = 0
    while True:
        at += 1
        key = "…" if at == 1 else f"… {at}"
        if key not in keys:
            yield key


def _weight(text: str, start: int, end: int) -> int:
    """The characters without the blanks of indentation, which cost few tokens."""
    if end - start <= RECORD:
        return end - start
    return len("".join(text[start : min(end, start + 4 * RECORD)].split()))


def _is_identity(entry: Entry) -> bool:
    value = entry.node.value
    scalar = isinstance(value, (str, int, float)) and not isinstance(value, bool)
    return (
        scalar and entry.key is not None and entry.node.end - entry.start <= 120 and bool(_IDENTITY.search(entry.key))
    )


def _names(found: Sequence[Entry]) -> Iterator[str]:
    for entry in found:
        if _is_identity(entry):
            yield f"{entry.key}: {entry.node.value}"


def _joined(*parts: str) -> str:
    return " ".join(filter(None, parts))[:_MAX_HEADING]
