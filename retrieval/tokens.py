"""Exact token counts; the only user of bpe_openai."""

import importlib.machinery
import importlib.util
import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Protocol, cast

from retrieval.blocks import LEAST, spans
from retrieval.cache import ContentCache, content_key
from retrieval.types import Counter

# Everything else, unknown models included, is counted in o200k_base, which all newer models share.
_CL100K = re.compile(r"gpt-4(-|$)|gpt-3\.?5|text-embedding-|davinci-002|babbage-002")


_PIECE = 48_000  # characters counted at once: the tokenizer refuses more than 200,000 tokens, and is quicker in pieces
_REMEMBERED = 256  # characters of a text whose count is kept: counting a shorter one is as quick as looking it up
_KEPT_BYTES = 4 << 20  # of counts kept, about 15,000 texts
_INTEGER = 28  # bytes


_BETWEEN_WORDS = re.compile(r"(?<=[a-z])(?= [a-z])")  # a token always ends here, as it does between blocks


def pieces(text: str) -> Iterator[str]:
    """Cut a long text where a token ends: in blocks, and these, where too long for one count, between words.

    A block without words is cut anywhere, which costs at most a token for each piece.
    """
    for start, end in spans(text):
        while end - start > _PIECE:
            between = _BETWEEN_WORDS.search(text, start + _PIECE // 2, start + _PIECE)
            stop = between.end() if between else start + _PIECE
            yield text[start:stop]
            start = stop  # noqa: PLW2901 - the block's rest
        yield text[start:end]


class Tokenizer(Protocol):
    """What is used of bpe_openai's tokenizer."""

    def count(self, text: str) -> int:
        """Return the number of tokens; raises UnicodeEncodeError for a lone surrogate."""


class BpeCounter:
    """Counts the tokens of one of the vocabularies inside bpe_openai; special tokens are plain text to it."""

    __slots__ = ("_known", "_name", "_tokenizer")

    def __init__(self, name: str) -> None:
        self._name = name
        self._tokenizer = _tokenizer(name)
        self._known = ContentCache[int](_KEPT_BYTES)

    @property
    def name(self) -> str:
        """The vocabulary's name."""
        return self._name

    def count(self, text: str) -> int:
        """Return the number of tokens of the text."""
        return self._count(text) if len(text) <= _PIECE else sum(map(self._count, pieces(text)))

    def recall(self, text: str) -> int:
        """Return the number of tokens of the text, which is remembered by its blocks."""
        return self._recall(text) if len(text) <= LEAST else sum(map(self._recall, pieces(text)))

    def count_many(self, texts: Sequence[str]) -> list[int]:
        """Return the number of tokens of each text."""
        return [self.count(text) for text in texts]

    def _recall(self, piece: str) -> int:
        if len(piece) < _REMEMBERED:
            return self._count(piece)
        key = content_key(piece)
        known = self._known.get(key)
        if known is None:
            known = self._count(piece)
            self._known.put(key, known, _INTEGER)
        return known

    def _count(self, text: str) -> int:
        try:
            return self._tokenizer.count(text)
        except UnicodeEncodeError:  # a lone surrogate: counted as the mark that replaces it
            return self._tokenizer.count(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))


def _tokenizer(name: str) -> Tokenizer:
    """Load a vocabulary from the package's compiled part alone.

    The package around it reads three vocabularies into dictionaries that counting has no use for: 1.3 s and 90 MB.
    """
    package = importlib.util.find_spec("bpe_openai")
    folder = str(Path(package.origin).parent) if package and package.origin else ""
    found = importlib.machinery.PathFinder.find_spec("_bindings", [folder])
    if found is None or found.loader is None:
        raise ImportError("bpe_openai has no compiled part: install the version of the lock file")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return cast(Tokenizer, module.tokenizer_for_encoding(name))


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
    """Return the counter of a model's vocabulary; loading takes a tenth of a second the first time."""
    return _counter(encoding_name(model))
