"""Strips of whole windows: they add up to the request, and what they say is kept is what was forwarded."""

import json
import time

import pytest

from gateway.windowing.markers import pattern
from gateway.windowing.strip import Strip, unpacked
from gateway.windowing.types import WindowOutcome, WindowPolicy
from gateway.windowing.window import window
from retrieval.types import Deadline
from tests.gateway.windowing.windows import QUESTION, REFERENCE, RETRIEVER, TINY, forwarded, request, run, texts_of

BODY = request({"role": "user", "content": f"{REFERENCE[:60_000]}\n\nQuestion: {QUESTION}"})


def strip_of(outcome: WindowOutcome) -> Strip:
    strip = unpacked(outcome.strip)
    assert len(strip.kinds) == len(strip.tokens) == len(strip.scores) == len(strip.kept)
    assert all(-1 <= score <= 1000 for score in strip.scores)
    assert {kind for kind, score in zip(strip.kinds, strip.scores, strict=True) if score >= 0} == {"c"}
    return strip


def kept_tokens(strip: Strip) -> int:
    return sum(tokens for tokens, kept in zip(strip.tokens, strip.kept, strict=True) if kept == "y")


def runs(strip: Strip) -> int:
    """Return how many gaps there are in what is kept."""
    return len([run for run in strip.kept.split("y") if run])


def test_a_document_and_its_question() -> None:
    outcome = run(BODY)
    strip = strip_of(outcome)
    assert strip.question == QUESTION
    assert (strip.kinds[0], strip.kinds[-1], strip.kinds.strip("p").strip("c")) == ("p", "p", "")
    assert max(strip.scores) == 1000
    assert abs(sum(strip.tokens) - (outcome.tokens_original or 0)) < 10
    (message,) = forwarded(outcome)
    assert runs(strip) == len(pattern.findall(message["content"]))
    # Each marker of a gap takes some tokens.
    assert 0 <= (outcome.tokens_forwarded or 0) - kept_tokens(strip) < 20 * runs(strip)


def test_what_scored_highest_is_kept_and_most_is_not() -> None:
    strip = strip_of(run(BODY))
    best = strip.scores.index(1000)
    assert strip.kept[best] == "y"
    assert strip.kept.count("n") > strip.kept.count("y")


def test_messages_that_go_as_a_whole_are_not_kept_and_the_latest_is() -> None:
    turns = [
        {"role": role, "content": REFERENCE[number * 1500 : number * 1500 + 1500]}
        for number, role in enumerate(["user", "assistant"] * 15)
    ]
    outcome = run(request({"role": "system", "content": "Be brief."}, *turns, {"role": "user", "content": QUESTION}))
    strip = strip_of(outcome)
    assert len(forwarded(outcome)) < 32
    assert "g" in strip.kinds
    assert all(kept == "n" for kind, kept in zip(strip.kinds, strip.kept, strict=True) if kind == "g")
    assert all(kept == "y" for kind, kept in zip(strip.kinds, strip.kept, strict=True) if kind == "p")
    assert sum(strip.tokens) == pytest.approx(outcome.tokens_original, rel=0.01)


def test_of_several_parts_each_has_its_place() -> None:
    parts = [{"type": "text", "text": text} for text in (REFERENCE[:20_000], QUESTION, REFERENCE[20_000:40_000])]
    outcome = run(request({"role": "user", "content": parts}))
    strip = strip_of(outcome)
    (before, after) = strip.kinds.strip("p").split("p")
    assert set(before) == set(after) == {"c"}
    assert sum(len(text) for text in texts_of(forwarded(outcome)[0])) < 40_000


def test_a_question_that_is_no_text_in_utf_8_is_drawn_too() -> None:
    outcome = run(request({"role": "user", "content": f"{REFERENCE[:60_000]}\n\nQuestion: {QUESTION} \ud83d"}))
    assert strip_of(outcome).question == f"{QUESTION} \ufffd"


def test_what_is_forwarded_as_it_is_has_none() -> None:
    assert run(request({"role": "user", "content": QUESTION})).strip == b""
    assert run(request({"role": "user", "content": f"{REFERENCE[:60_000]}\n\nSummarize this."})).strip == b""


def test_where_time_is_short_a_window_goes_without_it() -> None:
    class Short(Deadline):
        def left(self) -> float:
            return 0.005

    policy = WindowPolicy(trigger_tokens=300, window_tokens=150, deadline_ms=1000)
    body = request({"role": "user", "content": f"{REFERENCE[:9000]}\n\nQuestion: {QUESTION}"})
    assert run(body, TINY).strip != b""
    outcome = window(json.dumps(body).encode(), policy, RETRIEVER, Short(time.monotonic() + 60))
    assert (outcome.reason, outcome.strip) == ("relevance", b"")
