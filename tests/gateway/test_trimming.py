import io
import json
import re
from functools import cache

import pytest
from rich.console import Console

from demo import texts
from gateway.config import WindowingSettings
from gateway.trimming import show, trim
from gateway.windowing.types import Reason, WindowOutcome

pytestmark = pytest.mark.model

QUESTION = "When is the else clause of a while loop executed?"
TEXT = f"{texts.reference('compound')}\n\n{QUESTION}"
OVERSIZED = json.dumps({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": TEXT}]}).encode()
# The request's deadline is not that of whoever asks why: this one would be over before anything is read.
SETTINGS = WindowingSettings(deadline_ms=10)


@cache
def trimmed(window_tokens: int | None = None) -> WindowOutcome:
    return trim(OVERSIZED, SETTINGS, window_tokens)


def shown(outcome: WindowOutcome, width: int = 160) -> str:
    out = io.StringIO()
    show(outcome, Console(file=out, width=width))
    return out.getvalue()


def test_an_oversized_request_is_trimmed_and_every_chunk_reported() -> None:
    outcome = trimmed()
    assert outcome.reason is Reason.RELEVANCE
    content = json.loads(outcome.body or b"")["messages"][0]["content"]
    assert content.endswith(QUESTION)
    assert len(content) < len(TEXT) / 2
    for chunk in outcome.report:
        assert (chunk.message, chunk.role) == (0, "user")
        assert TEXT[chunk.start : chunk.end] == chunk.text
        assert (chunk.text.strip() in content) or not chunk.kept
    assert {chunk.kept for chunk in outcome.report} == {True, False}


def test_the_windows_size_is_the_settings_unless_it_is_given() -> None:
    usual, small = (sum(c.tokens for c in trimmed(size).report if c.kept) for size in (None, 600))
    assert small <= 900 < usual <= 1.5 * SETTINGS.window_tokens


@pytest.mark.parametrize(
    "body, reason",
    [
        (b'{"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]}', Reason.SMALL),
        (b'{"messages": [{"role": "user", "content": "%s' % (b"word " * 5000), Reason.NOT_TEXT),
        (b"\xff" * 5000, Reason.NOT_TEXT),
        (b'{"messages": 7, "x": "%s"}' % (b"word " * 5000), Reason.NOT_TEXT),
    ],
    ids=["small", "cut off", "not utf-8", "no messages"],
)
def test_what_cannot_be_trimmed_is_said_and_does_not_fail(body: bytes, reason: Reason) -> None:
    outcome = trim(body, SETTINGS, None)
    assert (outcome.reason, outcome.body, outcome.report) == (reason, None, ())
    assert f"forwarded as it is: {reason}" in shown(outcome)


def test_what_is_shown_are_the_chunks_and_the_sum() -> None:
    outcome = trimmed()
    lines = shown(outcome).splitlines()
    for word, kept in (("yes", True), ("no", False)):
        marked = [line for line in lines if re.search(rf"│{word} *│", line)]
        assert len(marked) == sum(chunk.kept is kept for chunk in outcome.report)
    *_, summary, stages = lines
    found = re.fullmatch(
        r"relevance: ([\d,]+) tokens -> ([\d,]+), (\d+)% saved, \d+% of the evidence expected inside", summary
    )
    assert found
    original, forwarded, saved = (int(number.replace(",", "")) for number in found.groups())
    assert (original, forwarded) == (outcome.tokens_original, outcome.tokens_forwarded)
    assert saved == round(100 * (1 - forwarded / original))
    assert [name for name, _ in outcome.stages] == re.findall(r"([a-z]+) [\d.]+ ms", stages)


def test_a_terminal_of_usual_width_shows_every_score() -> None:
    outcome = trimmed()
    lines = shown(outcome, width=80)
    assert all(f"{chunk.score:.3f}│" in lines for chunk in outcome.report)


def test_a_caller_without_a_model_is_told_so_only_where_it_is_needed() -> None:
    settings = WindowingSettings(embedding_model="/nowhere/at/all")
    assert trim(b'{"messages": [{"role": "user", "content": "hi"}]}', settings, None).reason is Reason.SMALL
    with pytest.raises((OSError, ValueError)):
        trim(OVERSIZED, settings, None)
