"""The commands and programs of a document, in their order."""

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
# An indented block is typed where its first word is a program; the others show what comes out.
_TYPED = re.compile(r"(?:[A-Z_]+=\S+ )*(?:make|curl|export|context-gateway|\.venv/bin/\S+)(?: |$)")
_INDENTED = re.compile(r"(?:^ {4}.*\n)+", re.M)
_HEREDOC = re.compile(r"<<'?(\w+)'?")


@dataclass(frozen=True, slots=True)
class Block:
    """What stands apart in a document: `sh` is typed, `python` is kept as a program."""

    kind: str
    code: str


def section(document: Path, heading: str) -> str:
    """Return what stands beneath the heading.

    Raises ValueError when the document has no such heading.
    """
    before, found, after = document.read_text().partition(f"\n## {heading}\n")
    if not found:
        raise ValueError(f"{document}: no heading {heading!r} after {len(before)} characters")
    return after.partition("\n## ")[0] + "\n"


def blocks(text: str) -> list[Block]:
    """Return the blocks of a text that are typed or kept, in their order."""
    fenced = [(m.start(), Block(m[1], m[2])) for m in _FENCE.finditer(text)]
    without = _FENCE.sub(lambda m: re.sub(r"[^\n]", "-", m[0]), text)  # as long, so that places stay
    found = [(m.start(), Block("sh", re.sub("^ {4}", "", m[0], flags=re.M))) for m in _INDENTED.finditer(without)]
    indented = [(place, block) for place, block in found if _TYPED.match(block.code)]
    return [block for _, block in sorted(fenced + indented, key=lambda pair: pair[0])]


def commands(code: str) -> Iterator[str]:
    """Yield the commands of a block one by one: a command goes on as long as a shell would ask for more."""
    command = ""
    for line in code.splitlines(keepends=True):
        command += line
        if _complete(command):
            if command.strip():
                yield command.strip()
            command = ""
    if command.strip():
        raise ValueError(f"no whole command: {command}")


def _complete(command: str) -> bool:
    heredoc = _HEREDOC.search(command)
    if heredoc and not re.search(rf"^{heredoc[1]}$", command, re.M):
        return False
    if command.rstrip().endswith("\\"):
        return False
    read = subprocess.run(["bash", "-n"], input=command, capture_output=True, text=True, check=False)  # noqa: S607
    return read.returncode == 0
