from dataclasses import replace
from typing import Any

import pytest

from gateway.windowing.types import Reason, WindowOutcome
from tests.gateway.windowing.windows import POLICY, QUESTION, REFERENCE, request, run

FACT = "The harbour code of Zanzibar is 4711, as the pilots of the island know."
LONG = f"{REFERENCE[:90_000]}\n\n{FACT}\n\n{REFERENCE[90_000:180_000]}"
CLEAR = "What is the harbour code of Zanzibar?"


def windowed(target: float | None, question: str = QUESTION, **sizes: Any) -> WindowOutcome:
    body = request({"role": "user", "content": f"{LONG}\n\n{question}"})
    return run(body, replace(POLICY, target_confidence=target, **sizes))


def test_without_a_target_the_size_is_the_policys_and_the_estimate_is_said() -> None:
    outcome = windowed(None)
    assert outcome.reason is Reason.RELEVANCE
    assert 1500 < (outcome.tokens_forwarded or 0) < 3300
    assert 0 < (outcome.confidence or 0) < 1


def test_a_window_grows_with_the_target_until_it_is_reached() -> None:
    outcomes = [windowed(target) for target in (0.3, 0.5, 0.6)]
    assert [outcome.reason for outcome in outcomes] == [Reason.RELEVANCE] * 3
    tokens = [outcome.tokens_forwarded or 0 for outcome in outcomes]
    assert tokens == sorted(tokens)
    assert tokens[0] < tokens[-1]
    assert all((outcome.confidence or 0) >= target for outcome, target in zip(outcomes, (0.3, 0.5, 0.6), strict=True))


def test_a_clear_question_needs_less_than_the_fixed_window() -> None:
    fixed, elastic = windowed(None, CLEAR), windowed(0.8, CLEAR)
    assert (elastic.tokens_forwarded or 0) < (fixed.tokens_forwarded or 0) / 2
    assert FACT in (elastic.body or b"").decode()


def test_the_smallest_size_is_kept_to() -> None:
    outcome = windowed(0.01, min_window_tokens=3000)
    assert 2500 < (outcome.tokens_forwarded or 0) < 4800


@pytest.mark.parametrize("question", [QUESTION, "Which passage would a harbour master object to?"])
def test_where_no_window_is_sure_enough_the_original_is_forwarded(question: str) -> None:
    outcome = windowed(0.999, question, max_window_tokens=700)
    assert outcome.reason is Reason.LOW_CONFIDENCE
    assert outcome.body is None
    assert outcome.tokens_original == outcome.tokens_forwarded
