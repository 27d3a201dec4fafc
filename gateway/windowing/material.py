"""Pasted material inside a message: fenced files, tagged documents, quoted blocks, JSON, and the lines that begin it.

Everything works on character offsets of the text, in linear time: compiled patterns find the few boundary lines,
and only those are looked at.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from gateway.windowing.lexicon import MATERIAL_LABEL, asks_strongly

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Block:
    """One block of material: its span, its form (equal for blocks written alike), how many were joined."""

    start: int
    end: int
    form: str
    count: int = 1


class LinePattern:
    """A pattern that begins a line, searched by the newline before it (3 to 20 times faster than with `^`)."""

    def __init__(self, pattern: str, flags: int = 0) -> None:
        self._here = re.compile(pattern, flags)
        self._next = re.compile(f"\\n(?={pattern})", flags)

    def find(self, text: str, start: int = 0, end: int | None = None) -> Iterator[re.Match[str]]:
        """Yield the matches at the beginnings of lines that begin in [start, end)."""
        end = len(text) if end is None else end
        if (start == 0 or text[start - 1] == "\n") and (match := self._here.match(text, start, end)):
            yield match
        for newline in self._next.finditer(text, start, end):
            match = self._here.match(text, newline.end(), end)
            if match:
                yield match

    def matches(self, text: str, position: int) -> bool:
        """Whether the pattern matches at `position`."""
        return self._here.match(text, position) is not None


_FENCE = LinePattern(r"[ \t]{0,3}+(?P<marker>`{3,}|~{3,})(?P<info>[^\n`]*)")
_FILE_HEADER = re.compile(
    r"(?P<prefix>(?:#{1,6}|//|--|\*\*|`|file\s*[:=]|path\s*[:=]|\d+[.)])?[ \t]*(?:(?:file(?:name)?"
    r"|path)\s*[:=]?)?[ \t]*[*`]{0,3})"
    r"[\w@+~-]*(?:[./\\][\w@+~ -]+)+[`*:)]*\s*",
    re.IGNORECASE,
)
_TAG = re.compile(r"<(/?)([^\W\d][\w:.-]{0,60})((?:\s[^<>]{0,500})?)>")
_INLINE_TAG = re.compile(
    r"a|abbr|b|blockquote|br|center|code|dd|del|details|div|d[lt]|em|font|h[1-6r]|i|img|input|ins|kbd|li|[ou]l|p"
    r"|picture"
    r"|pre|s|samp|small|span|strong|su[bp]|summary|table|tbody|t[dhrtu]|thead|u",
    re.IGNORECASE,
)
REFERENCE_TAG = re.compile(
    r"<(?:\w+[_-])?(?:documents?|docs?|contexts?|sources?|articles?|passages?|files?|texts?|contents?|transcripts?"
    r"|knowledge(?:_base)?|pages?|chunks?|results?|data|records?|excerpts?|materials?|references?|code_?base"
    r"|repo(?:sitory)?|contracts?|manual|book)>",
    re.IGNORECASE,
)
_ASK_NAME = (
    r"(?:user_?|final_?)?(?:question|query|instruction|task|request|prompt|ask|goal|requirement|rule|guideline"
    r"|constraint"
    r"|(?:output|response|answer)_?(?:format|style)?|format|role|objective|formatting)"
)
_ASK_TAG = re.compile(f"(?:{_ASK_NAME})s?", re.IGNORECASE)
_ASK_ELEMENT = re.compile(rf"<((?:{_ASK_NAME})s?)(?:\s[^<>\n]{{0,200}})?>", re.IGNORECASE)
_QUOTES = LinePattern(
    r"[ \t]*+(?=[\"'<>=*#-])(?P<marker>\"\"\"|\'\'\'|<<<+|>>>+|-{5,}|={5,}|\*{5,}|#{7,})[ \t]*(?=\n|\Z)"
)
_JSON_NUMBER = r"-?\d++(?:\.\d++)?(?:[eE][+-]?\d++)?\s*[,\]]"
_JSON_START = LinePattern(rf"[ \t]*+[\[{{](?=\s*(?:[\"\[{{}}\]]|\n|{_JSON_NUMBER}))")
_JSON_END = re.compile(r"[\]}][ \t]*(?=\n|\Z)")
_NOT_JSON = re.compile(r"\n[ \t]*(?!true|false|null)[^\W\d_]")
_HEADER = re.compile(
    r"(?:<[^\W\d][^<>\n]{0,200}>|-{2,}[ \t]*\S[^\n]{0,200}?[ \t]*-{2,}"  # --- Document 3: Title ---
    r"|={2,}[ \t]*\S[^\n]{0,200}?[ \t]*={2,}"
    r"|\[[^\]\n]{1,160}\]"  # [Title], [21 May 2023]
    r"|#{1,6}[ \t]+\S[^\n]{0,200}"  # # Title
    r"|(?:document|doc|passage|source|chapter|section|article|review|exhibit|email|file|page|part|item|chunk"
    r"|context)"
    r"[ \t]*[#№]?[ \t]*\d[\w.]*\b[^\n]{0,160})[ \t]*\Z",
    re.IGNORECASE,
)
_TURN = re.compile(
    r"(?:\[[^\]\n]{1,40}\][ \t]*"
    r"|\d[\d:.,/ TZ+-]{3,30}[ \t]*(?:-[ \t]*)?)?[^\W\d][\w .'()&-]{0,60}[ \t]*[:：][ \t]*\S"
)
_RECORD = re.compile(
    r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d|\[?\d\d[:/]\d\d[:/]\d\d|(?:DEBUG|INFO|WARN(?:ING)?|ERROR|FATAL|TRACE)\b"
    r"|[\w\"' .-]*(?:[,;\t|][\w\"' .@/-]*){3,}\Z"
)
_CODE = re.compile(
    r"(?:(?:async def|def|class|function|import|export|const|public|private|protected|static|package|struct|fn"
    r"|func|impl)\b"
    r"[^.?]{0,200}[({;:=]|#include\b|from \S{1,80} import\b|@\w+|[^?]{0,300}[{};]\Z)"
)
_WORD = re.compile(r"[^\W\d_]")
_MIN_BLOCK = 1200
LONG_ASK = 24_000  # characters: the longest question that is kept whole where it can be told from material
_MAX_ASIDE = 8000
_MAX_ASK_ELEMENTS = 6
_PAIRED = (2, 4, 6, 8)


def line_start(text: str, position: int) -> int:
    """Give the offset at which the line of `position` begins."""
    return text.rfind("\n", 0, position) + 1


def line_end(text: str, position: int) -> int:
    """Give the offset of the newline that ends the line of `position`, or the text's end."""
    end = text.find("\n", position)
    return len(text) if end < 0 else end


