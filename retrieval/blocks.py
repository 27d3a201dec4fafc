"""Cuts long texts where their own content says so: what is put before or after a text moves no cut within it.

What is known of a block (its tokens, its chunks) can so be kept, and serves the next request that repeats it.
"""

import re
import zlib
from collections.abc import Iterator, Sequence

LEAST = 6_000  # characters of a block; a shorter text is one
_MOST = 24_000  # from here on, any line that may begin a block does
_SEEN = 24  # characters that decide whether a block begins with them
_ONE_IN = 8  # lines (or texts) begin a block

# Where a line begins with a letter or digit. No chunk's unit goes across it, and both vocabularies' patterns always
# end a token there: counts of blocks add up exactly.
_CUT = re.compile(r"\n(?=[^\W_])")


def spans(text: str) -> Iterator[tuple[int, int]]:
    """Yield the start and end of each block of the text, in order; none for an empty text."""
    start = 0
    while start < len(text):
        end = _end(text, start) if len(text) - start > LEAST else len(text)
        yield start, end
        start = end


def groups(texts: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Yield the start and end, as places in the sequence, of each run of texts that are kept together."""
    start = size = 0
    for at, text in enumerate(texts):
        if size > LEAST and (size > _MOST or _begins(text, 0)):
            yield start, at
            start, size = at, 0
        size += len(text) + 1
    if start < len(texts):
        yield start, len(texts)


def _end(text: str, start: int) -> int:
    for cut in _CUT.finditer(text, start + LEAST):
        if cut.end() - start > _MOST or _begins(text, cut.end()):
            return cut.end()
    return len(text)


def _begins(text: str, at: int) -> bool:
    return zlib.crc32(text[at : at + _SEEN].encode("utf-8", "surrogatepass")) % _ONE_IN == 0
