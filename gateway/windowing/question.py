"""Which part of the last user message asks, and which part is pasted material that may be trimmed.

A lost question breaks a request, material kept by mistake only costs tokens: where both are possible, text is kept.
Order of the evidence: blocks that by their form are pasted (fenced files, tagged documents, quotes, JSON; see
`material`) leave the gaps between them as asking text; where a gap is itself long, its beginning and its end are
read by labels ("Question:"), lines and paragraphs that ask in any language, and what they hang together with.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from gateway.windowing.asking import (
    BREAK,
    LABEL_LINE,
    LIST_ITEM,
    SENTENCE,
    SHORT,
    addresses,
    are_settings,
    asks_evidently,
    bare,
    first_of_row,
    is_decisive,
    is_form,
    is_personal,
    paragraphs,
    search_text,
    sentences,
)
from gateway.windowing.lexicon import ASK_LABEL, asks_strongly
from gateway.windowing.material import (
    LONG_ASK,
    REFERENCE_TAG,
    LinePattern,
    Span,
    ask_elements,
    begins_material,
    blocks,
    is_turn,
    line_end,
    line_start,
    merge,
)

WHOLE_BYTES = 6_000  # a message up to this size (about 1,500 tokens) is a question and nothing else
_LOOSE_ASK = 4_000  # characters of a question in text without recognisable blocks
_PARAGRAPH = 1_500  # characters of a paragraph that may be one question
_BRIEF = 160  # characters of a last paragraph that stays though the question stands at the beginning
_AFTER = 2_000  # characters of what may follow a question at the end
_MAX_ASIDES = 6  # questions in the middle; more of them are the document's own

_WORDS = re.compile(r"[^\W\d_]{2}")
_RULE = LinePattern(r"[ \t]*+(?=[-=*_#~])(?:-{3,}|={3,}|\*{3,}|_{3,}|#{3,}|~{3,})[ \t]*(?=\n)")
_QUESTION_LABEL = re.compile(
    r"\W*(?:(?:my|the|user|final)\s+)?(?:questions?|query|q|task|frage|vraag|pregunta|pergunta|domanda|вопрос"
    r"|问题|問題|質問|질문)\b",
    re.IGNORECASE,
)
_ASK_HEADER = LinePattern(
    r"#{1,6}[ \t]+[*]*(?:(?:your|my|the|final|output|response|answer|user)\s+)?"
    r"(?:question|query|task|instruction|request|goal|objective|role|format|requirement|rule|guideline"
    r"|constraint|问题|任务|指示|要求)"
    r"s?(?:\s+(?:format|instructions?|and\s+\w+))?[*:：]*[ \t]*(?=\n)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class QuestionSplit:
    """The asking spans (ascending, disjoint, in characters) of a message, and the text to search with.

    `evident`: the spans ask, or are what stands beside pasted material; else they may be the document's own words.
    """

    asks: tuple[Span, ...]
    query: str
    evident: bool = True


def split_question(text: str, elsewhere: int = 0) -> QuestionSplit:
    """Split the text of the last user message into what asks and what may be trimmed.

    `elsewhere` is the number of characters in the other messages: where most of the context stands there, a message
    of up to LONG_ASK characters is taken for a question as a whole, however long (a bug report with its traceback).
    """
    if _is_question_only(text, elsewhere):
        return QuestionSplit(((0, len(text)),) if text else (), bare(text))
    found = blocks(text)
    pasted = merge(found)
    asks = _join(text, _find_asks(text, pasted))
    loose = all(b.form.startswith("<") and not REFERENCE_TAG.fullmatch(b.form) for b in found)
    evident = asks_evidently(text, asks) or (not loose and _stands_beside(text, pasted))
    return QuestionSplit(asks, search_text(text, asks, loose=loose), evident)


def _stands_beside(text: str, pasted: tuple[Span, ...]) -> bool:
    """Whether short words stand before or after the material, and nothing else: these ask, in whatever language."""
    outside = [text[: pasted[0][0]].strip(), text[pasted[-1][1] :].strip()]
    return any(0 < len(part) <= LONG_ASK and _WORDS.search(part) for part in outside) and (
        2 * sum(map(len, outside)) < len(text)
    )


def _is_question_only(text: str, elsewhere: int) -> bool:
    if len(text) <= LONG_ASK and elsewhere > len(text):
        return True
    return len(text) <= WHOLE_BYTES and len(text.encode("utf-8", "surrogatepass")) <= WHOLE_BYTES


def _find_asks(text: str, pasted: tuple[Span, ...]) -> list[Span]:
    size = sum(end - start for start, end in pasted)
    edges = [0, *(edge for block in pasted for edge in block), len(text)]
    gaps = [_strip(text, start, end) for start, end in zip(edges[::2], edges[1::2], strict=True)]
    asks = ask_elements(text)
    for at, (start, end) in enumerate(gaps):
        outer = at in (0, len(gaps) - 1)
        limit = (LONG_ASK if size >= 2 * (end - start) else _LOOSE_ASK) if outer else _PARAGRAPH
        if start < end <= start + limit and pasted and (outer or len(gaps) <= _MAX_ASIDES):
            asks.append((start, end))
        elif start < end:
            asks += _ends(text, start, end) if outer else _asides(text, start, end)
    return asks or _inside(text)


def _inside(text: str) -> list[Span]:
    """Look for the question inside a block that wraps the whole message."""
    end = len(text.rstrip())
    found = _ends(text, line_end(text, 0), end)
    return found or [_tail_line(text, 0, end)] if end else []


def _ends(text: str, start: int, end: int) -> list[Span]:
    """Read a long text without recognisable blocks: its first and last paragraphs, and labelled questions within."""
    head = _head(text, start, end)
    strong = head is not None and is_decisive(text[head[0] : head[1]])
    tail = _tail(text, max(start, head[1] if head else start), end, strong)
    return [span for span in (head, tail, *_asides(text, start, end)) if span]


def _head(text: str, start: int, end: int) -> Span | None:
    """The paragraphs at the beginning that ask, up to the first line that begins a document."""
    stop = start
    for first, last in paragraphs(text, start, min(end, start + 2 * _LOOSE_ASK)):
        line = text[first : line_end(text, first)]
        if begins_material(line) and not _ASK_HEADER.matches(text, first):
            break
        cut = _head_cut(text, first, last, stop == start)
        if cut == first and stop > start and not is_turn(line) and is_personal(text[first:last]):
            cut = last
        if cut == first and stop > start and LIST_ITEM.match(line):
            cut = _list_end(text, first, last)
        stop = cut if cut > first else stop
        if cut < last or stop - start > _LOOSE_ASK:
            break
    return (start, stop) if stop > start else _opening(text, start, end)


def _opening(text: str, start: int, end: int) -> Span | None:
    """A first paragraph that is short and tells how to answer, by its keys ("Tone: formal") or its words."""
    found = paragraphs(text, start, min(end, start + _LOOSE_ASK))
    if len(found) < 2 or found[0][1] - found[0][0] > 2 * SHORT:
        return None
    lines = text[slice(*found[0])].splitlines()
    told = are_settings(lines) or any(addresses(s) for line in lines for s in SENTENCE.split(line))
    return (start, found[0][1]) if told else None


def _list_end(text: str, start: int, end: int) -> int:
    """Where the list items at the beginning of a paragraph end."""
    for line in text[start : min(end, start + _PARAGRAPH)].splitlines(keepends=True):
        if not LIST_ITEM.match(line):
            break
        start += len(line)
    return start


def _head_cut(text: str, start: int, end: int, first: bool) -> int:
    """Where the asking part of a paragraph at the beginning ends; `start` where it does not ask."""
    lines = text[start : min(end, start + _PARAGRAPH)].splitlines(keepends=True)
    if end - start <= _PARAGRAPH and not any(begins_material(line) or is_turn(line) for line in lines[1:]):
        asks = any(map(asks_strongly, SENTENCE.split(text[start:end])))
        return end if asks or (first and end - start <= SHORT) else start
    at = start
    for line in lines:
        if len(line) > _PARAGRAPH or not _instructs(line):
            break
        at += len(line)
    if at == start and first and len(lines[0]) <= SHORT and len(lines) > 1 and lines[0].rstrip().endswith((":", "：")):
        return start + len(lines[0])
    if at == start and not is_turn(lines[0]) and asks_strongly(lines[0][:SHORT]):
        return start + _sentence_end(text[start:end])
    return at


def _instructs(line: str) -> bool:
    """Whether a line at the beginning tells what to do: by one of its sentences, or by a label."""
    if is_turn(line) and not ASK_LABEL.match(line.lstrip()):
        return False
    return any(asks_strongly(s) or addresses(s) for s in SENTENCE.split(line))


def _sentence_end(paragraph: str) -> int:
    match = SENTENCE.search(paragraph, 20)
    return match.start() if match and match.start() <= _PARAGRAPH else min(len(paragraph), SHORT)


def _tail(text: str, start: int, end: int, answered: bool) -> Span | None:
    """The asking text at the end: from the last label, or the last paragraphs (`answered`: the head asks)."""
    marked = _labelled_tail(text, start, end) or _ruled_tail(text, start, end)
    if marked is not None:
        return marked
    found = paragraphs(text, max(start, end - 2 * _LOOSE_ASK), end)
    at, first = _last_that_asks(text, found)
    if not found or (answered and _is_prose(text, first, end)):
        return None
    for before, until in reversed(found[:at]):
        if first > found[at][0] or end - before > _LOOSE_ASK or not _leads(text, before, until, first):
            break
        begin = _asking_end(text, before, until)
        first = begin
        if begin > before:
            break
    return first, found[-1][1]


def _last_that_asks(text: str, found: Sequence[Span]) -> tuple[int, int]:
    """The last of the paragraphs that asks, and where it begins to: a form, a signature, an example may follow it.

    Where none near the end does, the last paragraph; it is also where pasted material follows.
    """
    at_the_end = found and not text[found[-1][1] :].strip()
    for at in range(len(found) - 1, -1, -1) if at_the_end else ():
        before, until = found[at]
        begin = _asking_end(text, before, until)
        if found[-1][1] - begin > _AFTER and at < len(found) - 1:
            break
        if is_decisive(text[begin:until]):
            return at, begin
        if begin > before or not is_form(text[before:until]):
            break
    return len(found) - 1, _asking_end(text, *found[-1]) if found else 0


def _is_prose(text: str, start: int, end: int) -> bool:
    """Whether nothing shows that the last words ask: long ones, or a chat's, without a word of asking."""
    if end - start <= _BRIEF and not is_turn(text[start:end]):
        return False
    return not _is_strong(text, (start, end)) and not LIST_ITEM.match(text, start)


