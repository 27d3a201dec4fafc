"""Pasted material inside a message: fenced files, tagged documents, quoted blocks, JSON, and the lines that begin it.

Everything works on character offsets of the text, in linear time: compiled patterns find the few boundary lines,
and only those are looked at.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

from gateway.windowing.lexicon import MATERIAL_LABEL, asks_strongly

Span = tuple[int, int]

_FENCE = re.compile(r"(?:^|(?<=\n))[ \t]{0,3}(`{3,}|~{3,})([^\n`]*)")
_FILE_HEADER = re.compile(
    r"(?P<prefix>(?:#{1,6}|//|--|\*\*|`|file\s*[:=]|path\s*[:=]|\d+[.)])?[ \t]*(?:(?:file(?:name)?"
    r"|path)\s*[:=]?)?[ \t]*[*`]{0,3})"
    r"[\w@+~-]*(?:[./\\][\w@+~ -]+)+[`*:)]*\s*",
    re.IGNORECASE,
)
_TAG = re.compile(r"<(/?)([^\W\d][\w:.-]{0,60})((?:\s[^<>\n]{0,500})?)>")
_INLINE_TAG = re.compile(
    r"a|abbr|b|blockquote|br|center|code|dd|del|details|div|d[lt]|em|font|h[1-6r]|i|img|input|ins|kbd|li|[ou]l|p|picture"
    r"|pre|s|samp|small|span|strong|su[bp]|summary|table|tbody|t[dhrtu]|thead|u",
    re.IGNORECASE,
)
_ASK_TAG = re.compile(
    r"(?:user_?|final_?)?(?:question|query|instruction|task|request|prompt|ask|goal|requirement|rule|guideline"
    r"|constraint"
    r"|(?:output|response|answer)_?(?:format|style)?|format|role|objective|thinking|formatting)s?",
    re.IGNORECASE,
)
_QUOTES = re.compile(r"(?:^|(?<=\n))[ \t]*(\"\"\"|'''|<<<+|>>>+|-{5,}|={5,}|\*{5,}|#{7,})[ \t]*(?=\n|$)")
_JSON_START = re.compile(r"(?:^|(?<=\n))[ \t]*[\[{](?=\s*(?:[\"\[{}\]]|\n|-?\d))")
_JSON_END = re.compile(r"[\]}][ \t]*(?=\n|$)")
_HEADER = re.compile(
    r"(?:-{2,}[ \t]*\S[^\n]{0,200}?[ \t]*-{2,}"  # --- Document 3: Title ---
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
_MIN_BLOCK = 1200
_MAX_ASIDE = 8000


@dataclass(frozen=True, slots=True)
class Block:
    """One block of material: its span, and its form (equal for blocks written alike)."""

    start: int
    end: int
    form: str


def line_start(text: str, position: int) -> int:
    """Give the offset at which the line of `position` begins."""
    return text.rfind("\n", 0, position) + 1


def line_end(text: str, position: int) -> int:
    """Give the offset of the newline that ends the line of `position`, or the text's end."""
    end = text.find("\n", position)
    return len(text) if end < 0 else end


def begins_material(line: str) -> bool:
    """Whether a line by its form begins a document: a title line, a label, a chat turn, a log or CSV record."""
    line = line.strip()
    return bool(_HEADER.match(line) or MATERIAL_LABEL.match(line) or _RECORD.match(line))


def is_turn(line: str) -> bool:
    """Whether a line looks like one turn of a written conversation (`Name: words`)."""
    return bool(_TURN.match(line))


def bodies(text: str) -> tuple[Span, ...]:
    """Give the ascending, disjoint spans that by their form are pasted: files, documents, quotes, JSON."""
    headed, plain = _fenced(text)
    runs = _runs(text, headed) or _runs(text, list(_tagged(text)))
    end = runs[-1].end if runs else 0
    # What comes after a run of documents is the question, with its own small fences and quotes.
    loose = [
        b
        for b in [*plain, *_quoted(text), *_json(text)]
        if not runs or b.end <= runs[0].start or b.start > end + 24_000
    ]
    return _merge([*runs, *(b for b in loose if b.end - b.start >= _MIN_BLOCK)])


def _fenced(text: str) -> tuple[list[Block], list[Block]]:
    """Fenced blocks: those under a line that names a file (header included), and the others."""
    headed: list[Block] = []
    plain: list[Block] = []
    opened: tuple[int, str, str] | None = None  # start, marker, form
    for match in _FENCE.finditer(text):
        marker, info = match[1], match[2].strip()
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


def _quoted(text: str) -> Iterator[Block]:
    """Text between two equal lines of quotes or rules."""
    opened: re.Match[str] | None = None
    for match in _QUOTES.finditer(text):
        if opened is not None and match[1] == opened[1].translate(str.maketrans("<", ">")):
            yield Block(opened.start(), match.end(), "quote")
            opened = None
        elif opened is None:
            opened = match


def _json(text: str) -> Iterator[Block]:
    """One JSON text or a series of JSON lines: from the first line that begins it to the last line that ends it."""
    first = _JSON_START.search(text)
    if first is None:
        return
    last = max(text.rfind("}"), text.rfind("]"))
    if last - first.start() < _MIN_BLOCK or not _JSON_END.match(text, last):
        return
    inside = text[first.start() : last + 1]
    if inside.count('":') + inside.count('" :') + inside.count("},") >= len(inside) / 400:
        yield Block(first.start(), last + 1, "json")


def _runs(text: str, blocks: list[Block]) -> list[Block]:
    """Join blocks of one form, with what stands between them where it is short, and drop runs that carry little."""
    joined: list[Block] = []
    for block in blocks:
        near = joined and joined[-1].form == block.form and _is_seam(text, joined[-1].end, block)
        if near:
            joined[-1] = Block(joined[-1].start, block.end, block.form)
        else:
            joined.append(block)
    largest = max((b.end - b.start for b in joined), default=0)
    return [b for b in joined if b.end - b.start >= max(_MIN_BLOCK, largest // 20)]


def _is_seam(text: str, end: int, block: Block) -> bool:
    """Whether nothing that asks stands between two blocks; a long stretch between named files is a file's own text."""
    if block.start - end > _MAX_ASIDE:
        return block.form.startswith("file")
    return not any(asks_strongly(line) for line in text[end : block.start].splitlines() if line.strip())


def _merge(blocks: list[Block]) -> tuple[Span, ...]:
    merged: list[Span] = []
    for block in sorted(blocks, key=lambda b: b.start):
        if merged and block.start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(block.end, merged[-1][1]))
        else:
            merged.append((block.start, block.end))
    return tuple(merged)
