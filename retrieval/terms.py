"""Words to index terms: light stemming, identifiers whole and in parts, character pairs for scripts without spaces."""

import re
from functools import lru_cache

import numpy as np
import numpy.typing as npt

# \w plus the combining vowels of Indic and neighbouring scripts, which Python does not count as word characters.
WORD = re.compile(
    r"[\w\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0670\u0900-\u0963\u0966-\u0dff\u0e00-\u0e4e\u0e50-\u0fff\u1000-\u109f"
    r"\u1780-\u17d3]+"
)
# In ASCII the same words are found twice as fast with everything else turned into blanks.
_ASCII_BLANKS = bytes(code if chr(code).isalnum() or chr(code) == "_" else ord(" ") for code in range(128)).ljust(256)
_UNSPACED = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]+"
)
_PARTS = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+|[^\W\d_a-zA-Z]+")
_ENDINGS = (
    ("ization", 4), ("isation", 4), ("ational", 4), ("ation", 4), ("ement", 4), ("ment", 4), ("ness", 4), ("able", 4),
    ("ible", 4), ("ance", 4), ("ence", 4), ("ings", 3), ("ing", 3), ("ions", 4), ("ion", 4), ("ity", 4), ("ive", 4),
    ("ers", 4), ("ed", 3), ("er", 4), ("al", 4), ("ly", 4), ("es", 3), ("e", 3),
)  # fmt: skip
# Question words and the commonest function words: rare in a contract, yet no sign of an answer.
STOPWORDS = frozenset(
    WORD.findall(
        "a about all am an and any are as at be been being but by can could did do does doing each for from "
        "get give had has have he her him his how i if in into is it its just know let like made make may me "
        "more most my no not of on or our out please she should so some such than that the their them then "
        "there these they this those to up us was we were what when where which while who whom whose why will "
        "with would you your tell show find say said explain describe"
    )
)


def words_of(text: str) -> list[str]:
    """Return the words of a text as they stand in it, in order."""
    return text.encode().translate(_ASCII_BLANKS).decode().split() if text.isascii() else WORD.findall(text)


def stem(word: str) -> str:
    """Return the stem of a case-folded word; only ASCII words of four letters or more change."""
    if len(word) < 4 or not word.isascii() or not word.isalpha():
        return word
    if word.endswith("ies"):
        word = word[:-3] + "y"
    elif word[-1] == "s" and word[-2] not in "sui":
        word = word[:-1]
    for ending, least in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= least:
            word = word[: -len(ending)]
            break
    if word.endswith("at") and len(word) > 5:  # terminat(ed), termin(ation)
        word = word[:-2]
    if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "aeiouls":
        word = word[:-1]
    return word[:-1] + "i" if word[-1] == "y" and len(word) > 3 else word


@lru_cache(maxsize=1 << 16)
def terms_of(word: str) -> tuple[str, ...]:
    """Return the index terms of one word as it stands in the text."""
    folded = word.casefold()
    if _UNSPACED.search(folded):
        return _pairs(folded)
    if word.isalpha() and (word[1:].islower() or word.isupper() or len(word) == 1):
        return (stem(folded),)
    parts = [stem(part.casefold()) for part in _PARTS.findall(word)]
    return tuple(dict.fromkeys([stem(folded), *(part for part in parts if len(part) > 1 or part.isdigit())]))


def _pairs(word: str) -> tuple[str, ...]:
    """Return neighbouring pairs of characters of a word in a script without spaces, and what else is in it."""
    terms: list[str] = []
    for run in re.split(rf"({_UNSPACED.pattern})", word):
        if not run:
            continue
        if _UNSPACED.match(run) and len(run) > 1:
            terms.extend(run[i : i + 2] for i in range(len(run) - 1))
        else:
            terms.append(stem(run))
    return tuple(terms)


def codes_of(text: str) -> npt.NDArray[np.uint8] | npt.NDArray[np.uint32]:
    """Return the text's characters by their numbers in Unicode."""
    if text.isascii():
        return np.frombuffer(text.encode("ascii"), dtype=np.uint8)
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
