"""Server-sent events on their way through: whole events pass on, what is in them is noted (WHATWG HTML 9.2)."""

import re

from gateway.answers import AnswerCount
from gateway.usage import Relayed, Usage, reported

_EVENT_END = re.compile(rb"\r\n\r\n|\n\n|\r\r")
# A usage that holds something has one of its counts: `"usage": null`, which may stand in every event, has none.
_COUNTS = b"_tokens"
_USAGE = re.compile(rb'"usage"\s*:\s*\{')
_NO_CHOICES = re.compile(rb'"choices"\s*:\s*\[\s*\]')
# An event that never ends is passed on in pieces rather than kept in memory.
_LONGEST_EVENT = 1 << 22
_SEAM = len(b"\r\n\r\n") - 1  # bytes of an event's end that may have come before its last


class EventRelay:
    """Takes a stream's bytes as they come and gives back what the client is to get.

    Only whole events go out, so that an error can follow them. With `drop_usage` the chunk that holds nothing
    but the usage, which the client did not ask for, is left out.
    """

    def __init__(self, drop_usage: bool) -> None:
        self.usage: Usage | None = None
        self.model: str | None = None
        self.drop_usage = drop_usage
        self._tail = bytearray()  # of an event whose end has not come
        self._answer = AnswerCount()
        self._later: AnswerCount | None = None  # of what came after the latest usage

    @property
    def relayed(self) -> Relayed:
        """How much of the answer has been given back so far."""
        return self._answer.relayed

    @property
    def usage_passed(self) -> bool:
        """Whether more of the answer came after the latest usage, and not together with it."""
        return self._later is not None and self._later.relayed.events > 0

    def feed(self, data: bytes) -> bytes:
        """Return the whole events that these bytes complete."""
        if self._tail:
            return self._continued(data)
        if data.endswith(b"\n\n"):
            return self._noted(data)
        cut = _last_event_end(data) or (len(data) if len(data) >= _LONGEST_EVENT else 0)
        self._tail += data[cut:]
        return self._noted(data[:cut]) if cut else b""

    def _continued(self, data: bytes) -> bytes:
        """Return the whole events that these bytes complete behind half an event; they alone are searched."""
        tail = self._tail
        start = max(0, len(tail) - _SEAM)
        tail += data
        cut = len(tail) if data.endswith(b"\n\n") else _last_event_end(tail, start)
        if not cut and len(tail) >= _LONGEST_EVENT:
            cut = len(tail)
        whole = bytes(tail[:cut])
        del tail[:cut]
        return self._noted(whole) if whole else b""

    def rest(self) -> bytes:
        """Return what is left when the upstream has ended its stream properly."""
        rest, self._tail = bytes(self._tail), bytearray()
        return self._noted(rest) if rest else b""

    def _noted(self, whole: bytes) -> bytes:
        self._answer.add(whole)
        if _COUNTS not in whole or not (found := _USAGE.search(whole)):
            if self._later is not None:
                self._later.add(whole)
            return whole
        # Of many events that have come together it is the last ones: those before need not be told apart.
        start = _last_event_end(whole[: found.start()])
        return whole[:start] + b"".join(event for event in _events(whole[start:]) if self._keeps(event))

    def _keeps(self, event: bytes) -> bool:
        if not _USAGE.search(event):
            if self._later is not None:
                self._later.add(event)
            return True
        usage, model = reported(_payload(event))
        if usage:
            self._later = AnswerCount()
        self.usage, self.model = usage or self.usage, model or self.model
        return not (usage and self.drop_usage and _NO_CHOICES.search(event))


def _last_event_end(data: bytes | bytearray, start: int = 0) -> int:
    """Return where the last event that ends behind `start` ends, or 0."""
    if data.find(b"\r", start) < 0:
        return _after_last(data, b"\n\n", start)
    return max(_after_last(data, end, start) for end in (b"\n\n", b"\r\r", b"\r\n\r\n"))


def _after_last(data: bytes | bytearray, end: bytes, start: int) -> int:
    found = data.rfind(end, start)
    return found + len(end) if found >= 0 else 0


def _events(data: bytes) -> list[bytes]:
    ends = [match.end() for match in _EVENT_END.finditer(data)]
    starts = [0, *ends]
    return [data[a:b] for a, b in zip(starts, [*ends, len(data)], strict=True) if a < b]


def _payload(event: bytes) -> bytes:
    lines = (line for line in event.splitlines() if line.startswith(b"data:"))
    return b"\n".join(line[5:].strip() for line in lines)
