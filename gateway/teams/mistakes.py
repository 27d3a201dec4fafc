"""What is wrong with what an operator sent, in words: the field, and what is expected of it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

# Steps of a place that name a union's branch, and no field.
_BRANCHES = frozenset(("one", "list", "body", "query", "path"))


def first_mistake(errors: Iterable[Mapping[str, Any]]) -> tuple[str, str]:
    """Return the field and what is said of it, of the first of pydantic's errors."""
    first = next(iter(errors))
    return _field(first["loc"]), _sentence(first["msg"])


def _field(place: Sequence[object]) -> str:
    return ".".join(str(step) for step in place if step not in _BRANCHES)


def _sentence(message: str) -> str:
    if message.startswith("Extra inputs"):
        return "unknown field"
    if message == "Field required":
        return "missing; this field is required"
    if message.startswith("Input should be a valid dictionary"):
        return "expected an object with fields"
    if message == "Input should be a valid tuple":
        return "expected a list"
    message = message.removeprefix("Value error, ").replace("Input should be", "expected")
    return message[:1].lower() + message[1:]
