"""Which parts of a system or developer message are reference material that may be trimmed.

The rule is caution: instructions are never trimmed, so a message is protected as a whole unless it evidently carries
material. Evidence is one of: documents or files in a row, marked as such; a quoted block or data that makes up most of
the message; or an introduction that announces material ("Answer from the following material only.", "Context:").
And whatever is taken for material must not itself instruct. Measured on 79 agent skills and workflow prompts, which
are full of fenced examples and of sentences like "the following files": see the tests.
"""

import re
from collections.abc import Callable

from gateway.windowing.lexicon import ASK_LABEL, REQUEST_START, UNSPACED_REQUEST
from gateway.windowing.material import REFERENCE_TAG, Block, Span, blocks

PROTECTED_SIZE = 6_000  # bytes: a message up to this size is instructions, whatever it looks like
PROTECTED_TOKENS = 2_000
_MIN_REFERENCE = 2_000  # characters worth trimming
_MAX_DIRECTIVES = (
    2.2  # per 1,000 characters: policies and agent prompts have 3 to 10, meetings up to 2, texts under 0.5
)
_MAX_LOCAL_DIRECTIVES = 8.0  # in one slice: instructions hidden between documents
_ORDER = 600  # characters of a paragraph between documents that may instruct
_MOST_ORDERS = 12
_MOST_OF_ORDERS = 0.1  # of the material
_SLICE = 2_000
_SLICES = 16
_INTRODUCTION = 1_500  # characters within which an introduction announces material
_CLOSING = 3_000  # characters within which instructions after the material are sought
_SHORT = 300
_LABEL_REACH = 8_000  # characters within which a line like "Context:" begins the material

