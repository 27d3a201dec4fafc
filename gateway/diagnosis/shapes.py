"""What two replies to the same request have in common: not their words, which differ each time, but their shape."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

Json: TypeAlias = object
Paths: TypeAlias = frozenset[str]

# Headers of one hop, or of one moment.
_OF_THE_HOP = frozenset(
    ("connection", "keep-alive", "transfer-encoding", "content-length", "date", "server", "te", "trailer", "upgrade")
)
_OURS = "x-gateway-"


@dataclass(frozen=True, slots=True)
class Seen:
    """What of a reply is compared: its status, kind, headers' names, and the places of its body with their types.

    `error` is set instead where no reply came. `ended` tells of a stream whether it ended with [DONE].
    """

    status: int = 0
    content_type: str = ""
    headers: frozenset[str] = frozenset()
    places: Paths = frozenset()
    ended: bool | None = None
    error: str = ""


def names_of(headers: Sequence[tuple[bytes, bytes]]) -> frozenset[str]:
    """Return the headers' names that a relay has to keep."""
    names = (name.decode("latin-1").lower() for name, _ in headers)
    return frozenset(name for name in names if name not in _OF_THE_HOP and not name.startswith(_OURS))


def places_of(value: Json, at: str = "") -> Iterator[str]:
    """Yield every place of a JSON value with the type of what stands there; null may be anything, and is left out."""
    if isinstance(value, dict):
        yield f"{at or '.'}: object"
        for key, inner in value.items():
            yield from places_of(inner, f"{at}.{key}")
    elif isinstance(value, list):
        yield f"{at}: list"
        for inner in value:
            yield from places_of(inner, f"{at}[]")
    elif value is not None:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        yield f"{at}: {'number' if number else type(value).__name__}"


def differences(direct: Sequence[Seen], relayed: Seen) -> Iterator[str]:
    """Yield in what the relayed reply differs from both direct ones; what differs between those says nothing."""
    first, second = direct
    for name in ("error", "status", "content_type", "ended"):
        there, here = getattr(first, name), getattr(relayed, name)
        if there == getattr(second, name) != here:
            yield f"{name.replace('_', ' ')}: {_said(there)} directly, {_said(here)} through the gateway"
    yield from _sets("header", first.headers & second.headers, first.headers | second.headers, relayed.headers)
    yield from _sets("body", first.places & second.places, first.places | second.places, relayed.places)


def _sets(what: str, always: Paths, ever: Paths, here: Paths) -> Iterator[str]:
    for name in sorted(always - here):
        yield f"{what} {name} is missing through the gateway"
    for name in sorted(here - ever):
        yield f"{what} {name} is there only through the gateway"


def _said(value: object) -> str:
    return "none" if value in ("", None) else str(value)
