"""The scripts that run in Redis: their texts in lua/, and the commands that call them."""

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

Value = str | bytes | int | float
Command = tuple[Value, ...]

_FOLDER = Path(__file__).parent / "lua"


@dataclass(frozen=True, slots=True)
class Script:
    """A script, which Redis knows by the hash of its text once it has run it."""

    text: str
    sha: str

    @classmethod
    def of(cls, text: str) -> "Script":
        """Return the script of this text."""
        return cls(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())

    def call(self, keys: tuple[str, ...], *args: Value) -> Command:
        """Return the command that runs it by its hash."""
        return ("EVALSHA", self.sha, len(keys), *keys, *args)


@dataclass(frozen=True, slots=True)
class Scripts:
    """All scripts."""

    operations: Script
    expire: Script
    forget: Script
    change: Script
    keep: Script

    def in_full(self, command: Command) -> Command:
        """Return the call with the script's text instead of its hash, after which Redis knows it."""
        all_ = (self.operations, self.expire, self.forget, self.change, self.keep)
        texts = {script.sha: script.text for script in all_}
        return ("EVAL", texts[str(command[1])], *command[2:])


@cache
def scripts() -> Scripts:
    """Read the scripts; those about a team begin with what they share."""
    shared = _text("counters")
    operations, expire, forget = (Script.of(shared + _text(name)) for name in ("operations", "expire", "forget"))
    return Scripts(operations, expire, forget, Script.of(_text("change")), Script.of(_text("keep")))


def _text(name: str) -> str:
    return (_FOLDER / f"{name}.lua").read_text(encoding="utf-8")