def begins_material(line: str) -> bool:
    """Whether a line by its form begins a document: a title line, a label, code, a log or CSV record."""
    line = line[:400].strip()
    return bool(_HEADER.match(line) or MATERIAL_LABEL.match(line) or _RECORD.match(line) or _CODE.match(line))


def is_turn(line: str) -> bool:
    """Whether a line looks like one turn of a written conversation (`Name: words`)."""
    return bool(_TURN.match(line))


def blocks(text: str) -> list[Block]:
    """Give the blocks of pasted material; their forms are `file...`, `<tag>`, `quote`, `json`, or empty for a fence."""
    headed, plain = _fenced(text)
    loose = [b for b in [*plain, *_quoted(text), *_json(text)] if b.end - b.start >= _MIN_BLOCK]
    runs = _runs(text, headed) or _outside(_runs(text, list(_tagged(text))), loose)
    if not _weighs(runs, len(text)):
        runs = []
    if runs:
        # What follows a run of documents is the question, with its own fences and quotes, unless it is very long.
        loose = [b for b in loose if b.end <= runs[0].start or b.start > runs[-1].end + LONG_ASK]
    return [*runs, *loose]


def _outside(runs: list[Block], containers: list[Block]) -> list[Block]:
    """Drop the runs that stand inside of a fence or quotes."""
    ordered = sorted(containers, key=lambda b: b.start)
    starts = [b.start for b in ordered]
    return [run for run in runs if (at := bisect_right(starts, run.start)) == 0 or ordered[at - 1].end < run.end]


def _weighs(runs: list[Block], size: int) -> bool:
    """Whether runs make up most of a text, or are documents by name; else they are elements within a text."""
    return (
        any(REFERENCE_TAG.fullmatch(r.form) or r.form.startswith("file") for r in runs)
        or 2 * sum(r.end - r.start for r in runs) > size
    )


def ask_elements(text: str) -> list[Span]:
    """Give the elements whose tag says that they ask (`<question>…</question>`), wherever they stand, if few."""
    found = list(islice(_ASK_ELEMENT.finditer(text), _MAX_ASK_ELEMENTS + 1))
    if len(found) > _MAX_ASK_ELEMENTS:
        return []
    spans = [(m.start(), text.find(f"</{m[1]}>", m.end()) + len(m[1]) + 3) for m in found]
    return [(start, end) for start, end in spans if 0 < end - start <= LONG_ASK]


