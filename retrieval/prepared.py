"""What of a request's texts does not depend on its question: chunks, their tokens, terms, 4-grams and texture.

It is made in blocks, and each block is kept by its content: another question about the same texts, or one turn more of
the same conversation, finds nearly all of it done.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from retrieval.blocks import groups
from retrieval.cache import CacheStats, ContentCache, content_key
from retrieval.chunking import Packs, cut_documents
from retrieval.lexical import GRAM, Grams, Ints, Lexicon, Terms, join_grams, join_terms, read_grams, read_terms
from retrieval.terms import codes_of
from retrieval.types import Chunk, Counter, Deadline, Document, Floats

TEXTURE = ("digits", "capitals", "marks", "asks")
_SMALL_SHARE = 8  # one part of so many of the bytes for where chunks begin and end, and one for their headings
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
    texts: list[str]
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
        self._packs = Packs(small)
        self._headings = ContentCache[Terms](small)
        self._blocks = ContentCache[Block](max_bytes - 2 * small)
        self._most = max_bytes // _REQUEST_SHARE

    def stats(self) -> CacheStats:
        """Return how often a block was found, and what is held of all kinds."""
        blocks, packs, headings = self._blocks.stats(), self._packs.stats(), self._headings.stats()
        held = blocks.size_bytes + packs.size_bytes + headings.size_bytes
        return CacheStats(blocks.hits, blocks.misses, blocks.entries, held)

    def read(self, documents: Sequence[Document], counter: Counter, deadline: Deadline) -> Passages:
        """Cut the documents into chunks and read these; raises DeadlineExceededError between stages."""
        pieces = list(cut_documents(documents, self._packs))
        deadline.check()
        texts = [documents[number].text[start:end] for number, (start, end, _) in pieces]
        blocks = self._read(texts, counter, deadline)
        tokens = (count for block in blocks for count in block.tokens)
        chunks = tuple(
            Chunk(number, start, end, count, heading)
            for (number, (start, end, heading)), count in zip(pieces, tokens, strict=True)
        )
        rows: dict[str, int] = {}
        heads = (f"{documents[chunk.document].name} {chunk.heading}".strip() for chunk in chunks)
        row = np.fromiter((rows.setdefault(head, len(rows)) for head in heads), dtype=np.int32, count=len(chunks))
        return Passages(
            documents,
            chunks,
            texts,
            join_terms([block.terms for block in blocks]),
            join_terms(self._read_headings(list(rows))),
            row,
            join_grams([block.grams for block in blocks]),
            np.concatenate([np.empty((len(TEXTURE), 0), np.float32), *(block.texture for block in blocks)], axis=1),
        )

    def _read(self, texts: Sequence[str], counter: Counter, deadline: Deadline) -> list[Block]:
        """Return the blocks of the chunk texts, from those kept where they are there."""
        runs = [(texts[a:b], "".join(f"{text}\n" for text in texts[b : b + GRAM])[:GRAM]) for a, b in groups(texts)]
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
        return [block for block in found if block is not None]

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
