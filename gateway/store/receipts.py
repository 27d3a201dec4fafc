"""Receipts: what was made of one request, beyond what the ledger's entry says; of the latest requests alone."""

import zlib
from enum import StrEnum
from typing import NamedTuple

import msgspec

_LEVEL = 1  # most of what there is to gain, in a third of the time
_LONGEST = 64 << 20  # bytes of one receipt; what unpacks to more was not packed here


class SpanKind(StrEnum):
    """What a stretch of a request is."""

    PROTECTED = "protected"  # stays word for word
    CHUNK = "chunk"  # of a text that may be trimmed
    GAP = "gap"  # in no chunk, and gone with its message


class Span(NamedTuple):
    """A stretch of a request, in the order in which it stands there.

    `score` is 0 for the request's least likely chunk and 1 for its likeliest, None for what was not scored.
    """

    kind: SpanKind
    tokens: int
    score: float | None
    kept: bool


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """What was made of one request.

    `question` and `forwarded_body` are "" where prompts are not to be kept; `spans` are empty where no window was made.
    `stages` are (name, milliseconds), `attempts` say "upstream: outcome", `time` is in seconds since the epoch.
    """

    id: str
    team: str
    time: float
    question: str = ""
    spans: tuple[Span, ...] = ()
    stages: tuple[tuple[str, float], ...] = ()
    forwarded_body: str = ""
    model_served: str = ""
    attempts: tuple[str, ...] = ()
    confidence: float | None = None
    overhead_ms: float = 0.0


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Receipt).decode


def packed(receipt: Receipt) -> bytes:
    """Return the receipt in few bytes."""
    return zlib.compress(_encode(receipt), _LEVEL)


def unpacked(stored: bytes) -> Receipt:
    """Return the receipt of these bytes."""
    return _decode(zlib.decompressobj().decompress(stored, _LONGEST))
