"""Server-sent events on their way through: whole events pass on, what is in them is noted (WHATWG HTML 9.2)."""

import re

from gateway.answers import AnswerCount
from gateway.usage import Relayed, Usage, reported

# A line's end is CRLF, LF or CR, each as it comes; where two follow each other, the event is over.
_EVENT_END = re.compile(rb"\n\n|[\n\r]\r\n?")
# Blank lines and comments in front of an event, each to its end: with these a server keeps a silent stream alive.
_BETWEEN = re.compile(rb"(?:(?::[^\r\n]*)?(?:\r\n?|\n))*+")
_BETWEEN_BEGINS = frozenset(b":\r\n")
# A usage that holds something has one of its counts: `"usage": null`, which may stand in every event, has none.
_COUNTS = b"_tokens"
_USAGE = re.compile(rb'"usage"\s*:\s*\{')
_NUMBER = re.compile(rb'"sequence_number"\s*:\s*(\d{1,18})\b')
_NO_CHOICES = re.compile(rb'"choices"\s*:\s*\[\s*\]')
# An event that never ends is passed on in pieces rather than kept in memory.
_LONGEST_EVENT = 1 << 22
_SEAM = 2  # bytes of an event's end that may have come before its last


class EventRelay:
    """Takes a stream's bytes as they come and gives back what the client is to get.

    Only whole events go out, and comments between them, so that an error can follow. With `drop_usage` the chunk that
    holds nothing but the usage, which the client did not ask for, is left out.
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

    @property
    def next_number(self) -> int | None:
        """The number of the event that is to follow, where events have one as in the Responses API."""
        found = _NUMBER.findall(self._answer.latest)
        return int(found[-1]) + 1 if found else None

    def feed(self, data: bytes) -> bytes:
        """Return the whole events that these bytes complete, and the comments behind them."""
        if self._tail:
            return self._continued(data)
        if data.endswith(b"\n\n"):
            return self._noted(data)
        cut = _last_event_end(data) or (len(data) if len(data) >= _LONGEST_EVENT else 0)
        self._tail += data[cut:]
        out = self._noted(data[:cut]) if cut else b""
        return out + self._between() if self._tail and self._tail[0] in _BETWEEN_BEGINS else out

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
        out = self._noted(whole) if whole else b""
        # A comment of which still no line has ended is not looked through again.
        between = tail and tail[0] in _BETWEEN_BEGINS and (b"\n" in data or b"\r" in data)
        return out + self._between() if between else out

    def _between(self) -> bytes:
        """Return, of what waits, the comments that no event has begun before: nothing in them is to be kept."""
        found = _BETWEEN.match(self._tail)
        end = found.end() if found else 0
        comments = bytes(self._tail[:end])
        del self._tail[:end]
        return comments

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
    end = data.rfind(b"\n\n", start)
    if data.find(b"\r", start) >= 0:
        # An LF that has yet to come may belong to a last LF CR, as nearly always in streams whose lines end with CRLF.
        end = max(end, data.rfind(b"\r\r", start), data.rfind(b"\n\r", start, -1))
        if end >= 0 and data[end + 1 : end + 3] == b"\r\n":
            return end + 3
    return end + 2 if end >= 0 else 0


def _events(data: bytes) -> list[bytes]:
    ends = [match.end() for match in _EVENT_END.finditer(data)]
    starts = [0, *ends]
    return [data[a:b] for a, b in zip(starts, [*ends, len(data)], strict=True) if a < b]


def _payload(event: bytes) -> bytes:
    lines = (line for line in event.splitlines() if line.startswith(b"data:"))
    return b"\n".join(line[5:].strip() for line in lines)
