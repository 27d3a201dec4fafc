"""Which parts of a system or developer message are reference material that may be trimmed.

The rule is caution: a message is protected as a whole unless it evidently carries material. Evidence is a block
that is pasted by its form (see `material`) and does not instruct, or an introduction that announces material
("Answer from the following material only.", "The repository's files:") before long text that does not instruct.
"""

import re
from collections.abc import Callable

from gateway.windowing.lexicon import ASK_LABEL, MATERIAL_LABEL, REQUEST_START, UNSPACED_REQUEST
from gateway.windowing.material import Span, bodies

PROTECTED_CHARACTERS = 6_000  # a message up to this length is instructions, whatever it looks like
PROTECTED_TOKENS = 2_000
_MIN_REFERENCE = 2_000  # characters worth trimming
_MAX_DIRECTIVES = 2.0  # per 1,000 characters: above, a text instructs (agent prompts 4 to 12, documents 0 to 1)

_MAX_DIRECTIVES_ANNOUNCED = 4.0
_INTRODUCTION = 3_000  # characters within which an introduction, or the instructions after the material, are sought

_BREAK = re.compile(r"\n[ \t\r]*\n\s*")
_DIRECTIVE = re.compile(
    r"\b(?:you (?:must|should|can|cannot|can't|may|will|are|have|need)|do not|don't|never|always|must not"
    r"|your (?:task|job|role|goal)"
    r"|make sure|ensure that|respond with|avoid|use the \w+ tool|du (?:musst|sollst|darfst)|vous devez|debes"
    r"|deve)\b"
    r"|(?:^|(?<=\n))\s*(?:[-*•]|\d+[.)])\s+(?:\*\*)?(?:use|do|never|always|if|when|ask|call|keep|only|include"
    r"|provide|write|return"
    r"|avoid|ensure|check|follow|answer|respond|respect|prefer)\b|你必须|你应该|请勿|不要|してください|なければなりません",
    re.IGNORECASE,
)
_ANNOUNCES = re.compile(
    r"\b(?:following|below|provided|attached|given|these|supplied)\b.{0,60}\b(?:material|documents?|texts?"
    r"|context|sources?|passages?"
    r"|articles?|information|files?|code|content|transcripts?|data|excerpts?|knowledge|pages?|manual|contract"
    r"|conversation|records?)\b"
    r"|\b(?:material|documents?|texts?|context|sources?|passages?|articles?|files?|code ?base|content"
    r"|transcripts?|knowledge base"
    r"|excerpts?|documentation|manual|handbook|contract|records?)\b.{0,60}?(?:\b(?:below|follows?|following)\b"
    r"|:\s*$)"
    r"|\b(?:folgende[nmrs]?|suivants?|siguientes?|seguent[ei]|volgende|följande|następując\w+|следующ\w+"
    r"|наступн\w+|aşağıdaki)\b"
    r"|以下|下記|次の|下面|如下|다음|아래|ต่อไปนี้|निम्न|التالي",
    re.IGNORECASE | re.DOTALL,
)


_DOCUMENT_TITLE = re.compile(
    r"(?:^|(?<=\n))(?:[-=]{2,}[ \t]*)?(?:document|doc|source|passage|article|chunk|excerpt"
    r"|page)[ \t]*[#№]?\d+\b[^\n]{0,200}(?=\n)",
    re.IGNORECASE,
)


def reference_spans(text: str, tokens: Callable[[str], int] | None = None) -> tuple[Span, ...]:
    """Give the ascending spans of reference material in a system message; empty: protect the whole message.

    `tokens` counts a text's tokens where the caller can: a message of few tokens is protected whole, however long.
    """
    if len(text) <= PROTECTED_CHARACTERS and (
        tokens is None or len(text.encode("utf-8", "replace")) <= PROTECTED_CHARACTERS
    ):
        return ()
    if tokens is not None and tokens(text) <= PROTECTED_TOKENS:
        return ()
    blocks = [span for span in bodies(text) if _is_reference(text, span)]
    spans = [part for start, end in _between(text, blocks) for part in _announced(text, start, end)]
    return tuple(sorted([*blocks, *spans]))


def _is_reference(text: str, span: Span) -> bool:
    return span[1] - span[0] >= _MIN_REFERENCE and directives(text[span[0] : span[1]]) <= _MAX_DIRECTIVES


def directives(text: str) -> float:
    """Count what a text tells its reader to do, per 1,000 characters."""
    return 1000 * sum(1 for _ in _DIRECTIVE.finditer(text)) / max(1, len(text))


def _between(text: str, blocks: list[Span]) -> list[Span]:
    edges = [0, *(edge for block in blocks for edge in block), len(text)]
    return [(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if b - a >= _MIN_REFERENCE]


def _announced(text: str, start: int, end: int) -> list[Span]:
    """The material that an introduction or a row of document titles announces, without the instructions after it."""
    begin = _material_start(text, start, end)
    if begin is None:
        return []
    until = _instructions_start(text, begin, end)
    if until - begin < _MIN_REFERENCE or directives(text[begin:until]) > _MAX_DIRECTIVES_ANNOUNCED:
        return []
    return [(begin, until)]


def _material_start(text: str, start: int, end: int) -> int | None:
    titles = [m.start() for m in _DOCUMENT_TITLE.finditer(text, start, end)]
    position = start
    for match in _BREAK.finditer(text, start, min(end, start + _INTRODUCTION)):
        paragraph = text[position : match.start()]
        if titles and position <= titles[0] < match.start():
            return titles[0]
        if _ANNOUNCES.search(paragraph) or MATERIAL_LABEL.match(paragraph.rsplit("\n", 1)[-1]):
            return match.end()
        position = match.end()
    return titles[0] if titles else None


def _instructions_start(text: str, start: int, end: int) -> int:
    """Where the instructions after the material begin: the last paragraphs that instruct."""
    window = max(start, end - _INTRODUCTION)
    breaks = [m.span() for m in _BREAK.finditer(text, window, len(text[:end].rstrip()))]
    until = end
    for _, begin in reversed(breaks):
        if not _instructs(text[begin:until]):
            break
        until = begin
    return until


def _instructs(paragraph: str) -> bool:
    if len(paragraph) > _INTRODUCTION // 2:
        return False
    return bool(
        _DIRECTIVE.search(paragraph)
        or REQUEST_START.match(paragraph)
        or ASK_LABEL.match(paragraph.lstrip())
        or (not paragraph.isascii() and UNSPACED_REQUEST.search(paragraph))
    )
