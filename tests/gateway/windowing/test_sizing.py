import json
from dataclasses import replace
from typing import Any

import pytest

from gateway.windowing.keep import Keeper
from gateway.windowing.measuring import Clock, measure
from gateway.windowing.protect import plan
from gateway.windowing.sizing import fitted
from gateway.windowing.types import Api, Reason, WindowOutcome
from retrieval.types import Deadline
from tests.gateway.windowing.windows import POLICY, QUESTION, REFERENCE, RETRIEVER, request, run

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


def test_what_has_to_stay_is_beside_the_window() -> None:
    reasoning = {"type": "reasoning", "id": "rs", "summary": []}
    items: list[dict[str, Any]] = [{"role": "user", "content": QUESTION}]
    for n in range(60):
        call = {"type": "function_call", "call_id": f"c{n}", "name": "read", "arguments": "{}"}
        text = REFERENCE[n * 3000 : n * 3000 + 3000]
        items += [reasoning, call, {"type": "function_call_output", "call_id": f"c{n}", "output": text}]
    policy = replace(POLICY, api=Api.RESPONSES)
    measured = measure(json.dumps({"model": "gpt-4o-mini", "input": items}).encode(), policy, Clock(Deadline.after(60)))
    planned = plan(measured.conversation, measured.tally, 2000)
    assert planned is not None
    ranking = RETRIEVER.rank(planned.documents, planned.query, measured.counter, Deadline.after(60))
    keeper = Keeper(planned, ranking, measured.tally.fixed)
    owed, kept = keeper.owed, fitted(keeper, ranking, 2000).tokens
    assert owed > 3500, "more than a window may take with all that stays beside it"
    assert owed + 1000 < kept < owed + 3000
