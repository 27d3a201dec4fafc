"""What of a request's texts does not depend on its question: chunks, their tokens, terms, 4-grams and texture.

It is made in blocks, and each block is kept by its content: another question about the same texts, or one turn more of
the same conversation, finds nearly all of it done. What is read of a request's beginning is kept whole as well
(segments.py), and then nothing has to be put together again.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain, islice

import numpy as np
import numpy.typing as npt

from retrieval.blocks import groups
from retrieval.cache import CacheStats, ContentCache, content_key
from retrieval.chunking import Packs, Piece, cut_documents
from retrieval.lexical import (
    GRAM,
    UNKNOWN,
    Grams,
    Ints,
    Lexicon,
    Terms,
    end_grams,
    join_grams,
    join_terms,
    read_grams,
    read_terms,
)
from retrieval.segments import Segment, Segments, beginnings, follow
from retrieval.terms import codes_of
from retrieval.types import Chunk, Counter, Deadline, Document, Floats

TEXTURE = ("digits", "capitals", "marks", "asks")
_SMALL_SHARE = 16  # one part of so many of the bytes for where chunks begin and end, and one for their headings
_REQUEST_SHARE = 2  # one part of so many of the bytes that a single request may fill
_TERM_BYTES = 64  # of a term besides its characters: the string's header, and the pointer to it (measured)


@dataclass(frozen=True, slots=True)
class Block:
    """What is read of a run of chunk texts: their tokens, terms, 4-grams, and texture[len(TEXTURE), n]."""

    tokens: tuple[int, ...]
    terms: Terms
    grams: Grams
    texture: Floats

    @property
    def size_bytes(self) -> int:
        """About what it takes in memory."""
        arrays = (self.grams.hashes, self.grams.lengths, self.texture)
        return 1000 + sum(array.nbytes for array in arrays) + 36 * len(self.tokens) + _size_of(self.terms)


@dataclass(frozen=True, slots=True)
class Passages:
    """The chunks of a request with all that is read of them."""

    documents: Sequence[Document]
    chunks: tuple[Chunk, ...]
    texts: Sequence[str]
    words: Lexicon
    headings: Lexicon
    heading_row: Ints
    grams: Grams
    texture: Floats

    @property
    def size(self) -> int:
        """The number of chunks."""
        return len(self.chunks)


class Prepared:
    """Reads the texts of requests, and keeps what it read within a number of bytes; safe to share between threads."""

    def __init__(self, max_bytes: int) -> None:
        small = max_bytes // _SMALL_SHARE
        large = (max_bytes - 2 * small) // 2
        self._packs = Packs(small)
        self._headings = ContentCache[Terms](small)
        self._blocks = ContentCache[Block](large)
        self._segments = Segments(large)
        self._most = large // _REQUEST_SHARE

    def stats(self) -> CacheStats:
        """Return how often a block was found, by itself or in a segment, and what is held of all kinds."""
        blocks, segments = self._blocks.stats(), self._segments.stats()
        held = sum(kept.stats().size_bytes for kept in (self._packs, self._headings))
        return CacheStats(
            blocks.hits + segments.hits,
            blocks.misses,
            blocks.entries + segments.entries,
            held + blocks.size_bytes + segments.size_bytes,
        )

    def read(self, documents: Sequence[Document], counter: Counter, deadline: Deadline) -> Passages:
        """Cut the documents into chunks and read these; raises DeadlineExceededError between stages."""
        read = self._whole(documents, counter, deadline)
        return Passages(
            documents, read.chunks, read.texts, read.words, read.headings, read.row, end_grams(read.grams), read.texture
        )

    def _whole(self, documents: Sequence[Document], counter: Counter, deadline: Deadline) -> Segment:
        """Return all that is read of the documents, with as long a beginning as is kept."""
        ends = beginnings(documents, counter.name)
        start, known = self._known(ends)
        end = ends[-1][0] if ends else 0
        runs = [run for run in (range(start, end), range(end, len(documents))) if run]
        fresh = self._fresh(documents, runs, counter, deadline)
        whole = known
        for run, segment in zip(runs, fresh, strict=True):
            whole = segment if whole is None else follow(whole, segment, self._read_heads)
            if ends and run.stop == end:
                self._segments.put(ends[-1][1], whole, whole.size_bytes)
        return whole if whole is not None else _segment(documents, (), (), (), self._read_heads)

    def _known(self, ends: Sequence[tuple[int, bytes]]) -> tuple[int, Segment | None]:
        """Return the longest beginning that is kept, and the number of its documents."""
        for end, key in reversed(ends):
            segment = self._segments.get(key)
            if segment is not None:
                return end, segment
        return 0, None

    def _fresh(
        self, documents: Sequence[Document], runs: Sequence[range], counter: Counter, deadline: Deadline
    ) -> list[Segment]:
        """Return the segments of the runs of documents, from the blocks kept where they are there."""
        cut = [list(cut_documents(documents[run.start : run.stop], self._packs)) for run in runs]
        deadline.check()
        pieces = [[(run.start + number, p) for number, p in own] for run, own in zip(runs, cut, strict=True)]
        texts = [tuple(documents[number].text[start:end] for number, (start, end, _) in own) for own in pieces]
        blocks = self._read(texts, counter, deadline)
        return [_segment(documents, *read, self._read_heads) for read in zip(pieces, texts, blocks, strict=True)]

    def _read(self, parts: Sequence[Sequence[str]], counter: Counter, deadline: Deadline) -> list[list[Block]]:
        """Return the blocks of each part's chunk texts, from those kept where they are there."""
        cut = [list(_block_runs(texts)) for texts in parts]
        runs = list(chain.from_iterable(cut))
        keys = [_key(own, f"{counter.name} {following}") for own, following in runs]
        found = [self._blocks.get(key) for key in keys]
        missing = [at for at, block in enumerate(found) if block is None]
        fresh = read_blocks([runs[at] for at in missing], counter, deadline)
        left = self._most
        for at, block in zip(missing, fresh, strict=True):
            found[at] = block
            left -= block.size_bytes
            if left >= 0:  # a huge request does not push out everything else
                self._blocks.put(keys[at], block, block.size_bytes)
        blocks = iter([block for block in found if block is not None])
        return [list(islice(blocks, len(own))) for own in cut]

    def _read_heads(self, heads: Sequence[str]) -> Lexicon:
        return join_terms(self._read_headings(heads))

    def _read_headings(self, headings: Sequence[str]) -> list[Terms]:
        found: list[Terms] = []
        for start, end in groups(headings):
            own = headings[start:end]
            key = _key(own, "")
            terms = self._headings.get(key)
            if terms is None:
                terms = read_terms(own)
                self._headings.put(key, terms, _size_of(terms))
            found.append(terms)
        return found


