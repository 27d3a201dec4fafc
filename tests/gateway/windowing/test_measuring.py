import json

import pytest

from gateway.windowing.measuring import MAX_BYTES, counted, is_small
from gateway.windowing.types import Reason, WindowPolicy
from retrieval.types import Deadline

POLICY = WindowPolicy(trigger_tokens=100, window_tokens=100, deadline_ms=1000)


def body(text: str) -> bytes:
    return json.dumps({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": text}]}).encode()


def test_a_body_of_fewer_bytes_than_the_trigger_has_tokens_is_small_uncounted() -> None:
    assert is_small(b"x" * 100, POLICY)
    assert not is_small(b"x" * 101, POLICY)
    assert counted(b"x" * 100, POLICY, Deadline.after(1)).tokens_original is None


def test_a_longer_one_is_counted_exactly() -> None:
    outcome = counted(body("hi"), WindowPolicy(10, 10, 1000), Deadline.after(1))
    assert (outcome.reason, outcome.tokens_original) == (Reason.SMALL, 8)
    large = counted(body("word " * 200), POLICY, Deadline.after(1))
    assert large.reason is Reason.WARMING
    assert large.tokens_original is not None
    assert large.tokens_original > 200
    assert [name for name, _ in large.stages] == ["parse", "count"]


def test_a_rarer_vocabulary_is_left_to_the_windowing_process() -> None:
    older = body("hi").replace(b"gpt-4o-mini", b"gpt-4")
    outcome = counted(older, WindowPolicy(10, 10, 1000), Deadline.after(1))
    assert (outcome.reason, outcome.tokens_original) == (Reason.WARMING, None)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"[" * 50_000 + b"]" * 50_000, Reason.NOT_TEXT),
        (b"\xff" * 200, Reason.NOT_TEXT),
        (b" " * (MAX_BYTES + 1), Reason.DEADLINE),
    ],
)
def test_what_can_not_be_read_is_forwarded_as_it_is(raw: bytes, reason: Reason) -> None:
    assert counted(raw, POLICY, Deadline.after(5)).reason is reason


def test_past_the_deadline_nothing_is_finished() -> None:
    assert counted(body("word " * 200), POLICY, Deadline.after(-1)).reason is Reason.DEADLINE
