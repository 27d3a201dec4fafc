"""The beginning of a request, kept whole: all that is read of its documents up to its last large one.

Another question about the same documents, or one turn more behind them, finds it as it is. What follows is not known
when a segment is read (`UNKNOWN` stands for it in its 4-grams), and so changes nothing of what is kept.
"""

import sys
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from retrieval.blocks import LEAST
from retrieval.cache import CacheStats, ContentCache, content_key
from retrieval.lexical import Grams, Ints, Lexicon, follow_grams, follow_terms
from retrieval.types import Chunk, Document, Floats

_LARGE = 2 * LEAST  # characters of a document that is worth keeping whole
_CHUNK_BYTES = 160  # of a chunk besides its text and heading: object, two numbers, pointer (measured)
_STRING_BYTES = 64  # of a string besides its characters, and the pointer to it (measured)
_NUMBER_BYTES = 32  # of a number in a dictionary


@dataclass(frozen=True, slots=True)
class Segment:
    """All that is read of a run of documents; `row` is each chunk's place in `heads`, read as `headings`."""

    chunks: tuple[Chunk, ...]
    texts: tuple[str, ...]
    words: Lexicon
    heads: tuple[str, ...]
    headings: Lexicon
    row: Ints
    grams: Grams
    texture: Floats
    blocks: int

    def __post_init__(self) -> None:
        """Make the arrays read-only: requests share them."""
        for array in self._arrays():
            array.flags.writeable = False

    @property
    def size_bytes(self) -> int:
        """About what it takes in memory."""
        lexicons = (self.words, self.headings)
        numbers = sum(array.nbytes for array in self._arrays())
        terms = sum(sys.getsizeof(own.vocabulary) + _NUMBER_BYTES * len(own.vocabulary) for own in lexicons)
        headings = {chunk.heading for chunk in self.chunks}
        strings = sum(map(_strings, (self.texts, self.heads, headings, *(own.vocabulary for own in lexicons))))
        return 1000 + numbers + terms + strings + _CHUNK_BYTES * len(self.chunks)

    def _arrays(self) -> Iterator[npt.NDArray[Any]]:
        for own in (self.words, self.headings):
            yield from (own.rows, own.terms, own.frequency, own.lengths)
        yield from (self.grams.hashes, self.grams.lengths, self.row, self.texture)


class Segments:
    """Keeps the most recently used segments within a number of bytes; safe to share between threads."""

    def __init__(self, max_bytes: int) -> None:
        self._held = ContentCache[Segment](max_bytes)
        self._blocks = 0
        self._lock = threading.Lock()

    def get(self, key: bytes) -> Segment | None:
        """Return the segment of the key, or None."""
        found = self._held.get(key)
        if found is not None:
            with self._lock:
                self._blocks += found.blocks
        return found

    def put(self, key: bytes, segment: Segment, size_bytes: int) -> None:
        """Keep the segment, unless it would fill more than half of the bytes."""
        self._held.put(key, segment, size_bytes)

    def stats(self) -> CacheStats:
        """Return as hits the blocks that did not have to be looked up; what is missed is looked up in blocks."""
        held = self._held.stats()
        return CacheStats(self._blocks, 0, held.entries, held.size_bytes)


def beginnings(documents: Sequence[Document], counter: str) -> list[tuple[int, bytes]]:
    """Return where a segment may end, after each large document, and the key of all documents up to there."""
    found, before = [], counter.encode()
    for number, document in enumerate(documents):
        before = content_key(document.text, repr((before, document.name)).encode() + _atoms(document))
        if len(document.text) > _LARGE:
            found.append((number + 1, before))
    return found


def follow(first: Segment, then: Segment, read: Callable[[Sequence[str]], Lexicon]) -> Segment:
    """Return both as one segment; `read` reads the heads that only the second has."""
    if not first.chunks or not then.chunks:
        return first if first.chunks else then
    rows = {head: row for row, head in enumerate(first.heads)}
    places = np.array([rows.setdefault(head, len(rows)) for head in then.heads], dtype=np.int32)
    fresh = list(rows)[len(first.heads) :]
    return Segment(
        first.chunks + then.chunks,
        first.texts + then.texts,
        follow_terms(first.words, then.words),
        tuple(rows),
        follow_terms(first.headings, read(fresh)) if fresh else first.headings,
        np.concatenate([first.row, places[then.row]]),
        follow_grams(first.grams, first.texts, then.grams, then.texts),
        np.concatenate([first.texture, then.texture], axis=1),
        first.blocks + then.blocks,
    )


def _atoms(document: Document) -> bytes:
    if document.atoms is None:
        return b""
    starts, ends = [atom.start for atom in document.atoms], [atom.end for atom in document.atoms]
    headings = [atom.heading for atom in document.atoms]
    numbers = np.array([starts, ends, list(map(len, headings))], dtype=np.int64)
    return b"atoms" + numbers.tobytes() + "".join(headings).encode("utf-8", "surrogatepass")


def _strings(texts: Collection[str]) -> int:
    return sys.getsizeof("".join(texts)) + _STRING_BYTES * len(texts)
