"""What is wrong with what an operator sent, in words: the field, and what is expected of it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gateway.config import sentence

# Steps of a place that name a union's branch, and no field.
_BRANCHES = frozenset(("one", "list", "body", "query", "path"))


def first_mistake(errors: Iterable[Mapping[str, Any]]) -> tuple[str, str]:
    """Return the field and what is said of it, of the first of pydantic's errors."""
    first = next(iter(errors))
    return _field(first["loc"]), _sentence(first["msg"])


def _field(place: Sequence[object]) -> str:
    return ".".join(str(step) for step in place if step not in _BRANCHES)


def _sentence(message: str) -> str:
    if message.startswith("Input should be a valid dictionary"):
        return "expected an object with fields"
    return "expected a list" if message == "Input should be a valid tuple" else sentence(message)
