"""What of a message's asking spans to search with, and to judge its intent by.

The spans keep more than the question where that is in doubt; the search text shall not: a paragraph of the document
in it would find itself.
"""

import re
from collections.abc import Sequence

from gateway.windowing.intent_words import FAMILIES
from gateway.windowing.lexicon import ASK_LABEL, BOILERPLATE, PERSONAL, QUESTION_MARK, QUESTION_START, asks_strongly
from gateway.windowing.material import LinePattern, Span, begins_material, is_turn

SHORT = 300  # characters of a paragraph that is kept at either end though nothing shows that it asks
_TERSE = 12  # bytes: "Why?" alone is nothing to search with
_FORM_LINE = 120  # bytes
_ORDER = 80  # characters
_MORE = re.compile(
    r"\b(?:it|its|again|now|more|less|shorter|longer|shorten|lengthen|expand|continue|go on|keep going|everywhere"
    r"|instead"
    r"|weiter|nochmal|jetzt|kürzer|länger|mach es|continue[zr]?|encore|maintenant|plus court|plus long|sigue|continúa"
    r"|otra vez|ahora|más|continua|continue|agora|mais|ancora|adesso|più|verder|nog|nu|дальше|ещё|еще|теперь|короче)\b"
    r"|继续|繼續|再|改成|换成|続け|もっと|もう一度|계속|다시|더",
    re.IGNORECASE,
)
_NEAR = 600  # characters between what asks and the span's end
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
_QUESTION_ELEMENT = re.compile(
    r"<((?:user_?|final_?)?(?:question|query|task|request|prompt|ask)s?)(?:\s[^<>\n]{0,200})?>([^<]{1,4000})</\1>",
    re.IGNORECASE,
)
_QUESTION_NAME = re.compile(
    r"(?:(?:my|the|user|final|your)\s+)?(?:q\b|quest|quer|prob|frag|vraag|preg|perg|dom|вопр|问|問|質|질)",
    re.IGNORECASE,
)
_VERBS = tuple(FAMILIES[name] for name in ("summary", "translate", "rewrite"))


