"""A request cut into small pieces, for methods that keep or drop whole messages, and put together again."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_SHORT_SYSTEM = 6000  # characters; score.py wants a shorter system message whole
_GAP = "\n[…]\n"
_ENDS = re.compile(r"(?<=\n)|(?<=[.!?] )|(?<=[。！？])")

Messages = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Piece:
    """Adjacent text of one message; a fixed piece (the question, short instructions) is never dropped."""

    message: int
    text: str
    fixed: bool = False


def cut(messages: Messages, question: str, size: int) -> tuple[Piece, ...]:
    """Return the texts of the messages as pieces of at most `size` UTF-8 bytes, in order; joined, they are the texts.

    Bytes, because a token is about four of them in any script.
    """
    last = max((i for i, m in enumerate(messages) if m["role"] == "user"), default=-1)
    return tuple(
        piece
        for index, message in enumerate(messages)
        for piece in _of_message(index, message, question if index == last else None, size)
    )


def _of_message(index: int, message: Mapping[str, Any], question: str | None, size: int) -> Iterator[Piece]:
    text = message.get("content") or ""
    if message["role"] in ("system", "developer") and len(text) <= _SHORT_SYSTEM:
        yield Piece(index, text, fixed=True)
        return
    before, asked, after = text.rpartition(question) if question else (text, "", "")
    yield from (Piece(index, part) for part in _small(before, size))
    if asked:
        yield Piece(index, asked, fixed=True)
    yield from (Piece(index, part) for part in _small(after, size))


def _small(text: str, size: int) -> Iterator[str]:
    """Cut behind lines and sentences, and anywhere where there are none."""
    part, used = "", 0
    for unit in (u for sentence in _ENDS.split(text) for u in _units(sentence, size)):
        length = _bytes(unit)
        if part and used + length > size:
            yield part
            part, used = "", 0
        part, used = part + unit, used + length
    if part:
        yield part


def _units(sentence: str, size: int) -> Iterator[str]:
    step = size if _bytes(sentence) <= size else size // 4  # no character has more than four bytes
    return (sentence[at : at + step] for at in range(0, len(sentence), step))


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def joined(messages: Messages, pieces: Sequence[Piece], kept: Mapping[int, str]) -> Messages:
    """Return the messages with the kept pieces' texts alone (by the piece's place), and a mark for every gap."""
    texts: dict[int, list[str]] = {}
    gaps: set[int] = set()
    for place, piece in enumerate(pieces):
        held = piece.text if piece.fixed else kept.get(place)
        if held is None:
            gaps.add(piece.message)
            continue
        own = texts.setdefault(piece.message, [])
        own.extend([_GAP, held] if own and piece.message in gaps else [held])
        gaps.discard(piece.message)
    # A message without a text keeps its place, for the order of roles and for the tool calls.
    return [
        {**m, "content": "".join(texts.get(i, []))} if isinstance(m.get("content"), str) else m
        for i, m in enumerate(messages)
    ]
