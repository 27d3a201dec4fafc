"""The strip of a request: its stretches in their order, in columns that are quickly written and read."""

import msgspec

PROTECTED, CHUNK, GAP = "p", "c", "g"
HIGHEST = 1000  # score; -1 where there is none
KEPT, DROPPED = "y", "n"


class Strip(msgspec.Struct, frozen=True, array_like=True):
    """A character or number for each stretch: its kind, tokens, score, whether it was kept.

    PROTECTED stays word for word, a CHUNK is text that may be trimmed, a GAP went with its message without having
    been scored. `question` is what was taken for it.
    """

    question: str
    kinds: str
    tokens: tuple[int, ...]
    scores: tuple[int, ...]
    kept: str


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Strip).decode


def packed(strip: Strip) -> bytes:
    """Return the strip in few bytes."""
    return _encode(strip)


def unpacked(stored: bytes) -> Strip:
    """Return the strip of these bytes."""
    return _decode(stored)
