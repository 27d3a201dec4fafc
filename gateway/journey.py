"""A request's place in a distributed trace (W3C Trace Context), and when it came by where: spans are made of it later.

There is none unless traces are exported; where there is one, a request pays for some ids and times.
"""

import os
import re
import time
from collections.abc import Awaitable, Coroutine, Mapping
from typing import Any, TypeVar

import msgspec

from gateway.upstreams.candidates import Candidate
from gateway.upstreams.upstream import Headers, UpstreamReply

_PARENT, _STATE = b"traceparent", b"tracestate"
_SHAPE = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_LONGEST_STATE = 512
_SAMPLED, _RANDOM = 1, 2  # bits of the flags
_RATIO_BITS = 64  # of a trace's id decide on it, as in every OpenTelemetry SDK

T = TypeVar("T")


class Stretch(msgspec.Struct, frozen=True):
    """A part of a request's way, by `time.perf_counter`; `error` is what ended it, if that did."""

    name: str
    began: float
    ended: float
    error: str = ""


class Call(msgspec.Struct):
    """One attempt at an upstream; `ended` with the reply's head, or without one."""

    span: str
    candidate: Candidate
    began: float
    ended: float = 0.0
    status: int | None = None


class Journey(msgspec.Struct):
    """One request's way through the gateway: ids in hex, `span` its own, `parent` its caller's or empty."""

    method: str
    trace: str
    span: str
    flags: int
    parent: str = ""
    state: str = ""
    stretches: list[Stretch] = msgspec.field(default_factory=list)
    calls: list[Call] = msgspec.field(default_factory=list)

    @property
    def sampled(self) -> bool:
        """Whether it is to be exported."""
        return bool(self.flags & _SAMPLED)

    async def timed(self, name: str, work: Awaitable[T]) -> T:
        """Do a part of the work and note from when to when."""
        began, error = time.perf_counter(), ""
        try:
            return await work
        except BaseException as caught:  # cancelled too: the span says what ended it, and it goes on as it was
            error = getattr(caught, "code", None) or type(caught).__name__
            raise
        finally:
            self.stretches.append(Stretch(name, began, time.perf_counter(), error))

    async def called(self, candidate: Candidate, sent: Awaitable[UpstreamReply]) -> UpstreamReply:
        """Make an attempt, of which `headers` tell the upstream."""
        call = Call(_id(8), candidate, time.perf_counter())
        self.calls.append(call)
        try:
            reply = await sent
            call.status = reply.status
            return reply
        finally:
            call.ended = time.perf_counter()

    def headers(self, headers: Headers) -> Headers:
        """Return what leaves with the latest attempt: the caller's place in the trace is replaced by that one."""
        kept = [(name, value) for name, value in headers if name not in (_PARENT, _STATE)]
        kept.append((_PARENT, f"00-{self.trace}-{self.calls[-1].span}-{self.flags:02x}".encode()))
        return [*kept, (_STATE, self.state.encode("latin-1"))] if self.state else kept


class Sampler:
    """Begins journeys: whether one is exported is the caller's word, else chance."""

    def __init__(self, share: float) -> None:
        self._below = round(share * (1 << _RATIO_BITS))

    def begin(self, method: str, headers: Headers) -> Journey:
        """Return the journey of a request with these headers."""
        if (found := _caller(headers)) is not None:
            return Journey(method, found["trace"], _id(8), int(found["flags"], 16), found["parent"], _state(headers))
        trace = _id(16)
        sampled = int(trace[16:], 16) < self._below
        return Journey(method, trace, _id(8), _RANDOM | (_SAMPLED if sampled else 0))


def timed(journey: Journey | None, name: str, work: Coroutine[Any, Any, T]) -> Coroutine[Any, Any, T]:
    """Return the work, noted on the journey if there is one."""
    return work if journey is None else journey.timed(name, work)


def _caller(headers: Headers) -> Mapping[str, str] | None:
    """Return what a caller's traceparent says, None where there is none or it is none."""
    said = [value for name, value in headers if name == _PARENT]
    shape = _SHAPE.fullmatch(said[0].strip()) if len(said) == 1 else None
    if shape is None:
        return None
    version, trace, parent, flags, more = shape.groups()
    if version == b"ff" or (version == b"00" and more) or not int(trace, 16) or not int(parent, 16):
        return None
    known = f"{int(flags, 16) & (_SAMPLED | _RANDOM):02x}"
    return {"trace": trace.decode(), "parent": parent.decode(), "flags": known}


def _state(headers: Headers) -> str:
    said = b",".join(value for name, value in headers if name == _STATE).decode("latin-1")
    return said if len(said) <= _LONGEST_STATE else ""


def _id(size: int) -> str:
    """Return random bytes in hex; all zeros, which means none, come once in longer than there will be requests."""
    return os.urandom(size).hex()
