"""One request body in, the window that is forwarded out: the stages of windowing, in order."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from gateway.windowing.conversation import Conversation, read
from gateway.windowing.counting import Tally, count_texts, tally
from gateway.windowing.intent import needs_whole_context
from gateway.windowing.keep import Keeper, Kept
from gateway.windowing.protect import Plan, plan
from gateway.windowing.rewrite import Rewritten, rewrite
from gateway.windowing.types import ChunkReport, Reason, WindowOutcome, WindowPolicy
from gateway.windowing.verify import verify
from retrieval.selection import select
from retrieval.tokens import counter_for
from retrieval.types import Counter, Deadline, DeadlineExceededError, Document, Query, Ranking

MAX_BYTES = 16_000_000  # counting alone takes seconds beyond this: such a body is forwarded as it is
COMMON_MODELS = ("gpt-4o", "gpt-4")  # one for each vocabulary, to load them before they are needed
_MIN_SAVING = 0.1  # of the tokens; a smaller one is not worth a changed request
_TRIES = 6


class Ranks(Protocol):
    """What windowing needs of a retriever."""

    def rank(self, documents: Sequence[Document], query: Query, counter: Counter, deadline: Deadline) -> Ranking:
        """Score every chunk of the documents against the query."""


class _AsItIsError(Exception):
    """The request is forwarded as it is, for this reason."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


class _Clock:
    """Takes the time of each stage, and looks at the deadline between them."""

    def __init__(self, deadline: Deadline) -> None:
        self.deadline = deadline
        self.tokens: int | None = None
        self._stages: list[tuple[str, float]] = []
        self._since = time.perf_counter()

    @property
    def stages(self) -> tuple[tuple[str, float], ...]:
        return tuple(self._stages)

    def stage(self, name: str) -> None:
        now = time.perf_counter()
        self._stages.append((name, (now - self._since) * 1e3))
        self._since = now
        self.deadline.check()

    def as_it_is(self, reason: Reason, detail: str = "") -> WindowOutcome:
        return WindowOutcome(reason, None, self.tokens, self.tokens, self.stages, detail)


@dataclass(frozen=True, slots=True)
class _Measured:
    """A request whose tokens are counted."""

    conversation: Conversation
    tally: Tally
    counter: Counter


def window(
    body: bytes, policy: WindowPolicy, retriever: Ranks | None, deadline: Deadline, explain: bool = False
) -> WindowOutcome:
    """Return what is forwarded instead of the body, or why it is forwarded as it is; never raises.

    Without a retriever (it is still being loaded) an oversized request is WARMING. With `explain`, the outcome
    reports every chunk.
    """
    clock = _Clock(deadline)
    try:
        measured = _measure(body, policy, clock)
        if retriever is None:
            return clock.as_it_is(Reason.WARMING)
        planned = _plan(measured, policy, clock)
        ranking = retriever.rank(planned.documents, planned.query, measured.counter, deadline)
        clock.stage("rank")
        keeper = Keeper(planned, ranking, measured.tally.fixed)
        kept = fitted(keeper, ranking, planned.window_tokens)
        clock.stage("select")
        outcome = _forwarded(measured, rewrite(planned, ranking.chunks, keeper.spans, kept), planned, clock)
        skipped = f"without {', '.join(ranking.skipped)}" if ranking.skipped else ""
        return replace(outcome, detail=skipped, report=_report(planned, ranking, kept) if explain else ())
    except _AsItIsError as left:
        return clock.as_it_is(left.reason, left.detail)
    except DeadlineExceededError:
        return clock.as_it_is(Reason.DEADLINE)
    except Exception as error:  # noqa: BLE001 - whatever goes wrong, the original request goes through
        return clock.as_it_is(Reason.ERROR, _where(error))


def is_small(body: bytes, policy: WindowPolicy) -> bool:
    """Whether the length alone proves that the body is not oversized: no token is shorter than a byte."""
    return len(body) <= policy.trigger_tokens


def _measure(body: bytes, policy: WindowPolicy, clock: _Clock) -> _Measured:
    if is_small(body, policy):
        raise _AsItIsError(Reason.SMALL)
    if len(body) > MAX_BYTES:
        raise _AsItIsError(Reason.DEADLINE, f"more than {MAX_BYTES} bytes")
    conversation = _read(body)
    clock.stage("parse")
    counter = counter_for(conversation.model)
    tokens = tally(conversation, counter, clock.deadline)
    clock.tokens = tokens.total
    clock.stage("count")
    if tokens.total <= policy.trigger_tokens:
        raise _AsItIsError(Reason.SMALL)
    return _Measured(conversation, tokens, counter)


