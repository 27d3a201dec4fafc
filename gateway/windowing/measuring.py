"""How large a request is: the first stages, which also run in the relay's own process for light bodies."""

import time
from dataclasses import dataclass
from pathlib import Path

from gateway.windowing.conversation import Conversation
from gateway.windowing.counting import Tally, tally
from gateway.windowing.reading import read
from gateway.windowing.types import Api, Reason, WindowOutcome, WindowPolicy
from retrieval.tokens import counter_for, encoding_name
from retrieval.types import Counter, Deadline, DeadlineExceededError

MAX_BYTES = 16_000_000  # counting alone takes seconds beyond this: such a body is forwarded as it is
COMMON_MODEL = "gpt-4o"  # its vocabulary is loaded before it is needed; nearly all models share it


class AsItIsError(Exception):
    """The request is forwarded as it is, for this reason."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


class Clock:
    """Takes the time of each stage, and looks at the deadline between them."""

    def __init__(self, deadline: Deadline) -> None:
        self.deadline = deadline
        self.tokens: int | None = None
        self._stages: list[tuple[str, float]] = []
        self._since = time.perf_counter()

    @property
    def stages(self) -> tuple[tuple[str, float], ...]:
        """The stages so far, with their milliseconds."""
        return tuple(self._stages)

    def stage(self, name: str) -> None:
        """Note that a stage is over; raises DeadlineExceededError when the deadline is past."""
        now = time.perf_counter()
        self._stages.append((name, (now - self._since) * 1e3))
        self._since = now
        self.deadline.check()

    def as_it_is(self, reason: Reason, detail: str = "") -> WindowOutcome:
        """Return that the request is forwarded as it is."""
        return WindowOutcome(reason, None, self.tokens, self.tokens, self.stages, detail)

    def failed(self, error: Exception) -> WindowOutcome:
        """Return that the request is forwarded as it is because of the error."""
        if isinstance(error, AsItIsError):
            return self.as_it_is(error.reason, error.detail)
        if isinstance(error, DeadlineExceededError):
            return self.as_it_is(Reason.DEADLINE)
        return self.as_it_is(Reason.ERROR, _where(error))


@dataclass(frozen=True, slots=True)
class Measured:
    """A request whose tokens are counted."""

    conversation: Conversation
    tally: Tally
    counter: Counter


def counted(body: bytes, policy: WindowPolicy, deadline: Deadline) -> WindowOutcome:
    """Return why the body is forwarded as it is, or WARMING where it is oversized; never raises.

    WARMING too for a model of a rarer vocabulary, which the relay's process does not hold.
    """
    clock = Clock(deadline)
    try:
        measure(body, policy, clock, any_vocabulary=False)
        return clock.as_it_is(Reason.WARMING)
    except Exception as error:  # noqa: BLE001 - whatever goes wrong, the original request goes through
        return clock.failed(error)


def is_small(body: bytes, policy: WindowPolicy) -> bool:
    """Whether the length alone proves that the body is not oversized: no token is shorter than a byte."""
    return len(body) <= policy.trigger_tokens


def measure(body: bytes, policy: WindowPolicy, clock: Clock, any_vocabulary: bool = True) -> Measured:
    """Return an oversized request with its tokens counted.

    Raises:
        AsItIsError: it is small, or nothing that can be read.
        DeadlineExceededError: the deadline passed.
    """
    if is_small(body, policy):
        raise AsItIsError(Reason.SMALL)
    if len(body) > MAX_BYTES:
        raise AsItIsError(Reason.DEADLINE, f"more than {MAX_BYTES} bytes")
    conversation = _read(body, policy.api)
    clock.stage("parse")
    if not any_vocabulary and encoding_name(conversation.model) != encoding_name(COMMON_MODEL):
        raise AsItIsError(Reason.WARMING)
    counter = counter_for(conversation.model)
    tokens = tally(conversation, counter, clock.deadline)
    clock.tokens = tokens.total
    clock.stage("count")
    if tokens.total <= policy.trigger_tokens:
        raise AsItIsError(Reason.SMALL)
    return Measured(conversation, tokens, counter)


def _read(body: bytes, api: Api) -> Conversation:
    try:
        conversation = read(body, api)
    except (ValueError, RecursionError):
        # Not JSON, not UTF-8, or nested too deeply to read: for the upstream to judge.
        conversation = None
    if conversation is None:
        raise AsItIsError(Reason.NOT_TEXT)
    return conversation


def _where(error: Exception) -> str:
    """Return the kind of the error and our own line it came from; its message may hold text of the prompt."""
    places = []
    trace = error.__traceback__
    while trace is not None:
        path = Path(trace.tb_frame.f_code.co_filename)
        if path.parent.name in ("windowing", "retrieval"):
            places.append(f"{path.name}:{trace.tb_lineno}")
        trace = trace.tb_next
    return f"{type(error).__name__} at {places[-1] if places else 'an unknown line'}"
