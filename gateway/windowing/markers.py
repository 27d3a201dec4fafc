"""The one form in which an omission is announced: `[… 214 lines omitted …]`."""

import re

JSON_COST = 16  # tokens that a marker takes at most in a JSON value

pattern = re.compile(r"\[… [^\]\n]{1,60} omitted …\]")


def marker(count: int, noun: str) -> str:
    """Return the marker for so many omitted things; the noun is given in the singular."""
    return f"[… {count} {noun if count == 1 else noun + 's'} omitted …]"


def measure(gap: str) -> str:
    """Return the marker for an omitted stretch of text: in lines, or within a line in words or characters."""
    if "\n" in gap:
        return marker(gap.strip("\r\n").count("\n") + 1, "line")
    words = len(gap.split())
    # A script without spaces has few "words", each very long.
    return marker(words, "word") if len(gap) <= 20 * words else marker(len(gap), "character")


def between(before: str, gap: str, after: str) -> str:
    """Return what stands for the gap between two kept stretches: on a line of its own when the text has lines."""
    lined = "\n" in gap or before.endswith("\n") or after.startswith("\n")
    space = "\n" if lined else " "
    left = "" if not before or _parts(before[-1], lined) else space
    right = "" if not after or _parts(after[0], lined) else space
    return left + measure(gap) + right


def _parts(edge: str, lined: bool) -> bool:
    return edge == "\n" if lined else edge.isspace()
