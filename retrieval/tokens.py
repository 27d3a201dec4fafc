"""Exact token counts; the only user of bpe_openai."""

import re
from collections.abc import Iterator, Sequence
from functools import cache

from retrieval.types import Counter

# Everything else, unknown models included, is counted in o200k_base, which all newer models share.
_CL100K = re.compile(r"gpt-4(-|$)|gpt-3\.?5|text-embedding-|davinci-002|babbage-002")


_PIECE = 900_000  # characters; bpe_openai refuses a million
_CUT = re.compile(r"\n(?=[^\W_])")  # both vocabularies' patterns always end a token here, so counts add up exactly


def _pieces(text: str) -> Iterator[str]:
    """Cut a very long text where a token ends anyway, or failing that anywhere."""
    start = 0
    while len(text) - start > _PIECE:
        cut = _CUT.search(text, start + _PIECE // 2, start + _PIECE)
        end = cut.end() if cut else start + _PIECE
        yield text[start:end]
        start = end
    yield text[start:]


class BpeCounter:
    """Counts the tokens of one of the vocabularies inside bpe_openai; special tokens are plain text to it."""

    __slots__ = ("_encoding", "name")

    def __init__(self, name: str) -> None:
        import bpe_openai  # noqa: PLC0415 - its import reads every vocabulary, which takes most of a second

        self.name = name
        self._encoding = bpe_openai.get_encoding(name)

    def count(self, text: str) -> int:
        """Return the number of tokens of the text."""
        return sum(len(self._encoding.encode_ordinary(piece)) for piece in _pieces(text))

    def count_many(self, texts: Sequence[str]) -> list[int]:
        """Return the number of tokens of each text."""
        encode = self._encoding.encode_ordinary
        return [len(encode(text)) if len(text) < _PIECE else self.count(text) for text in texts]


def encoding_name(model: str | None) -> str:
    """Return the vocabulary of a model name, which may carry a provider, a fine-tune or a date."""
    base = (model or "").lower().rsplit("/", 1)[-1]
    if base.startswith("ft:"):
        base = base[3:].split(":", 1)[0]
    return "cl100k_base" if _CL100K.match(base) else "o200k_base"


@cache
def _counter(name: str) -> BpeCounter:
    return BpeCounter(name)


def counter_for(model: str | None) -> Counter:
    """Return the counter of a model's vocabulary; loading takes about a second the first time."""
    return _counter(encoding_name(model))
