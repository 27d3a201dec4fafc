"""One request body in, the window that is forwarded out: the stages of windowing, in order."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from gateway.windowing.asking import asking_end, asks_by_itself, orders_more
from gateway.windowing.conversation import Conversation
from gateway.windowing.counting import Tally, count_texts
from gateway.windowing.drawing import strip_of
from gateway.windowing.following import leaning_on
from gateway.windowing.intent import needs_all_rows, needs_whole_context
from gateway.windowing.keep import Keeper, Kept
from gateway.windowing.measuring import AsItIsError, Clock, Measured, measure
from gateway.windowing.protect import LATEST_CHARACTERS, Plan, answered, is_terse, plan
from gateway.windowing.rewrite import Rewritten, rewrite
from gateway.windowing.sizing import sized
from gateway.windowing.strip import packed
from gateway.windowing.types import ChunkReport, Reason, WindowOutcome, WindowPolicy
from gateway.windowing.verify import verify
from retrieval.types import Counter, Deadline, Document, Query, Ranking

_SPARE_S = 0.01  # of the time; with less left a window is returned without its strip
_MIN_KNOWN = 0.1  # of the question's words, by their weight; with fewer in the documents any ranking is a guess
_MIN_SAVING = 0.1  # of the tokens; a smaller one is not worth a changed request


class Ranks(Protocol):
    """What windowing needs of a retriever."""

    def rank(self, documents: Sequence[Document], query: Query, counter: Counter, deadline: Deadline) -> Ranking:
        """Score every chunk of the documents against the query."""


def window(
    body: bytes, policy: WindowPolicy, retriever: Ranks | None, deadline: Deadline, explain: bool = False
) -> WindowOutcome:
    """Return what is forwarded instead of the body, or why it is forwarded as it is; never raises.

    Without a retriever (it is still being loaded) an oversized request is WARMING. With `explain`, the outcome
    reports every chunk.
    """
    clock = Clock(deadline)
    try:
        measured = measure(body, policy, clock)
        if retriever is None:
            return clock.as_it_is(Reason.WARMING)
        planned = _plan(measured, policy, clock)
        ranking = _ranked(planned, retriever, measured.counter, deadline)
        clock.stage("rank")
        keeper = Keeper(planned, ranking, measured.tally.fixed)
        window = sized(keeper, ranking, policy, planned.window_tokens)
        kept = window.kept
        clock.stage("select")
        outcome = _forwarded(measured, rewrite(planned, ranking.chunks, keeper.spans, kept), planned, clock)
        report = _report(planned, ranking, kept) if explain else ()
        strip = packed(strip_of(measured, planned, ranking, keeper.spans, kept)) if deadline.left() > _SPARE_S else b""
        return replace(outcome, report=report, confidence=window.confidence, skipped=ranking.skipped, strip=strip)
    except Exception as error:  # noqa: BLE001 - whatever goes wrong, the original request goes through
        return clock.failed(error)


def _plan(measured: Measured, policy: WindowPolicy, clock: Clock) -> Plan:
    planned = plan(measured.conversation, measured.tally, policy.window_tokens)
    clock.stage("plan")
    if planned is None:
        raise AsItIsError(Reason.NOT_TEXT, "no user asks anything")
    if measured.conversation.linked and not asks_by_itself(planned.query.text):
        raise AsItIsError(Reason.NOT_TEXT, "what is asked may be held by the upstream")
    total = measured.tally.total
    if _needs_all(planned, total):
        raise AsItIsError(Reason.WHOLE_DOCUMENT)
    if not planned.asked:
        raise AsItIsError(Reason.WHOLE_DOCUMENT, "nothing says what to look for")
    if not planned.documents or _trimmable(planned, measured.tally) - planned.window_tokens < _MIN_SAVING * total:
        raise AsItIsError(Reason.NOTHING_TO_TRIM)
    return planned


def _needs_all(planned: Plan, total: int) -> bool:
    """Whether what is asked, or what a terse answer agrees to, needs the whole context."""
    query = planned.query.text
    if needs_whole_context(query, total, planned.instructions):
        return True
    if any(needs_all_rows(query, region.value) for region in planned.regions if region.tree is None):
        return True
    before = answered(planned)
    if before is None or not (is_terse(planned) or orders_more(query)):
        return False
    offered = asking_end(before.value)
    return len(before.value) > LATEST_CHARACTERS or (bool(offered) and needs_whole_context(offered, total))


def _ranked(planned: Plan, retriever: Ranks, counter: Counter, deadline: Deadline) -> Ranking:
    """Return the ranking by the question, or by it and what it leans on where the documents lack its own words.

    Raises AsItIsError where they lack these as well: the question is in another language, or paraphrases.
    """
    ranking = retriever.rank(planned.documents, planned.query, counter, deadline)
    if _is_guess(ranking) and (leaning := leaning_on(planned.conversation.messages, planned.question)):
        together = replace(planned.query, text=f"{planned.query.text}\n{leaning}")
        ranking = retriever.rank(planned.documents, together, counter, deadline)
    if _is_guess(ranking):
        raise AsItIsError(Reason.LOW_CONFIDENCE, "the documents hold hardly any of the question's words")
    return ranking


def _is_guess(ranking: Ranking) -> bool:
    known = ranking.signals.get("query_known")
    return known is not None and bool(known.max(initial=0.0) < _MIN_KNOWN)


def _forwarded(measured: Measured, new: Rewritten, planned: Plan, clock: Clock) -> WindowOutcome:
    forwarded = _recount(measured, new)
    clock.stage("rewrite")
    if forwarded > (1 - _MIN_SAVING) * measured.tally.total:
        return clock.as_it_is(Reason.NOTHING_TO_TRIM)
    changed = verify(planned, new)
    clock.stage("verify")
    return WindowOutcome(Reason.RELEVANCE, changed, measured.tally.total, forwarded, clock.stages)


def _trimmable(planned: Plan, tokens: Tally) -> float:
    """Return about how many tokens stand in the regions, at the rate of their texts."""
    sizes = _sizes(planned.conversation, tokens)
    lengths = ((r.text, r.end - r.start) for r in planned.regions)
    return sum(sizes[text.key] * length / max(1, len(text.value)) for text, length in lengths)


def _recount(measured: Measured, new: Rewritten) -> int:
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
