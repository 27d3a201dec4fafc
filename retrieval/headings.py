"""Recognises lines that begin something: a document, a section, a turn, a function, a paragraph."""

import re
from dataclasses import dataclass
from enum import IntEnum


class Strength(IntEnum):
    """How strong the boundary before a unit is."""

    WINDOW = 0
    SENTENCE = 1
    LINE = 2
    PARAGRAPH = 3
    TURN = 4
    HEADING = 5
    TITLE = 6


_TITLE = re.compile(
    r"""\s*(?:
      -{2,}\s*(?P<dashes>[^-\s].*?)\s*-{2,}        # --- Document 3: Name ---
    | ={2,}\s*(?P<equals>[^=\s].*?)\s*={2,}
    | \[(?P<brackets>[^\[\]]{1,120})\]             # [Name]
    | <(?:document|doc|file|source|page|article|context)\b(?P<tag>[^<>]*)>
    | \#{1,6}\s*(?:file:\s*)?(?P<path>[\w./\\-]+\.\w{1,8})     # ### src/module.py
    )\s*""",
    re.VERBOSE | re.IGNORECASE,
)
_MARKDOWN = re.compile(r"(#{1,6})\s+(\S.*?)\s*#*\s*")
_LATEX = re.compile(r"\s*\\((?:sub)*)section\*?\{([^}]*)\}.*")
_NUMBERED = re.compile(
    r"\s*(?:(?:[aA]rticle|ARTICLE|[sS]ection|SECTION|[cC]hapter|CHAPTER|§)\s*)?(?:\d+\.)*\d+[.:]?\s+[A-Z].*"
    r"|\s*(?:ARTICLE|SECTION|CHAPTER)\b.*"
    r"|\s*第[一二三四五六七八九十百千零〇两\d]{1,7}[条條章节節款编編篇回].*"
)
_TURN = re.compile(
    r"\s*(?:[\[(][^\])]{1,40}[\])]\s*)?(?P<who>[^\W\d_a-z][^\s:：]{0,30}(?: [^\s:：]{1,30}){0,4})(?::\s|：)"
)
_DEFINITION = re.compile(
    r"(?P<indent>\s*)(?:export\s+|default\s+|public\s+|private\s+|protected\s+|static\s+|async\s+|pub\s+|abstract\s+)*"
    r"(?:def|class|function|func|fn|interface|struct|enum|impl|trait|module|namespace)\b\s+[\w(<]"
)
_FENCE = re.compile(r"\s*(?:```|~~~)")
_LONGEST = 400  # characters of a line that are looked at: titles are shorter, and patterns stay quick
SAMPLE = 20_000  # characters by which a text is taken for source code
_FEWEST_LINES = 8  # of source code
_MARKS = frozenset("`~-=[<#\\")
_LINE, _PARAGRAPH = Strength.LINE, Strength.PARAGRAPH  # an enum's members are slow to look up
_SHORT = 100  # characters of a line that may be a heading without any mark


@dataclass(frozen=True, slots=True)
class Above:
    """What an outline knows where a text is interrupted, to be taken up again there."""

    code: bool
    title: str = ""
    sections: tuple[tuple[int, str], ...] = ()
    definitions: tuple[tuple[int, str], ...] = ()
    speaker: str = ""
    fenced: bool = False
    after_blank: bool = True

    @classmethod
    def beginning(cls, text: str) -> "Above":
        """Return what is known before a text's first line, by its first SAMPLE characters."""
        return cls(code=_looks_like_code(text))