_NOUN = (
    r"(?:materials?|documents?|texts?|context|sources?|passages?|articles?|files?|code ?base|content"
    r"|transcripts?|data"
    r"|excerpts?|knowledge(?: base)?|pages?|manuals?|handbook|contracts?|conversations?|records?|documentation"
    r"|information"
    r"|repository|reports?|notes?|books?|papers?|logs?|e-?mails?|search results|snippets)"
)
_BREAK = re.compile(r"\n[ \t\r]*\n\s*")
_EXAMPLES = re.compile(
    r"\b(?:(?<!for )examples?|few[- ]?shot|demonstrations?|the style of|beispiel\w*|(?<!par )exemples?|(?<!por )"
    r"ejemplos?|exemplos?|esempi\w*|voorbeeld\w*|exempel|przykład\w*|пример\w*|örnek\w*)\b|示例|例子|样例|範例|例文|예시|예제|أمثلة|مثال",
    re.IGNORECASE,
)
_LABEL_END = re.compile(r"[^\n]{1,200}[:：][ \t]*\n")
_RULE = re.compile(r"\n[ \t]*(?:-{3,}|={3,}|\*{3,})[ \t]*\n")
_DIRECTIVE = re.compile(
    r"\b(?:you (?:must|should|can|cannot|can't|may|will|are|have|need)|do not|don't|never|always|must not|make sure"
    r"|your (?:task|job|role|goal)|ensure that|respond with|avoid|use the \w+ tool|du (?:musst|sollst|darfst)"
    r"|vous devez"
    r"|debes|deve)\b"
    r"|(?:^|(?<=\n))\s*(?:[-*•]|\d+[.)])\s+(?:\*\*)?(?:use|do|never|always|if|when|ask|call|keep|only|include"
    r"|provide"
    r"|write|return|avoid|ensure|check|follow|answer|respond|respect|prefer)\b"
    r"|你必须|你应该|请勿|不要|してください|なければなりません",
    re.IGNORECASE,
)
_ANNOUNCES = re.compile(
    r"\b(?:answer\w*|respond|reply|rely|use|using|based?|consult|refer|given|access|here(?:'s| is| are)|know\w*"
    r"|quote|cite|work|follows?)\b"
    rf"[^.:]{{0,80}}\b(?:following|below|provided|attached|these|this"
    rf"|supplied)\b[^.:]{{0,60}}\b{_NOUN}\b[^.:\n]{{0,60}}(?:[:.]\s*$|\b(?:only|alone)\b)"
    rf"|\b(?:from|use|using|based on|consult|in|on)\b[^.:]{{0,60}}\b{_NOUN} (?:only|alone|below|that follows?"
    rf"|provided)\b[^.:\n|]{{0,60}}[:.]\s*$"
    rf"|(?:^|[.\n] ?)(?:(?:the|this|our|their|here(?:'s| is| are))\b[^.:\n]{{0,60}}"
    rf"|[\w'’ ]{{0,40}})\b{_NOUN}(?: of [^.:\n]{{1,60}})?(?: below)?\s*:\s*$"
    r"|\b(?:folgende[nmrs]?|suivants?|suivantes|siguientes?|seguent[ei]|seguintes|volgende|följande"
    r"|następując\w+|следующ\w+"
    r"|наступн\w+|aşağıdaki|παρακάτω)\b[^.:\n]{0,80}[:.]?\s*$"
    r"|(?:以下|下記|次|下面|如下)の?.{0,20}(?:資料|文書|文章|本文|情報|内容|材料|知识库|知識庫|文档|資訊|信息|会议记录|上下文)"
    r"|다음 .{0,20}(?:자료|문서|내용)|ต่อไปนี้|निम्नलिखित|التالية?",
    re.IGNORECASE,
)
_LABEL = re.compile(
    r"\n[ \t]*(?:#{1,4} |\*\*)?(?:(?:the|here are the|retrieved|relevant|reference|source|provided"
    r"|background)\s+){0,2}"
    r"(?:context|documents?|sources|knowledge base|material|transcript|passages|search results|articles|excerpts"
    r"|documentation"
    r"|kontext|dokumente|contexte|contexto|контекст|上下文|资料|資料|参考资料"
    r"|컨텍스트)(?:\*\*)?[ \t]*[:：](?:\*\*)?[ \t]*\n",
    re.IGNORECASE,
)
_DOCUMENT_TITLE = re.compile(
    r"\n(?:[-=]{2,}[ \t]*|\[|#{1,4} )?(?:document|doc|source|passage|article|chunk|excerpt"
    r"|result)[ \t]*[#№]?\d+\b[^\n]{0,200}",
    re.IGNORECASE,
)


def reference_spans(text: str, tokens: Callable[[str], int] | None = None) -> tuple[Span, ...]:
    """Give the ascending spans of reference material in a system message; empty: protect the whole message.

    `tokens` counts a text's tokens where the caller can: a message of few tokens is protected whole, however long.
    """
    if len(text) <= PROTECTED_SIZE and len(text.encode("utf-8", "replace")) <= PROTECTED_SIZE:
        return ()
    if tokens is not None and tokens(text) <= PROTECTED_TOKENS:
        return ()
    found = [(b.start, b.end) for b in blocks(text) if _is_marked(text, b) and _is_reference(text, b.start, b.end)]
    rest = [part for start, end in _between(text, sorted(found)) for part in _announced(text, start, end)]
    return tuple(sorted([*found, *rest]))


def directives(text: str) -> float:
    """Count what a text tells its reader to do, per 1,000 characters."""
    return 1000 * sum(1 for _ in _DIRECTIVE.finditer(text)) / max(1, len(text))


def _is_marked(text: str, block: Block) -> bool:
    """Whether a block's form says that it is reference material, or it makes up most of the message."""
    if block.form.startswith("file") and block.count > 1:
        return True
    if REFERENCE_TAG.fullmatch(block.form):
        return True
    schema = block.form == "json" and '"properties"' in text[block.start : block.end]
    return block.end - block.start > 0.7 * len(text) and not block.form.startswith("<") and not schema


