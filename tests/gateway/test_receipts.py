import asyncio
import dataclasses
import io
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace

from gateway import logs
from gateway.receipts import Receipts, receipt_of
from gateway.store.receipts import Receipt, Span, SpanKind
from gateway.store.sqlite import SqliteStore
from gateway.windowing.strip import Strip, packed
from gateway.windowing.types import Reason, WindowOutcome
from tests.gateway.records import RECORD, REFUSED


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    opened = SqliteStore(tmp_path / "gateway.db", "process")
    await opened.open()
    yield opened
    await opened.close()


def test_a_receipt_says_what_was_done_and_how_long_it_took() -> None:
    stages = replace(RECORD.stages, receive=0.25, upstream_head=60.0)
    receipt = receipt_of(replace(RECORD, stages=stages, model_served="o3"), None)
    assert (receipt.id, receipt.team, receipt.time) == ("req-1", "acme", RECORD.time.timestamp())
    assert receipt.stages == (("receive", 0.25), ("window_rank", 40.0), ("upstream_head", 60.0), ("reply", 780.0))
    assert (receipt.attempts, receipt.model_served) == (("main: answered",), "o3")
    assert (receipt.confidence, receipt.overhead_ms) == (0.93, 51.5)
    assert (receipt.question, receipt.forwarded_body, receipt.spans) == ("", "", ())


def test_the_forwarded_body_is_there_where_prompts_are_logged_and_very_long_ones_are_cut() -> None:
    assert receipt_of(replace(RECORD, forwarded_body='{"a": 1}'), None).forwarded_body == '{"a": 1}'
    assert len(receipt_of(replace(RECORD, forwarded_body="x" * 300_000), None).forwarded_body) == 200_000


def test_one_that_was_refused_has_a_receipt_too() -> None:
    receipt = receipt_of(replace(REFUSED, attempts=()), None)
    assert (receipt.attempts, receipt.confidence) == ((), 0.93)


async def test_they_are_kept_a_moment_later_and_at_the_end(store: SqliteStore) -> None:
    receipts = Receipts(store, 10)
    receipts([RECORD, replace(RECORD, id="req-2")])
    await asyncio.sleep(1.2)
    assert await store.receipt("acme", "req-2") is not None
    receipts([replace(RECORD, id="req-3")])
    await receipts.finish()
    assert await store.receipt("acme", "req-3") is not None
    await receipts.finish()


async def test_of_very_many_the_windowed_ones_are_kept(store: SqliteStore) -> None:
    receipts = Receipts(store, 5000)
    for number in range(1000):
        receipts([replace(RECORD, id=f"r{number}", confidence=0.5 if number % 10 == 0 else None)])
    await receipts.finish()
    kept = [number for number in range(1000) if await store.receipt("acme", f"r{number}")]
    assert len(kept) == 200
    assert set(range(0, 1000, 10)) <= set(kept)


async def test_without_room_none_are_kept(store: SqliteStore) -> None:
    receipts = Receipts(store, 0)
    receipts([RECORD])
    await receipts.finish()
    assert await store.receipt("acme", "req-1") is None


async def test_a_store_that_is_away_loses_them_quietly(tmp_path: Path) -> None:
    receipts = Receipts(SqliteStore(tmp_path / "never-opened.db", "process"), 10)
    receipts([RECORD])
    await receipts.finish()


async def test_a_store_that_fails_otherwise_is_said_to_and_gets_the_next_ones(store: SqliteStore) -> None:
    logs.configure(out := io.StringIO())
    keep, calls = store.keep, list[int]()

    async def fails_once(receipts: Sequence[Receipt], most: int) -> None:
        calls.append(len(receipts))
        if len(calls) == 1:
            raise ValueError("a prompt's text")
        await keep(receipts, most)

    store.keep = fails_once  # type: ignore[method-assign]
    receipts = Receipts(store, 10)
    for name in ("req-1", "req-2"):
        receipts([replace(RECORD, id=name)])
        await receipts.finish()
    assert await store.receipt("acme", "req-1") is None
    assert await store.receipt("acme", "req-2") is not None
    line = json.loads(out.getvalue())
    assert (line["event"], line["count"], line["error"]) == ("receipts_not_kept", 1, "ValueError")
    assert "test_receipts.py" in line["where"]
    assert "prompt" not in out.getvalue()


async def test_while_they_wait_they_hold_no_more_of_a_text_than_is_kept(store: SqliteStore) -> None:
    receipts = Receipts(store, 10)
    outcome = windowed(("c", 60, 250, "y"))
    receipts(
        [
            RECORD,
            replace(RECORD, id="req-2", forwarded_body="x" * 300_000),
            replace(RECORD, id="req-3", outcome=dataclasses.replace(outcome, body=b"x" * 300_000)),
        ]
    )
    first, second, third = receipts._waiting
    assert first is RECORD
    assert len(second.forwarded_body or "") == 200_000
    assert third.outcome == outcome
    await receipts.finish()
    found = await store.receipt("acme", "req-3")
    assert found is not None
    assert len(found.spans) == 1


def windowed(*columns: tuple[str, int, int, str]) -> WindowOutcome:
    kinds, tokens, scores, kept = zip(*columns, strict=True)
    return WindowOutcome(Reason.RELEVANCE, strip=packed(Strip("Why?", "".join(kinds), tokens, scores, "".join(kept))))


def test_the_spans_are_those_of_the_window_and_the_question_is_there_where_prompts_are_logged() -> None:
    outcome = windowed(("p", 4, -1, "y"), ("c", 60, 250, "n"), ("g", 9, -1, "n"))
    assert receipt_of(RECORD, outcome).spans == (
        Span(SpanKind.PROTECTED, 4, None, True),
        Span(SpanKind.CHUNK, 60, 0.25, False),
        Span(SpanKind.GAP, 9, None, False),
    )
    assert receipt_of(RECORD, outcome).question == ""
    assert receipt_of(replace(RECORD, forwarded_body="{}"), outcome).question == "Why?"


def test_of_very_many_spans_neighbours_are_drawn_together() -> None:
    columns = [("c", 60, number % 1000, "y" if number % 100 == 0 else "n") for number in range(9001)]
    receipt = receipt_of(RECORD, windowed(("p", 5, -1, "y"), *columns))
    assert 1000 < len(receipt.spans) <= 4000
    assert sum(span.tokens for span in receipt.spans) == 5 + 60 * 9001
    assert sum(span.kept for span in receipt.spans) == 91
    assert receipt.spans[0] == Span(SpanKind.CHUNK, 185, 0.002, True)
