"""Cuts texts into chunks: exact spans, by what the text is made of.

A text is first cut into units (lines; sentences of long lines; windows of long sentences), each with the strength of
the boundary before it. Units are then packed into chunks of about `TARGET` tokens that break at the strongest boundary
at hand. Everything is linear in the text.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from retrieval.headings import Outline, Strength
from retrieval.types import Chunk, Counter, Document, Floats

TARGET = 96  # tokens a chunk aims at
LIMIT = 128  # tokens after which even a weak boundary ends it
# A chunk may end at a boundary once it holds this many tokens: small before strong boundaries, so that a turn, a
# function or a paragraph stands alone, but never so small that the window is spent on crumbs.
_ENOUGH = {
    Strength.WINDOW: LIMIT,
    Strength.SENTENCE: LIMIT,
    Strength.LINE: TARGET,
    Strength.PARAGRAPH: 56,
    Strength.TURN: 32,
    Strength.HEADING: 24,
    Strength.TITLE: 1,
}
# Every alternative is tried only where its run begins, and takes all of it: linear even in a text of blanks or dots.
_SENTENCE = re.compile(
    r"(?:(?<![.!?…؟])[.!?…؟]++[\"'”’)\]]*+(?=\s)|[。！？；｡।॥]++[」』”’）)]*+)\s*+|(?<=\S)\s{2,}+(?=\S)"
)
_SPACE = re.compile(r"[\s,;:、，；：]")
Sizes = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Piece:
    """A chunk before its tokens are counted."""

    start: int
    end: int
    heading: str


def chunk_documents(documents: Sequence[Document], counter: Counter) -> tuple[Chunk, ...]:
    """Return the chunks of all documents in order; together they cover each text (its atoms, where given) once."""
    pieces = [(number, piece) for number, document in enumerate(documents) for piece in _pieces(document)]
    counts = counter.count_many([documents[number].text[piece.start : piece.end] for number, piece in pieces])
    return tuple(
        Chunk(number, piece.start, piece.end, tokens, piece.heading)
        for (number, piece), tokens in zip(pieces, counts, strict=True)
    )


def _pieces(document: Document) -> Iterator[_Piece]:
    if document.atoms is not None:
        yield from (_Piece(atom.start, atom.end, atom.heading) for atom in document.atoms if atom.end > atom.start)
    elif document.text:
        yield from _pack(document.text)


def _pack(text: str) -> Iterator[_Piece]:
    """Join units into chunks; a chunk of headings only takes what follows, whatever its strength."""
    outline = Outline(text)
    sizes = _running_size(text)
    start, held, bare = 0, 0.0, True
    heading = ""
    for begin, end, strength in _units(text, outline, sizes):
        size = float(sizes[end] - sizes[begin])
        full = held >= _ENOUGH[strength] or held + size > LIMIT
        if begin > start and full and not (bare and held + size <= LIMIT):
            yield _Piece(start, begin, heading)
            start, held, bare = begin, 0.0, True
        if bare:
            heading = outline.above()
        held += size
        bare = bare and strength >= Strength.HEADING
    if start < len(text):
        yield _Piece(start, len(text), heading)


def _units(text: str, outline: Outline, sizes: Sizes) -> Iterator[tuple[int, int, Strength]]:
    """Yield (start, end, strength of the boundary before it); blank lines belong to the unit before them."""
    start, begin, strength = 0, 0, Strength.TITLE
    for line in text.split("\n"):
        end = min(begin + len(line) + 1, len(text))
        if line and not line.isspace():
            if begin > start:
                yield from _cut(text, start, begin, strength, sizes)
                start = begin
            strength = outline.enter(line)
        else:
            outline.blank()
        begin = end
    if start < len(text):
        yield from _cut(text, start, len(text), strength, sizes)


def _cut(text: str, start: int, end: int, strength: Strength, sizes: Sizes) -> Iterator[tuple[int, int, Strength]]:
    """Cut a unit that is too long for one chunk into sentences, and these into windows."""
    if end - start <= TARGET or sizes[end] - sizes[start] <= TARGET:  # no character is more than a token
        yield start, end, strength
        return
    for begin, stop in _sentences(text, start, end):
        yield from _windows(text, begin, stop, strength, sizes)
        strength = Strength.SENTENCE


def _sentences(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    for match in _SENTENCE.finditer(text, start, end):
        if match.end() < end:
            yield start, match.end()
            start = match.end()
    yield start, end


def _windows(text: str, start: int, end: int, strength: Strength, sizes: Sizes) -> Iterator[tuple[int, int, Strength]]:
    """Cut a sentence that is too long at the last space or comma of every window, or anywhere where there is none."""
    while sizes[end] - sizes[start] > LIMIT:
        stop = int(np.searchsorted(sizes, sizes[start] + TARGET))
        spaces = [match.end() for match in _SPACE.finditer(text, start + (stop - start) * 2 // 3, stop)]
        stop = max(spaces[-1] if spaces else stop, start + 1)
        yield start, stop, strength
        start, strength = stop, Strength.WINDOW
    yield start, end, strength


@cache
def _weights() -> Floats:
    """Return the tokens that a character costs on average, float32[0x110000], by its place in Unicode.

    Only chunk sizes depend on this estimate; the tokens of a finished chunk are counted.
    """
    weights = np.full(0x110000, 1.0, dtype=np.float32)
    for upto, weight in ((0x3000, 0.45), (0x900, 0.4), (0x250, 0.5), (0x80, 0.19)):
        weights[:upto] = weight
    weights[0x3040:0x9FFF] = 0.75
    weights[0xAC00:0xD7AF] = 0.65
    for mark in map(chr, range(0x80)):
        if mark.isdigit():
            weights[ord(mark)] = 0.4
        elif not mark.isalpha() and mark != " ":
            weights[ord(mark)] = 0.6
    return weights


def _running_size(text: str) -> Sizes:
    """Return the estimated tokens before each character and at the end, float64[len + 1]."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    sizes = np.zeros(len(codes) + 1, dtype=np.float64)
    np.cumsum(_weights()[codes], out=sizes[1:])
    return sizes
