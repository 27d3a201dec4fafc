"""What of a message's asking spans to search with, and to judge its intent by.

The spans keep more than the question where that is in doubt; the search text shall not: a paragraph of the document
in it would find itself.
"""

import re

from gateway.windowing.intent_words import FAMILIES
from gateway.windowing.lexicon import ASK_LABEL, BOILERPLATE, PERSONAL, QUESTION_MARK, asks_strongly
from gateway.windowing.material import LinePattern, Span, begins_material, is_turn

SHORT = 300  # characters of a paragraph that is kept at either end though nothing shows that it asks
_TERSE = 12  # bytes: "Why?" alone is nothing to search with
_LEAD = 40  # characters within which a bare verb ("Traduis ...") makes a sentence a request
_PARAGRAPH = 1_500

BREAK = re.compile(r"\n[ \t\r]*\n\s*")
LIST_ITEM = re.compile(
    r"\s*(?:[-*•](?=\s+[^\s*-])|\(?[A-Za-z0-9]{1,2}[.):]|[（(]?[0-9一二三四五六七八九十]{1,3}[）).、])\s*\S"
)
# How labels and phrases begin, by their first two letters: by these, nearly all lines are passed over quickly.
_PAIRS = {
    "a": "cu", "b": "a", "c": "o", "d": "o", "f": "ir", "g": "i", "i": "n", "m": "y", "o": "t", "p": "rey", "r": "e",
    "s": "po", "t": "ha", "u": "s", "v": "r", "w": "i", "y": "o",
}  # fmt: skip
_MAY_BEGIN = "|".join(
    (r"[#*Qq]|[^\x00-\x7f]", *(rf"[{a}{a.upper()}][{b}{b.upper()}\x80-\U0010ffff]" for a, b in _PAIRS.items()))
)
LABEL_LINE = LinePattern(rf"[ \t]{{0,3}}+(?={_MAY_BEGIN})(?:{ASK_LABEL.pattern}|(?i:{BOILERPLATE.pattern}))")
SENTENCE = re.compile(r"(?<=[.!?;\u037e])\s+|(?<=[。！？؟।])\s*")
_DOCUMENT_LINE = re.compile(
    r"[ \t]{2,}|[ \t]*[<>{}()\[\]|#*=\"`/]|.*(?:[{}()>]|(?<![\u0370-\u03ff\u1f00-\u1fff]);)\Z|if .*:\Z"
)
_VERBS = tuple(FAMILIES[name] for name in ("summary", "translate", "rewrite"))


def paragraphs(text: str, start: int, end: int) -> list[Span]:
    """Give the spans between blank lines."""
    edges = [start, *(edge for m in BREAK.finditer(text, start, end) for edge in m.span()), end]
    return [(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if text[a:b].strip()]


def sentences(part: str) -> list[str]:
    """Split a text at sentence ends and line ends."""
    return [s for line in part.splitlines() for s in SENTENCE.split(line) if s.strip()] or [part]


def is_decisive(part: str) -> bool:
    """Whether a text asks where it begins or ends (before a list); inside, a document's own questions stand."""
    found = sentences(part)
    while len(found) > 1 and LIST_ITEM.match(found[-1]):
        found.pop()
    if is_turn(part) and not ASK_LABEL.match(part.lstrip()):
        return QUESTION_MARK.search(found[-1]) is not None
    return any(asks_strongly(s) or (len(s) <= SHORT and _commands(s)) for s in (found[0], found[-1]))


def asks_by_itself(part: str) -> bool:
    """Whether a text asks, whatever it was cut out of: the rest of a sentence that reads like a request does not."""
    return any(asks_strongly(s) and (QUESTION_MARK.search(s) or not s.lstrip()[:1].islower()) for s in sentences(part))


def _commands(sentence: str) -> bool:
    lead = sentence[:_LEAD].lower()
    return any(family.found(lead) for family in _VERBS)


def is_personal(part: str) -> bool:
    """Whether a short paragraph speaks of the user or to the assistant, as what leads to a question does."""
    return len(part) <= 2 * SHORT and PERSONAL.search(part) is not None


def search_text(text: str, asks: tuple[Span, ...], *, loose: bool) -> str:
    """Give the text to search with: a labelled question alone, else what evidently asks, else all spans.

    Where no block of material gives the question away (`loose`), only the outermost paragraphs that ask count.
    """
    for start, end in (asks[-1:] + asks[:1]) if asks else ():
        labels = list(LABEL_LINE.find(text, start, end))
        if labels and text[labels[-1].end() : end].strip():
            return bare(text[labels[-1].end() : end])
    parts = [text[start:end] for start, end in asks]
    asking = _outermost(parts) if loose else list(filter(is_decisive, parts))
    if loose and asking and sum(len(part.encode("utf-8", "replace")) for part in asking) < _TERSE:
        asking = [part for part in parts if len(part) <= _PARAGRAPH]
    return "\n".join(map(bare, asking or [part for part in parts if len(part) <= SHORT] or parts))


def _outermost(parts: list[str]) -> list[str]:
    """The asking paragraphs at the beginning of the first span and at the end of the last, outermost first."""
    if not any(map(str.strip, parts)):
        return []
    first = [parts[0][a:b] for a, b in paragraphs(parts[0], 0, len(parts[0]))]
    last = [parts[-1][a:b] for a, b in paragraphs(parts[-1], 0, len(parts[-1]))]
    head = _leading(first)
    if len(parts) == 1 and len(head) == len(first):
        return ["\n\n".join([*head[:-1], _last_words(head[-1])])]
    return ["\n\n".join(found) for found in (head, _closing(last)) if found]


def _leading(found: list[str]) -> list[str]:
    picked: list[str] = []
    for paragraph in found:
        listed = bool(picked) and LIST_ITEM.match(paragraph) is not None
        if not listed and (not _asks_alone(paragraph) or (picked and len(paragraph) > SHORT)):
            break
        picked.append(paragraph)
    return picked


def _closing(found: list[str]) -> list[str]:
    picked: list[str] = []
    lists: list[str] = []
    for paragraph in map(_last_words, reversed(found)):
        if _asks_alone(paragraph) and not (picked and len(paragraph) > SHORT):
            picked = [paragraph, *lists, *picked]
            lists = []
        elif not picked and LIST_ITEM.match(paragraph):
            lists = [paragraph, *lists]
        else:
            break
    return picked


def _last_words(paragraph: str) -> str:
    """The last lines of a paragraph, without the lines of a document right above them."""
    lines = paragraph.splitlines()
    at = len(lines) - 1
    while at > 0 and not (
        LIST_ITEM.match(lines[at - 1]) or _DOCUMENT_LINE.match(lines[at - 1]) or _ends_document(lines[at - 1])
    ):
        at -= 1
    return "\n".join(lines[at:]) if is_decisive(lines[-1]) else paragraph


def _ends_document(line: str) -> bool:
    return is_turn(line) or begins_material(line)


def _asks_alone(paragraph: str) -> bool:
    return is_decisive(paragraph) and not begins_material(paragraph.split("\n", 1)[0])


def bare(text: str) -> str:
    """Give the text without a label or a phrase like "Based on the text above:" before the question."""
    text = text.strip()
    label = ASK_LABEL.match(text)
    text = text[label.end() :].strip() if label else text
    phrase = BOILERPLATE.match(text)
    return text[phrase.end() :].strip() or text if phrase else text