def _asking_end(text: str, start: int, end: int) -> int:
    """Where the asking part of a paragraph at the end begins: all of a short one, or its last lines."""
    return start if end - start <= 2 * SHORT else _tail_line(text, start, end)[0]


def _leads(text: str, start: int, end: int, following: int) -> bool:
    """Whether a paragraph before the asking text belongs to it: it asks, or a list that it introduces hangs on it."""
    line = text[max(start, line_start(text, end)) : end]
    if end - start <= SHORT and are_settings(text[start:end].splitlines()):
        return True
    if is_turn(line) or begins_material(text[start : line_end(text, start)]):
        return False
    hangs = LIST_ITEM.match(text, following) is not None
    if asks_strongly(line) or (hangs and (LIST_ITEM.match(text, start) is not None or line.endswith((":", "：")))):
        return True
    return is_personal(text[start:end])


def _labelled_tail(text: str, start: int, end: int) -> Span | None:
    window = max(start, end - LONG_ASK)
    labels = list(LABEL_LINE.find(text, window, end))
    if not labels:
        return None
    first = first_of_row(text, labels).start()
    alone = len(labels) == 1 and window > start and end - first <= (end - start) / 2
    if alone and _QUESTION_LABEL.match(text, first):
        return first, end
    return (first, end) if end - first <= _LOOSE_ASK else None


