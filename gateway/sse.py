"""Server-sent events on their way through: whole events pass on, the usage in them is noted (WHATWG HTML 9.2)."""

import re

from gateway.usage import Usage, usage_of_reply

_EVENT_END = re.compile(rb"\r\n\r\n|\n\n|\r\r")
_USAGE = re.compile(rb'"usage"\s*:\s*\{')
_NO_CHOICES = re.compile(rb'"choices"\s*:\s*\[\s*\]')
# An event that never ends is passed on in pieces rather than kept in memory.
_LONGEST_EVENT = 1 << 22


class EventRelay:
    """Takes a stream's bytes as they come and gives back what the client is to get.

    Only whole events go out, so that an error can follow them. With `drop_usage` the chunk that holds nothing
    but the usage, which the client did not ask for, is left out.
    """

    def __init__(self, drop_usage: bool) -> None:
        self.usage: Usage | None = None
        self.relayed_events = False
        self.drop_usage = drop_usage
        self._tail = b""

    def feed(self, data: bytes) -> bytes:
        """Return the whole events that these bytes complete."""
        data = self._tail + data if self._tail else data
        cut = _last_event_end(data)
        if cut == 0 and len(data) < _LONGEST_EVENT:
            self._tail = data
            return b""
        cut = cut or len(data)
        whole, self._tail = data[:cut], data[cut:]
        return self._noted(whole) if b'"usage"' in whole else self._sent(whole)

    def rest(self) -> bytes:
        """Return what is left when the upstream has ended its stream properly."""
        rest, self._tail = self._tail, b""
        return self._noted(rest)

    def _noted(self, whole: bytes) -> bytes:
        if not _USAGE.search(whole):
            return self._sent(whole)
        return self._sent(b"".join(event for event in _events(whole) if self._keeps(event)))

    def _keeps(self, event: bytes) -> bool:
        if not _USAGE.search(event):
            return True
        usage = usage_of_reply(_payload(event))
        self.usage = usage or self.usage
        return not (usage and self.drop_usage and _NO_CHOICES.search(event))

    def _sent(self, data: bytes) -> bytes:
        self.relayed_events = self.relayed_events or bool(data)
        return data


def _last_event_end(data: bytes) -> int:
    found = max(data.rfind(b"\n\n"), data.rfind(b"\r\r"))
    crlf = data.rfind(b"\r\n\r\n")
    ends = [found + 2 if found >= 0 else 0, crlf + 4 if crlf >= 0 else 0]
    return max(ends)


def _events(data: bytes) -> list[bytes]:
    ends = [match.end() for match in _EVENT_END.finditer(data)]
    starts = [0, *ends]
    return [data[a:b] for a, b in zip(starts, [*ends, len(data)], strict=True) if a < b]


def _payload(event: bytes) -> bytes:
    lines = (line for line in event.splitlines() if line.startswith(b"data:"))
    return b"\n".join(line[5:].strip() for line in lines)
