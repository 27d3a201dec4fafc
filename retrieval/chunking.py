"""Cuts texts into chunks: exact spans, by what the text is made of.

A text is first cut into units (lines; sentences of long lines; windows of long sentences), each with the strength of
the boundary before it. Units are then packed into chunks of about `TARGET` tokens that break at the strongest boundary
at hand. Everything is linear in the text.

A long text is read in blocks, each with what the one before carries over: what a block became is kept, and serves
wherever the same block follows the same carry.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from retrieval.blocks import LEAST, spans
from retrieval.cache import ContentCache, content_key
from retrieval.headings import SAMPLE, Above, Outline, Strength
from retrieval.terms import codes_of
from retrieval.types import Document, Floats

TARGET = 96  # tokens a chunk aims at
LIMIT = 128  # tokens after which even a weak boundary ends it
# A chunk may end at a boundary once it holds this many tokens: small before strong boundaries, so that a turn, a
# function or a paragraph stands alone, but never so small that the window is spent on crumbs.
_ENOUGH = (LIMIT, LIMIT, TARGET, 56, 32, 24, 1)  # by Strength: window, sentence, line, paragraph, turn, heading, title
_HEADING = Strength.HEADING
# Every alternative is tried only where its run begins, and takes all of it: linear even in a text of blanks or dots.
_SENTENCE = re.compile(
    r"(?:(?<![.!?…؟])[.!?…؟]++[\"'”’)\]]*+(?=\s)|[。！？；｡।॥]++[」』”’）)]*+)\s*+|(?<=\S)\s{2,}+(?=\S)"
)
_SPACE = re.compile(r"[\s,;:、，；：]")
Sizes = npt.NDArray[np.float64]


_PIECE_BYTES = 200  # that a kept piece takes: a tuple, two numbers, a pointer (measured), and a share of its heading

Piece = tuple[int, int, str]  # start and end in the text, heading


@dataclass(frozen=True, slots=True)
class _Carry:
    """What a block leaves to the next: the outline, and the chunk that is still open."""

    outline: Above
    behind: int = 0  # characters of the open chunk before the block
    held: float = 0.0
    bare: bool = True
    heading: str = ""


@dataclass(frozen=True, slots=True)
class Packed:
    """What a block became: the chunks that end in it, counted from its start, and what it carries over."""

    pieces: tuple[Piece, ...]
    carry: _Carry
    key: bytes

    @property
    def size_bytes(self) -> int:
        """About what it takes in memory."""
        return 1000 + len(self.pieces) * _PIECE_BYTES + sum({len(heading) for _, _, heading in self.pieces})


_NOTHING = _Carry(Above(code=False))
Packs = ContentCache[Packed]


def cut_documents(documents: Sequence[Document], known: Packs) -> Iterator[tuple[int, Piece]]:
    """Yield the pieces of all documents in order, with their documents' numbers.

    Together they cover each text (its atoms, where given) once.
    """
    for number, document in enumerate(documents):
        for piece in _pieces(document, known):
            yield number, piece


def _pieces(document: Document, known: Packs) -> Iterator[Piece]:
    if document.atoms is not None:
        yield from ((atom.start, atom.end, atom.heading) for atom in document.atoms if atom.end > atom.start)
    else:
        yield from _text_pieces(document.text, known)


def _text_pieces(text: str, known: Packs) -> Iterator[Piece]:
    carry, beside = _NOTHING, b""
    for begin, end in spans(text):
        # How the first block is read depends on a little more of the text than itself.
        seen = text[begin:end] if begin else text[: max(end, SAMPLE)]
        key = content_key(seen, b"%d " % (end - begin) + beside)
        packed = known.get(key)
        if packed is None:
            packed = _packed(text[begin:end], carry if begin else _Carry(Above.beginning(text)))
            known.put(key, packed, packed.size_bytes)
        yield from ((begin + start, begin + stop, heading) for start, stop, heading in packed.pieces)
        carry, beside = packed.carry, packed.key
    if text and carry.behind:
        yield len(text) - carry.behind, len(text), carry.heading


def _packed(block: str, carry: _Carry) -> Packed:
    """Join units into chunks; a chunk of headings only takes what follows, whatever its strength."""
    outline = Outline(carry.outline)
    sizes = _running_size(block)
    start, held, bare, heading = -carry.behind, carry.held, carry.bare, carry.heading
    pieces: list[Piece] = []
    for begin, strength, size in _units(block, outline, sizes):
        full = held >= _ENOUGH[strength] or held + size > LIMIT
        if begin > start and full and not (bare and held + size <= LIMIT):
            pieces.append((start, begin, heading))
            start, held, bare = begin, 0.0, True
        if bare:
            heading = outline.above()
        held += size
        bare = bare and strength >= _HEADING
    if len(block) <= LEAST:  # the last of its text
        return Packed(tuple(pieces), _Carry(carry.outline, len(block) - start, heading=heading), b"")
    left = _Carry(outline.interrupted(), len(block) - start, held, bare, heading)
    return Packed(tuple(pieces), left, content_key(repr(left)))


_Unit = tuple[int, Strength, float]  # start, strength of the boundary before it, estimated tokens


def _units(text: str, outline: Outline, sizes: Sizes) -> Iterator[_Unit]:
    """Yield the units, each when the outline is at its line; blank lines belong to the unit before them."""
    lines = list(_lines(text))
    edges = [*(start for start, _ in lines), len(text)]
    upto = list(map(sizes.item, edges))
    if edges[0] > 0:
        yield from _cut(text, 0, edges[0], Strength.TITLE, sizes)
        outline.blank()
    for at, (start, line) in enumerate(lines):
        strength, end = outline.enter(line), edges[at + 1]
        size = upto[at + 1] - upto[at]
        if size <= TARGET:
            yield start, strength, size
        else:
            yield from _cut(text, start, end, strength, sizes)
        if end > start + len(line) + 1:
            outline.blank()


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield each line that is not blank, with its start."""
    start = 0
    for line in text.split("\n"):
        if line and not line.isspace():
            yield start, line
        start += len(line) + 1


def _cut(text: str, start: int, end: int, strength: Strength, sizes: Sizes) -> Iterator[_Unit]:
    """Cut a unit that is too long for one chunk into sentences, and these into windows."""
    if sizes[end] - sizes[start] <= TARGET:
        yield start, strength, float(sizes[end] - sizes[start])
        return
    for begin, stop in _sentences(text, start, end):
        for first, last, own in _windows(text, begin, stop, strength, sizes):
            yield first, own, float(sizes[last] - sizes[first])
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
    """Return the estimated tokens before each character and at the end, float64[len + 1]; exact as sums."""
    codes = codes_of(text)
    sizes = np.zeros(len(codes) + 1, dtype=np.float64)
    np.cumsum(_weights()[codes], out=sizes[1:])
    return sizes
