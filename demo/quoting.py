"""How the demo's upstream answers without being a model: it quotes the passage that best matches the question."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from math import log
from typing import Any

_WORD = re.compile(r"\w+")
_SENTENCE = re.compile(r"(?<=[.!?:;])\s+")
_MARKER = re.compile(r"\[… [^\]]{1,60} omitted …\]")
_LONGEST = 400  # characters of a quotation
NOTHING = "I was sent nothing that matches the question."


def texts_of(message: dict[str, Any]) -> Iterator[str]:
    """Yield the texts of a message."""
    content = message.get("content")
    if isinstance(content, str):
        yield content
    for part in content if isinstance(content, list) else ():
        if isinstance(part, dict) and isinstance(part.get("text"), str):
            yield part["text"]


def question_of(messages: Sequence[dict[str, Any]]) -> str:
    """Return what the last user turn asks: its shortest paragraph with a question mark, else its last paragraph."""
    users = [message for message in messages if message.get("role") == "user"]
    paragraphs = list(_paragraphs("\n\n".join(texts_of(users[-1])))) if users else []
    ends = [paragraph for paragraph in (*paragraphs[:1], *paragraphs[-1:]) if paragraph.endswith("?")]
    return min(ends, key=len) if ends else "".join(paragraphs[-1:])


def quotation(messages: Sequence[dict[str, Any]]) -> str:
    """Return the passage with the rarest words of the question in it and before it, word for word."""
    question = question_of(messages)
    wanted = set(_words(question))
    passages = [p for m in messages for text in texts_of(m) for p in _passages(text) if p != question]
    hits = [wanted.intersection(_words(passage)) for passage in passages]
    found = Counter(word for hit in hits for word in hit)
    weights = {word: log((len(passages) + 1) / (count + 0.5)) for word, count in found.items()}
    own = [sum(weights[word] for word in hit) for hit in hits]
    # What stands before a passage often names its subject
    context = [
        sum(weights[word] for word in before - hit) / 2 for before, hit in zip([set[str](), *hits], hits, strict=False)
    ]
    best = max(range(len(passages)), key=lambda i: (own[i] + context[i], -len(passages[i])), default=None)
    return passages[best] if best is not None and own[best] > 0 else NOTHING


def _words(text: str) -> Iterator[str]:
    """Yield the words and the names that are made of several; cut short, so that "subclassed" meets "subclasses"."""
    for word in _WORD.findall(text.lower()):
        parts = [part for part in word.split("_") if part]
        yield from (part[:6] for part in parts if len(part) > 2)
        if len(parts) > 1:
            yield word


def _paragraphs(text: str) -> Iterator[str]:
    for part in _MARKER.split(text):
        for paragraph in re.split(r"\n\s*\n|(?<=\}), (?=\{)", part):
            if words := " ".join(paragraph.split()):
                yield words


def _passages(text: str) -> Iterator[str]:
    """Yield paragraphs, long ones as neighbouring sentences."""
    for paragraph in _paragraphs(text):
        passage = ""
        for sentence in _SENTENCE.split(paragraph):
            if passage and len(passage) + len(sentence) > _LONGEST:
                yield passage
                passage = ""
            passage = f"{passage} {sentence}".strip()
        yield passage[: 2 * _LONGEST]
