"""Which metrics a PromQL expression reads, and which labels and values it names of them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_TOKEN = re.compile(
    r"""(?P<text>"(?:[^"\\]|\\.)*")|(?P<range>\[[^\]]*\])|(?P<name>[A-Za-z_:][\w:]*)|(?P<number>\d[\w.]*)"""
    r"""|(?P<sign>=~|!~|!=|==|>=|<=|[-+*/%^(){},=<>])"""
)
_KEYWORDS = frozenset(("and", "or", "unless", "offset", "bool"))
_GROUPS = frozenset(("by", "without", "on", "ignoring", "group_left", "group_right"))


@dataclass(frozen=True, slots=True)
class Matcher:
    """A condition on a label, as `reason=~"error|deadline"`."""

    label: str
    sign: str
    value: str


@dataclass(slots=True)
class Selector:
    """A metric that is read, under what conditions; `groups` are the labels that are named of the sums it is in."""

    metric: str
    matchers: list[Matcher] = field(default_factory=list)
    groups: set[str] = field(default_factory=set)


def selectors(expression: str) -> list[Selector]:
    """Return what an expression reads.

    A label named by an aggregation, or to match two sides on, counts for all metrics in the innermost parentheses of
    which it says something; in `a and on (x) b` that is the whole around.
    """
    return _Reader(expression).read()


class _Reader:
    def __init__(self, expression: str) -> None:
        self._tokens = list(_tokens(expression))
        self._found: list[tuple[int, Selector]] = []
        self._groups: list[tuple[int, int, set[str]]] = []  # from, to (tokens), labels

    def read(self) -> list[Selector]:
        place = 0
        while place < len(self._tokens):
            place = self._step(place)
        for begin, end, labels in self._groups:
            for at, selector in self._found:
                if begin <= at < end:
                    selector.groups |= labels
        return [selector for _, selector in self._found]

    def _step(self, place: int) -> int:
        kind, text = self._tokens[place]
        following = self._tokens[place + 1][1] if place + 1 < len(self._tokens) else ""
        if kind != "name" or text in _KEYWORDS:
            return place + 1
        if text in _GROUPS:
            return self._group(place) if following == "(" else place + 1
        if following == "(" or (following in _GROUPS and self._opens_after_group(place + 1)):
            return place + 1
        self._found.append((place, selector := Selector(text)))
        if following != "{":
            return place + 1
        end = self._find("}", place)
        selector.matchers = list(_matchers(self._tokens[place + 2 : end]))
        return end + 1

    def _opens_after_group(self, place: int) -> bool:
        """Whether `by (...)` is followed by what is summed: then the name before is an aggregation's."""
        end = self._find(")", place)
        return end + 1 < len(self._tokens) and self._tokens[end + 1][1] == "("

    def _group(self, place: int) -> int:
        end = self._find(")", place)
        labels = {text for kind, text in self._tokens[place + 2 : end] if kind == "name"}
        if self._tokens[place][1] in ("by", "without") and end + 1 < len(self._tokens):
            assert self._tokens[end + 1][1] == "(", "write the labels before what is summed"
            self._groups.append((end + 1, self._closing(end + 1), labels))
        else:
            self._groups.append((*self._around(place), labels))
        return end + 1

    def _find(self, sign: str, place: int) -> int:
        return next(n for n in range(place, len(self._tokens)) if self._tokens[n][1] == sign)

    def _closing(self, place: int) -> int:
        depth = 0
        for n in range(place, len(self._tokens)):
            depth += {"(": 1, ")": -1}.get(self._tokens[n][1], 0)
            if depth == 0:
                return n
        raise ValueError("a parenthesis is not closed")

    def _around(self, place: int) -> tuple[int, int]:
        """Return where the innermost parentheses around a place begin and end; else the whole."""
        for n in range(place - 1, -1, -1):
            if self._tokens[n][1] == "(" and self._closing(n) > place:
                return n, self._closing(n)
        return 0, len(self._tokens)


def _tokens(expression: str) -> Iterator[tuple[str, str]]:
    for found in _TOKEN.finditer(expression):
        kind = found.lastgroup or ""
        yield kind, found[0]


def _matchers(tokens: list[tuple[str, str]]) -> Iterator[Matcher]:
    for n in range(0, len(tokens), 4):
        yield Matcher(tokens[n][1], tokens[n + 1][1], tokens[n + 2][1][1:-1])