def _block_runs(texts: Sequence[str]) -> Iterator[tuple[Sequence[str], str]]:
    """Yield each block's texts, with how the text after them begins."""
    for start, end in groups(texts):
        beyond = "".join(f"{text}\n" for text in texts[end : end + GRAM])
        yield texts[start:end], (beyond + UNKNOWN)[:GRAM]


def _segment(
    documents: Sequence[Document],
    pieces: Sequence[tuple[int, Piece]],
    texts: tuple[str, ...],
    blocks: Sequence[Block],
    read_heads: Callable[[Sequence[str]], Lexicon],
) -> Segment:
    tokens = (count for block in blocks for count in block.tokens)
    chunks = tuple(
        Chunk(number, start, end, count, heading)
        for (number, (start, end, heading)), count in zip(pieces, tokens, strict=True)
    )
    rows: dict[str, int] = {}
    heads = (f"{documents[chunk.document].name} {chunk.heading}".strip() for chunk in chunks)
    row = np.fromiter((rows.setdefault(head, len(rows)) for head in heads), dtype=np.int32, count=len(chunks))
    return Segment(
        chunks,
        texts,
        join_terms([block.terms for block in blocks]),
        tuple(rows),
        read_heads(list(rows)),
        row,
        join_grams([block.grams for block in blocks]),
        np.concatenate([np.empty((len(TEXTURE), 0), np.float32), *(block.texture for block in blocks)], axis=1),
        len(blocks),
    )


def read_blocks(runs: Sequence[tuple[Sequence[str], str]], counter: Counter, deadline: Deadline) -> list[Block]:
    """Read runs of chunk texts, each with how the text after it begins; raises DeadlineExceededError between stages."""
    # One kind of work after the other: each keeps to tables of its own, which is a fifth faster than block by block.
    tokens = [tuple(counter.count_many(texts)) for texts, _ in runs]
    deadline.check()
    terms = [read_terms(texts) for texts, _ in runs]
    deadline.check()
    grams = [read_grams(texts, following) for texts, following in runs]
    textures = [read_texture(texts) for texts, _ in runs]
    return list(map(Block, tokens, terms, grams, textures))


def read_texture(texts: Sequence[str]) -> Floats:
    """Return what the texts' characters look like: shares of digits, capitals and marks, and if a text asks."""
    codes = codes_of("".join(f"{text} " for text in texts))
    lengths = np.array([len(text) + 1 for text in texts])
    starts = np.cumsum(lengths) - lengths
    kinds = _character_kinds()[np.minimum(codes, 0x7F)]
    texture = np.zeros((len(TEXTURE), len(texts)), dtype=np.float32)
    for kind in (1, 2, 3) if len(texts) else ():
        texture[kind - 1] = np.add.reduceat((kinds == kind).astype(np.float32), starts) / lengths
    texture[3] = ["?" in text or "？" in text for text in texts]
    return texture


@cache
def _character_kinds() -> npt.NDArray[np.uint8]:
    """Return the kind of each ASCII character: 1 digit, 2 capital, 3 mark, 0 other (and all that is not ASCII)."""
    kinds = [
        1 if c.isdigit() else 2 if c.isupper() else 3 if c in "!\"#$%&'()*+,-./:;<=>?@[]^_`{|}~" else 0
        for c in map(chr, range(128))
    ]
    return np.array(kinds, dtype=np.uint8)


def _key(texts: Sequence[str], beside: str) -> bytes:
    """Return the key of texts in this order and with these ends."""
    lengths = np.fromiter((len(texts), *map(len, texts)), dtype=np.int64, count=1 + len(texts))
    return content_key("".join(texts), lengths.tobytes() + beside.encode("utf-8", "surrogatepass"))


def _size_of(terms: Terms) -> int:
    arrays = terms.terms.nbytes + terms.lengths.nbytes + terms.frequency.nbytes
    return 1000 + arrays + sys.getsizeof("".join(terms.vocabulary)) + _TERM_BYTES * len(terms.vocabulary)