def _fenced(text: str) -> tuple[list[Block], list[Block]]:
    """Fenced blocks: those under a line that names a file (header included), and the others."""
    headed: list[Block] = []
    plain: list[Block] = []
    opened: tuple[int, str, str] | None = None  # start, marker, form
    for match in _FENCE.find(text):
        marker, info = match["marker"], match["info"].strip()
        header = _file_header(text, match.start()) if info or opened is None else None
        if opened is not None and header is None:
            if not info and marker.startswith(opened[1]):
                (headed if opened[2] else plain).append(Block(opened[0], match.end(), opened[2]))
                opened = None
            continue
        if opened is not None and header is not None and opened[2]:
            headed.append(Block(opened[0], header[0], opened[2]))  # a file whose own fences confused the pairing
        opened = (header[0], marker, header[1]) if header else (match.start(), marker, "")
    return headed, plain


def _file_header(text: str, fence: int) -> tuple[int, str] | None:
    """The line above a fence where it names a file: its start, and its form."""
    above = max(0, fence - 3)
    end = above + len(text[above:fence].rstrip())
    start = line_start(text, end)
    if not 0 < end - start <= 240:
        return None
    match = _FILE_HEADER.fullmatch(text, start, end)
    return (start, "file" + match["prefix"].strip().lower()) if match else None


def _tagged(text: str) -> Iterator[Block]:
    """Elements that begin a line, outermost first, without HTML's inline ones."""
    tags = [m for m in _TAG.finditer(text) if not _INLINE_TAG.fullmatch(m[2])]
    closers: dict[str, list[int]] = {}
    for tag in tags:
        if tag[1]:
            closers.setdefault(tag[2], []).append(tag.end())
    done = 0
    for tag in tags:
        if tag[1] or tag.start() < done or text[line_start(text, tag.start()) : tag.start()].strip():
            continue
        ends = closers.get(tag[2], [])
        at = bisect_right(ends, tag.end())
        if at < len(ends):
            done = ends[at]
            if not _ASK_TAG.fullmatch(tag[2]):
                yield Block(tag.start(), done, f"<{tag[2]}>")


def _quoted(text: str) -> list[Block]:
    """Text between pairs of equal lines of quotes or rules, where such lines do nothing else in the text."""
    pairs: dict[str, list[re.Match[str]]] = {}
    for match in _QUOTES.find(text):
        pairs.setdefault(match["marker"].replace(">", "<")[:3], []).append(match)
    quoted = []
    for marks in pairs.values():
        found = [Block(a.start(), b.end(), "quote") for a, b in zip(marks[::2], marks[1::2], strict=False)]
        if len(marks) in _PAIRED and 2 * sum(b.end - b.start for b in found) > len(text):
            quoted += found
    return quoted


def _json(text: str) -> Iterator[Block]:
    """JSON texts and JSON lines: from a line that begins one to the last that ends one before a line of words."""
    done = 0
    for first in _JSON_START.find(text):
        if first.start() < done:
            continue
        words = _NOT_JSON.search(text, first.end())
        done = words.start() if words else len(text)
        last = max(text.rfind("}", first.start(), done), text.rfind("]", first.start(), done))
        if last - first.start() >= _MIN_BLOCK and _JSON_END.match(text, last) and _is_json(text, first.start(), last):
            yield Block(first.start(), last + 1, "json")


def _is_json(text: str, start: int, end: int) -> bool:
    marks = text.count('":', start, end) + text.count('" :', start, end) + text.count("},", start, end)
    return marks >= (end - start) / 400 or text[start : start + 2000].count(",") > 100


def _runs(text: str, found: list[Block]) -> list[Block]:
    """Join blocks of one form, with what stands between them where it is short, and drop runs that carry little."""
    joined: list[Block] = []
    for block in found:
        near = joined and joined[-1].form == block.form and _is_seam(text, joined[-1].end, block)
        if near:
            joined[-1] = Block(joined[-1].start, block.end, block.form, joined[-1].count + 1)
        else:
            joined.append(block)
    largest = max((b.end - b.start for b in joined), default=0)
    return [b for b in joined if b.end - b.start >= max(_MIN_BLOCK, largest // 20)]


def _is_seam(text: str, end: int, block: Block) -> bool:
    """Whether nothing but rules and titles stands between two blocks; between named files, nothing that asks."""
    lines = [line for line in text[end : min(block.start, end + _MAX_ASIDE)].splitlines() if line.strip()]
    if block.form.startswith("file"):  # a long stretch is a file's own text after a fence of its own
        return block.start - end > _MAX_ASIDE or not any(map(asks_strongly, lines))
    return block.start - end <= _MAX_ASIDE and all(begins_material(line) or not _WORD.search(line) for line in lines)


def merge(found: list[Block]) -> tuple[Span, ...]:
    """Give the ascending, disjoint spans that the blocks cover."""
    merged: list[Span] = []
    for block in sorted(found, key=lambda b: b.start):
        if merged and block.start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(block.end, merged[-1][1]))
        else:
            merged.append((block.start, block.end))
    return tuple(merged)