def _is_reference(text: str, start: int, end: int) -> bool:
    """Whether a stretch is long enough and does not instruct, by slices spread over it (long ones are sampled)."""
    if end - start < _MIN_REFERENCE:
        return False
    step = max(_SLICE, (end - start) // _SLICES)
    found = [directives(text[at : min(at + _SLICE, end)]) for at in (*range(start, end - _SLICE, step), end - _SLICE)]
    return sum(found) / len(found) <= _MAX_DIRECTIVES and max(found) <= _MAX_LOCAL_DIRECTIVES


def _between(text: str, found: list[Span]) -> list[Span]:
    edges = [0, *(edge for span in found for edge in span), len(text)]
    return [(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if b - a >= _MIN_REFERENCE]


def _announced(text: str, start: int, end: int) -> list[Span]:
    """The material that an introduction or a row of document titles announces, without the instructions after it."""
    begin = _material_start(text, start, end)
    if begin is None:
        return []
    until = _instructions_start(text, begin, end)
    return _between_orders(text, begin, until) if _is_reference(text, begin, until) else []


def _between_orders(text: str, start: int, end: int) -> list[Span]:
    """The material without the few short paragraphs in it that instruct; where there are many, they are its own."""
    orders = [(a, b) for a, b in _paragraphs(text, start, end) if b - a <= _ORDER and _orders(text[a:b])]
    size = sum(b - a for a, b in orders)
    if len(orders) > _MOST_ORDERS or size > _MOST_OF_ORDERS * (end - start):
        return [(start, end)]
    edges = [start, *(edge for span in orders for edge in span), end]
    return [(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if text[a:b].strip()]


def _paragraphs(text: str, start: int, end: int) -> list[Span]:
    edges = [start, *(edge for match in _BREAK.finditer(text, start, end) for edge in match.span()), end]
    return list(zip(edges[::2], edges[1::2], strict=True))


def _orders(paragraph: str) -> bool:
    return directives(paragraph) >= _MAX_LOCAL_DIRECTIVES


def _material_start(text: str, start: int, end: int) -> int | None:
    titles = [m.start() + 1 for m in _DOCUMENT_TITLE.finditer(text, max(0, start - 1), end)]
    if len(titles) > 1:
        return titles[0]
    label = _LABEL.search(text, start, min(end, start + _LABEL_REACH))
    if label:
        return label.end()
    if start == 0:
        rule = _RULE.search(text, 0, min(end, _INTRODUCTION))
        if rule and any(map(_announces, text[: rule.start()].splitlines())):
            return rule.end()
        position = 0
        for match in _BREAK.finditer(text, 0, min(end, _INTRODUCTION)):
            if _announces(text[position : match.start()]):
                return match.end()
            position = match.end()
        lines = _LABEL_END.finditer(text, 0, min(end, _INTRODUCTION))
        return next((match.end() for match in lines if _announces(match[0].strip())), None)
    return None


def _announces(introduction: str) -> bool:
    """Whether it announces material; examples show how to answer, and are none."""
    return _ANNOUNCES.search(introduction) is not None and _EXAMPLES.search(introduction) is None


def _instructions_start(text: str, start: int, end: int) -> int:
    """Where the instructions after the material begin: the first of the last short paragraphs that instructs.

    The very last paragraph stays where it is short: nothing tells an instruction from a sentence in every language.
    """
    stop = start + len(text[start:end].rstrip())
    breaks = [m.span() for m in _BREAK.finditer(text, max(start, end - _CLOSING), stop)]
    until, edge = end, stop
    for before, begin in reversed(breaks):
        if edge - begin > _CLOSING // 2:
            break
        if _instructs(text[begin:edge]) or (edge == stop and stop - begin <= _SHORT):
            until = begin
        edge = before
    return until


def _instructs(paragraph: str) -> bool:
    return bool(
        _DIRECTIVE.search(paragraph)
        or REQUEST_START.match(paragraph)
        or ASK_LABEL.match(paragraph.lstrip())
        or (not paragraph.isascii() and UNSPACED_REQUEST.search(paragraph))
    )