def paragraphs(text: str, start: int, end: int) -> list[Span]:
    """Give the spans between blank lines."""
    edges = [start, *(edge for m in BREAK.finditer(text, start, end) for edge in m.span()), end]
    return [(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if text[a:b].strip()]


def sentences(part: str) -> list[str]:
    """Split a text at sentence ends and line ends."""
    return [s for line in part.splitlines() for s in SENTENCE.split(line) if s.strip()] or [part]


_CUE = re.compile(r"\W*[\w ]{1,20}[:：]\W*")  # "Assistant:": the answer is to follow
_ROLE = re.compile(r"(?:user|human)\s*[:：]\s*", re.IGNORECASE)
_BY_ITSELF = re.compile(
    rf"(?:in|from|based on|according to)\b[^:\n]{{1,160}}[:：]\s+\S|{QUESTION_START.pattern}", re.IGNORECASE
)
_SETTING = re.compile(r"\s*(?:[-*•]\s+)?[^\W\d][\w ()/-]{0,30}[:：]\s*\S.{0,60}")
_MOST_SETTINGS = 8
_ADDRESS = re.compile(
    r"\W*(?:you(?: are|['’]re)|act as|your (?:task|job|role|goal)|never|always|if you|du bist|sie sind|tu es|vous êtes"
    r"|eres|(?:você|voce) é|sei un|je bent|jesteś|ты|вы —)\b|\W*(?:你是|您是|あなたは|당신은|너는)",
    re.IGNORECASE,
)


def orders_more(text: str) -> bool:
    """Whether a text is one short order about what was said last: "Make it twice as long.", "Now in French."."""
    one = len(text) <= _ORDER and "\n" not in text.strip() and QUESTION_MARK.search(text) is None
    return one and _MORE.search(text) is not None


def asking_end(text: str) -> str:
    """Give the last sentences of a text from the first on that asks something in its last paragraph; else nothing."""
    last = sentences(text.strip().rsplit("\n\n", 1)[-1])
    asking = [at for at, sentence in enumerate(last) if QUESTION_MARK.search(sentence)]
    return " ".join(last[asking[0] :]) if asking else ""


def addresses(sentence: str) -> bool:
    """Whether a sentence speaks to whoever is to answer: "You are a clerk.", "Never guess."."""
    return _ADDRESS.match(sentence) is not None


def are_settings(lines: Sequence[str]) -> bool:
    """Whether lines are a few short keys with their values, as in "Language: Portuguese"."""
    return len(lines) <= _MOST_SETTINGS and all(_SETTING.fullmatch(line.rstrip()) for line in lines if line.strip())


def is_decisive(part: str) -> bool:
    """Whether a text asks where it begins or ends (before a list); inside, a document's own questions stand."""
    found = sentences(part)
    while len(found) > 1 and _CUE.fullmatch(found[-1]):
        found.pop()
    while len(found) > 1 and LIST_ITEM.match(found[-1]):
        found.pop()
    if is_turn(part) and not ASK_LABEL.match(part.lstrip()):
        return QUESTION_MARK.search(found[-1]) is not None
    return any(asks_strongly(s) or (len(s) <= SHORT and _commands(s)) for s in (found[0], found[-1]))


def asks_by_itself(part: str) -> bool:
    """Whether a text asks, whatever it was cut out of: the rest of a sentence that reads like a request does not."""
    return any(asks_strongly(s) and (QUESTION_MARK.search(s) or not s.lstrip()[:1].islower()) for s in sentences(part))


def asks_evidently(text: str, asks: tuple[Span, ...]) -> bool:
    """Whether the spans ask: in an element, after a label, or at an end of them, in a paragraph that is no data."""
    if _labelled(text, asks):
        return True
    first = [text[a:b] for start, end in asks[:1] for a, b in paragraphs(text, start, end) if a - start <= _NEAR]
    last = [text[a:b] for start, end in asks[-1:] for a, b in paragraphs(text, start, end) if end - b <= _NEAR]
    if any(_opens_asking(line) for part in (*first, *last) for line in _ends_of(part)):
        return True
    # A question typed with a full stop, or with where to look before it, is known as one where it stands alone.
    return (
        bool(last)
        and len(last[-1]) <= SHORT
        and "\n" not in last[-1].strip()
        and _BY_ITSELF.match(last[-1]) is not None
    )


def _ends_of(paragraph: str) -> tuple[str, str]:
    lines = paragraph.strip().splitlines()
    return lines[0], lines[-1]


def _commands(sentence: str) -> bool:
    lead = sentence[:_LEAD].lower()
    return any(family.found(lead) for family in _VERBS)


def is_form(part: str) -> bool:
    """Whether a text has nothing but short lines, as what follows a question has: an example, a form, a signature."""
    return all(len(line.encode("utf-8", "replace")) <= _FORM_LINE for line in part.splitlines())


def is_personal(part: str) -> bool:
    """Whether a short paragraph speaks of the user or to the assistant, as what leads to a question does."""
    return len(part) <= 2 * SHORT and PERSONAL.search(part) is not None


def search_text(text: str, asks: tuple[Span, ...], *, loose: bool) -> str:
    """Give the text to search with: a labelled question alone, else what evidently asks, else all spans.

    Where no block of material gives the question away (`loose`), only the outermost paragraphs that ask count.
    """
    labelled = _labelled(text, asks)
    if labelled:
        return labelled
    parts = [text[start:end] for start, end in asks]
    asking = _outermost(parts) if loose else list(filter(is_decisive, parts))
    if loose and asking and sum(len(part.encode("utf-8", "replace")) for part in asking) < _TERSE:
        asking = [part for part in parts if len(part) <= _PARAGRAPH]
    return "\n".join(map(bare, asking or [part for part in parts if len(part) <= SHORT] or parts))


def _labelled(text: str, asks: tuple[Span, ...]) -> str:
    """Give what stands in a question's element or after a label, in the last span or the first; else nothing.

    "Task: answer from the documents" at the beginning says less than a question at the end.
    """
    if not asks:
        return ""
    found = _named(text, *asks[-1])
    if len(asks) > 1 and found and _only_says_where(text, *asks[-1]) and QUESTION_MARK.search(text, *asks[0]):
        return ""  # "The original question is: ...? ... Given the new context, refine the answer."
    if found or len(asks) == 1:
        return found
    found, last = _named(text, *asks[0]), text[slice(*asks[-1])]
    if not found or not _asks_alone(last):
        return found
    asked = any(_QUESTION_NAME.match(m[0].lstrip(" \t#*")) for m in LABEL_LINE.find(text, *asks[0]))
    return f"{found}\n{bare(last)}" if asked else bare(last)


def _named(text: str, start: int, end: int) -> str:
    elements = [m[2] for m in _QUESTION_ELEMENT.finditer(text, start, end) if m[2].strip()]
    if elements:
        return bare(elements[-1])
    labels = list(LABEL_LINE.find(text, start, end))
    return bare(text[first_of_row(text, labels).end() : end]) if labels and text[labels[-1].end() : end].strip() else ""


def _only_says_where(text: str, start: int, end: int) -> bool:
    """Whether no label or element of the span names a question: a phrase like "Given the context," does not."""
    if _QUESTION_ELEMENT.search(text, start, end):
        return False
    return not any(ASK_LABEL.match(m[0].lstrip()) for m in LABEL_LINE.find(text, start, end))


def first_of_row(text: str, labels: list[re.Match[str]]) -> re.Match[str]:
    """The first of the labels right above each other, as of several questions ("Q1: ...", "Q2: ...")."""
    at = len(labels) - 1
    while at > 0:
        below = text[labels[at - 1].end() : labels[at].start()].partition("\n")[2]
        if len(below.strip()) > _TERSE:
            break
        at -= 1
    return labels[at]


def _outermost(parts: list[str]) -> list[str]:
    """The asking paragraphs at the beginning of the first span and at the end of the last, outermost first."""
    if not any(map(str.strip, parts)):
        return []
    first = [parts[0][a:b] for a, b in paragraphs(parts[0], 0, len(parts[0]))]
    last = [parts[-1][a:b] for a, b in paragraphs(parts[-1], 0, len(parts[-1]))]
    head = _leading(first)
    if len(parts) == 1 and len(head) == len(first):
        return ["\n\n".join([*head[:-1], _last_words(head[-1])])]
    rest = last[len(head) :] if len(parts) == 1 else last
    return ["\n\n".join(found) for found in (head, _closing(rest)) if found]


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
        elif picked or not is_form(paragraph):
            break
    return picked


def _last_words(paragraph: str) -> str:
    """The last lines of a paragraph, without the lines of a document right above them."""
    lines = paragraph.splitlines()
    at = len(lines) - 1
    listed = LIST_ITEM.match(lines[at]) is not None
    while at > 0 and (listed and _is_asking_item(lines[at - 1])):
        at -= 1
    while at > 0 and not (
        LIST_ITEM.match(lines[at - 1]) or _DOCUMENT_LINE.match(lines[at - 1]) or _ends_document(lines[at - 1])
    ):
        at -= 1
    if not is_decisive(lines[-1]) or (at > 0 and len(paragraph) <= 2 * SHORT and _opens_asking(lines[0])):
        return paragraph
    return "\n".join(lines[at:])


def _opens_asking(line: str) -> bool:
    return _asks_alone(line) and not _DOCUMENT_LINE.match(line)


def _is_asking_item(line: str) -> bool:
    return LIST_ITEM.match(line) is not None and is_decisive(line)


def _ends_document(line: str) -> bool:
    return is_turn(line) or begins_material(line)


def _asks_alone(paragraph: str) -> bool:
    return is_decisive(paragraph) and not begins_material(paragraph.split("\n", 1)[0])


def bare(text: str) -> str:
    """Give the text without a label or a phrase like "Based on the text above:" before the question."""
    text = text.strip()
    label = ASK_LABEL.match(text)
    text = text[label.end() :].strip() if label else text
    role = _ROLE.match(text)
    text = text[role.end() :] if role else text
    phrase = BOILERPLATE.match(text)
    return text[phrase.end() :].strip() or text if phrase else text