class Outline:
    """Follows a text line by line and knows what stands over the current line."""

    def __init__(self, above: Above) -> None:
        self._title = above.title
        self._sections = list(above.sections)
        self._definitions = list(above.definitions)
        self._speaker = above.speaker
        self._fenced = above.fenced
        self._after_blank = above.after_blank
        self._code = above.code

    def interrupted(self) -> Above:
        """Return what is known after the last line."""
        return Above(
            self._code,
            self._title,
            tuple(self._sections),
            tuple(self._definitions),
            self._speaker,
            self._fenced,
            self._after_blank,
        )

    def above(self) -> str:
        """Return title, sections, enclosing definitions and speaker of the current line, from the outside in."""
        names = [
            self._title,
            *(name for _, name in self._sections),
            *(name for _, name in self._definitions),
            self._speaker,
        ]
        return " › ".join(name for name in names if name)

    def blank(self) -> None:
        """Take note of a blank line."""
        self._after_blank = True

    def enter(self, line: str) -> Strength:
        """Take in a line that is not blank; return the strength of the boundary before it."""
        after_blank, self._after_blank = self._after_blank, False
        if len(line) > _LONGEST:
            line = line[:_LONGEST]
        first = line.lstrip()[:1]
        strength = self._enter_mark(line, first) if first in _MARKS else None
        if strength is None:
            strength = self._enter_code(line) if self._fenced or self._code else self._enter_prose(line, first)
        if strength is None:
            return _PARAGRAPH if after_blank else _LINE
        return strength

    def _enter_mark(self, line: str, first: str) -> Strength | None:
        """Take in a line that begins with a mark."""
        if first in "`~" and _FENCE.match(line):
            self._fenced = not self._fenced
            self._definitions.clear()
            return _LINE
        if first in "-=[<#" and not self._fenced and (title := _TITLE.fullmatch(line)):
            return self._enter_title(title)
        if first == "#" and not self._fenced and not self._code and (heading := _MARKDOWN.fullmatch(line)):
            return self._enter_section(len(heading[1]), heading[2])
        if first == "\\" and (section := _LATEX.fullmatch(line)):
            return self._enter_section(1 + len(section[1]) // 3, section[2])
        return None

    def _enter_title(self, title: re.Match[str]) -> Strength:
        self._title = next(group for group in title.groups() if group is not None).strip()
        self._sections.clear()
        self._definitions.clear()
        self._speaker = ""
        return Strength.TITLE

    def _enter_section(self, level: int, name: str) -> Strength:
        while self._sections and self._sections[-1][0] >= level:
            self._sections.pop()
        self._sections.append((level, name))
        self._speaker = ""
        return Strength.HEADING if level > 1 else Strength.TITLE

    def _enter_code(self, line: str) -> Strength | None:
        """Keep the enclosing definitions; a line further left than one of them ends it."""
        indent = len(line) - len(line.lstrip())
        while self._definitions and self._definitions[-1][0] >= indent and line.strip() not in ")]}):":
            self._definitions.pop()
        if not _DEFINITION.match(line):
            return None
        self._definitions.append((indent, line.strip().rstrip(":{ ")[:120]))
        return Strength.TURN

    def _enter_prose(self, line: str, first: str) -> Strength | None:
        # The cheap tests come first: most lines of a long text are neither turns nor numbered.
        if (":" in line[:_SHORT] or "：" in line[:_SHORT]) and (turn := _TURN.match(line)):
            self._speaker = turn["who"]
            return Strength.TURN
        if not (first.isdigit() or first in "aAcCsS§第") or not _NUMBERED.match(line):
            return None
        return Strength.HEADING if len(line) < _SHORT and _NUMBERED.fullmatch(line) else Strength.PARAGRAPH


def _looks_like_code(text: str) -> bool:
    """Tell whether an unfenced text is source code, from its first SAMPLE characters."""
    if text.count("\n", 0, SAMPLE) < _FEWEST_LINES:
        return False
    lines = [line for line in text[:SAMPLE].split("\n") if line.strip()]
    marks = sum(
        1 for line in lines if _DEFINITION.match(line) or line.startswith(("import ", "from ", "#include", "return "))
    )
    return len(lines) > _FEWEST_LINES and marks * 12 > len(lines) and "```" not in text[:SAMPLE]
