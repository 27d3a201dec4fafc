"""Exact token counts; the only user of bpe_openai."""

import importlib.machinery
import importlib.util
import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Protocol, cast

from retrieval.types import Counter

# Everything else, unknown models included, is counted in o200k_base, which all newer models share.
_CL100K = re.compile(r"gpt-4(-|$)|gpt-3\.?5|text-embedding-|davinci-002|babbage-002")


_PIECE = 900_000  # characters counted at once
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


class Tokenizer(Protocol):
    """What is used of bpe_openai's tokenizer."""

    def count(self, text: str) -> int:
        """Return the number of tokens; raises UnicodeEncodeError for a lone surrogate."""


class BpeCounter:
    """Counts the tokens of one of the vocabularies inside bpe_openai; special tokens are plain text to it."""

    __slots__ = ("_tokenizer", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self._tokenizer = _tokenizer(name)

    def count(self, text: str) -> int:
        """Return the number of tokens of the text."""
        return sum(map(self._count, _pieces(text)))

    def count_many(self, texts: Sequence[str]) -> list[int]:
        """Return the number of tokens of each text."""
        return [self._count(text) if len(text) < _PIECE else self.count(text) for text in texts]

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
