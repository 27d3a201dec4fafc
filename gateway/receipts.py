"""Receipts of finished requests: made off their clients' path, the latest ones kept in the store."""

import asyncio
import dataclasses
from collections.abc import Iterator, Sequence
from itertools import zip_longest

from msgspec import structs

from gateway import logs
from gateway.record import RequestRecord
from gateway.store.contract import Store, StoreUnavailableError
from gateway.store.receipts import Receipt, Span, SpanKind
from gateway.windowing import strip as strips
from gateway.windowing.strip import Strip
from gateway.windowing.types import WindowOutcome

_MOST_SPANS = 4000  # more than a screen has pixels
_KINDS = {strips.PROTECTED: SpanKind.PROTECTED, strips.CHUNK: SpanKind.CHUNK, strips.GAP: SpanKind.GAP}
# Nobody can look at all of them where there are many, and each costs about what its settlement does.
_EVERY_S = 1.0
_MOST = 200


class Receipts:
    """Takes finished requests' records and keeps their receipts: of each second the first 200, windowed ones first."""

    def __init__(self, store: Store, most: int) -> None:
        self._store = store
        self._most = most
        self._waiting: list[RequestRecord] = []
        self._timer: asyncio.TimerHandle | None = None
        self._keeping: set[asyncio.Task[None]] = set()

    def __call__(self, records: Sequence[RequestRecord]) -> None:
        """Take over records; returns at once."""
        if not self._most:
            return
        self._waiting += map(_cut, records)
        if len(self._waiting) > 2 * _MOST:
            self._waiting = _worth(self._waiting)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_EVERY_S, self._flush)

    async def finish(self) -> None:
        """Keep what is here."""
        if self._timer is not None:
            self._timer.cancel()
            self._flush()
        await asyncio.gather(*self._keeping)

    def _flush(self) -> None:
        records, self._waiting, self._timer = _worth(self._waiting), [], None
        task = asyncio.ensure_future(self._keep(records))
        self._keeping.add(task)
        task.add_done_callback(self._keeping.discard)

    async def _keep(self, records: Sequence[RequestRecord]) -> None:
        try:
            receipts = await asyncio.to_thread(lambda: [receipt_of(record, record.outcome) for record in records])
            await self._store.keep(receipts, self._most)
        except StoreUnavailableError:
            pass  # one that is away has more to catch up with than these
        except Exception as error:  # noqa: BLE001 - whatever it is, the next ones are to be kept
            logs.event("receipts_not_kept", count=len(records), error=type(error).__name__, where=logs.place(error))


def _cut(record: RequestRecord) -> RequestRecord:
    """Return the record with as much of its texts as its receipt takes: the rest would keep its memory meanwhile."""
    body, outcome = record.forwarded_body, record.outcome
    if body is None and (outcome is None or outcome.body is None):
        return record
    return structs.replace(
        record,
        forwarded_body=None if body is None else body[: logs.LONGEST_BODY],
        outcome=outcome and dataclasses.replace(outcome, body=None),
    )


def _worth(records: Sequence[RequestRecord]) -> list[RequestRecord]:
    """Return the first _MOST, those that were windowed before the others."""
    if len(records) <= _MOST:
        return list(records)
    return sorted(records, key=lambda record: record.confidence is None)[:_MOST]


def receipt_of(record: RequestRecord, outcome: WindowOutcome | None) -> Receipt:
    """Return the receipt of a finished request, with texts only where the record has the forwarded body."""
    strip = strips.unpacked(outcome.strip) if outcome and outcome.strip else None
    return Receipt(
        id=record.id,
        team=record.team,
        time=record.time.timestamp(),
        question=strip.question if strip and record.forwarded_body is not None else "",
        spans=_spans(strip) if strip else (),
        stages=tuple((name, round(ms, 3)) for name, ms in _stages(record)),
        forwarded_body=(record.forwarded_body or "")[: logs.LONGEST_BODY],
        model_served=record.model_served or "",
        attempts=tuple(f"{attempt.candidate.upstream}: {attempt.outcome}" for attempt in record.attempts),
        confidence=None if record.confidence is None else round(record.confidence, 3),
        overhead_ms=round(record.stages.overhead, 3),
    )


def _spans(strip: Strip) -> tuple[Span, ...]:
    columns = zip(strip.kinds, strip.tokens, strip.scores, strip.kept, strict=True)
    spans = [_span(*column) for column in columns]
    while len(spans) > _MOST_SPANS:
        spans = list(_coarser(spans))
    return tuple(spans)


def _span(kind: str, tokens: int, score: int, kept: str) -> Span:
    return Span(_KINDS[kind], tokens, None if score < 0 else score / strips.HIGHEST, kept == strips.KEPT)


def _coarser(spans: Sequence[Span]) -> Iterator[Span]:
    """Yield the same with pairs of neighbours as one; such a pair counts as kept where either is."""
    for first, second in zip_longest(spans[::2], spans[1::2]):
        yield first if second is None else _both(first, second)


def _both(first: Span, second: Span) -> Span:
    scores = [span.score for span in (first, second) if span.score is not None]
    kind = SpanKind.CHUNK if scores else first.kind
    return Span(kind, first.tokens + second.tokens, max(scores, default=None), first.kept or second.kept)


def _stages(record: RequestRecord) -> list[tuple[str, float]]:
    """Return the stages one after the other, the windowing's own instead of its sum."""
    stages = record.stages
    windowing = [(f"window_{name}", ms) for name, ms in stages.windowing] or [("window", stages.window)]
    after = [("upstream_head", stages.upstream_head or 0.0)]
    if stages.first_byte is not None:
        after.append(("reply", stages.total - stages.first_byte))
    return [(name, ms) for name, ms in (("receive", stages.receive), *windowing, *after) if ms > 0]