def _ruled_tail(text: str, start: int, end: int) -> Span | None:
    """What follows the last rule (`---`) of a text that has one or two: the user's own mark, not the document's."""
    rules = [m.end() for m in islice(_RULE.find(text, start, end), 3)]
    if not 1 <= len(rules) <= 2 or not 0 < end - rules[-1] <= _LOOSE_ASK:
        return None
    return _strip(text, rules[-1], end) if text[rules[-1] : end].strip() else None


def _tail_line(text: str, start: int, end: int) -> Span:
    """The last lines that ask, at least the last line, at most the last sentences of it."""
    at = line_start(text, max(start, end - 1))
    while at > start and end - at < _LOOSE_ASK:
        before = line_start(text, at - 1)
        line = text[before:at]
        if is_turn(line) or not (asks_strongly(line) or LIST_ITEM.match(line)):
            break
        at = before
    at = max(at, start)
    if end - at <= _PARAGRAPH:
        return at, end
    cuts = [m.end() for m in SENTENCE.finditer(text, end - _PARAGRAPH, end) if m.end() < end]
    return (cuts[0] if cuts else end - _PARAGRAPH), end


def _asides(text: str, start: int, end: int) -> list[Span]:
    """Labelled questions and instruction sections in the middle, where there are few."""
    found = [m.start() for pattern in (LABEL_LINE, _ASK_HEADER) for m in pattern.find(text, start, end)]
    if len(found) > _MAX_ASIDES:
        return []
    spans = []
    for at in found:
        match = BREAK.search(text, line_end(text, at) + 2, end)
        spans.append((at, min(match.start() if match else end, at + _PARAGRAPH)))
    return spans


def _is_strong(text: str, span: Span) -> bool:
    return any(map(asks_strongly, sentences(text[span[0] : span[1]])))


def _strip(text: str, start: int, end: int) -> Span:
    part = text[start:end]
    if not part.strip():
        return start, start
    return start + len(part) - len(part.lstrip()), start + len(part.rstrip())


def _join(text: str, spans: list[Span]) -> tuple[Span, ...]:
    """Order the spans, and join those with nothing but blanks between them."""
    joined: list[Span] = []
    for start, end in sorted(spans):
        if joined and (start <= joined[-1][1] or not text[joined[-1][1] : start].strip()):
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return tuple(joined)