def _read(body: bytes) -> Conversation:
    try:
        conversation = read(body)
    except (ValueError, RecursionError):
        # Not JSON, not UTF-8, or nested too deeply to read: for the upstream to judge.
        conversation = None
    if conversation is None:
        raise _AsItIsError(Reason.NOT_TEXT)
    return conversation


def _plan(measured: _Measured, policy: WindowPolicy, clock: _Clock) -> Plan:
    planned = plan(measured.conversation, measured.tally, policy.window_tokens)
    clock.stage("plan")
    if planned is None:
        raise _AsItIsError(Reason.NOT_TEXT, "no user asks anything")
    total = measured.tally.total
    if needs_whole_context(planned.query.text, total, planned.instructions):
        raise _AsItIsError(Reason.WHOLE_DOCUMENT)
    if not planned.documents or _trimmable(planned, measured.tally) - planned.window_tokens < _MIN_SAVING * total:
        raise _AsItIsError(Reason.NOTHING_TO_TRIM)
    return planned


def _forwarded(measured: _Measured, new: Rewritten, planned: Plan, clock: _Clock) -> WindowOutcome:
    forwarded = _recount(measured, new)
    clock.stage("rewrite")
    if forwarded > (1 - _MIN_SAVING) * measured.tally.total:
        return clock.as_it_is(Reason.NOTHING_TO_TRIM)
    changed = verify(planned, new)
    clock.stage("verify")
    return WindowOutcome(Reason.RELEVANCE, changed, measured.tally.total, forwarded, clock.stages)


def fitted(keeper: Keeper, ranking: Ranking, window_tokens: int) -> Kept:
    """Return the selection that, with all that has to stay beside it, comes closest to the window from below."""
    budget = window_tokens
    kept = keeper.close(select(ranking, budget))
    best = kept
    for _ in range(_TRIES):
        if kept.tokens <= window_tokens:
            return kept
        budget = min(budget - 1, int(budget * (window_tokens / kept.tokens) ** 1.05))
        if budget <= 0:
            break
        kept = keeper.close(select(ranking, budget))
        best = min(best, kept, key=lambda k: k.tokens)
    return best


def _trimmable(planned: Plan, tokens: Tally) -> float:
    """Return about how many tokens stand in the regions, at the rate of their texts."""
    sizes = _sizes(planned.conversation, tokens)
    lengths = ((r.text, r.end - r.start) for r in planned.regions)
    return sum(sizes[text.key] * length / max(1, len(text.value)) for text, length in lengths)


def _recount(measured: _Measured, new: Rewritten) -> int:
    kept = set(new.messages)
    messages = measured.conversation.messages
    sizes = _sizes(measured.conversation, measured.tally)
    total = measured.tally.total - sum(measured.tally.message(m.index) for m in messages if m.index not in kept)
    total -= sum(sizes[key] for key in new.removed)
    counts = count_texts([value for _, value in new.changed], measured.counter)
    return total + sum(n - sizes[text.key] for (text, _), n in zip(new.changed, counts, strict=True))


def _sizes(conversation: Conversation, tokens: Tally) -> dict[tuple[int, int], int]:
    """Return the tokens of each text, by its key."""
    counts = zip(conversation.messages, tokens.texts, strict=True)
    return {text.key: n for message, own in counts for text, n in zip(message.texts, own, strict=True)}


def _report(planned: Plan, ranking: Ranking, kept: Kept) -> tuple[ChunkReport, ...]:
    return tuple(
        ChunkReport(
            message=(document := planned.documents[chunk.document]).message,
            role=document.role,
            start=planned.regions[chunk.document].start + chunk.start,
            end=planned.regions[chunk.document].start + chunk.end,
            tokens=chunk.tokens,
            score=float(score),
            kept=bool(held) and document.message in kept.messages,
            text=document.text[chunk.start : chunk.end],
        )
        for chunk, score, held in zip(ranking.chunks, ranking.scores, kept.chunks, strict=True)
    )


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
