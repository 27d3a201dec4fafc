import io
import json
import re
from dataclasses import replace
from functools import cache

import pytest
from rich.console import Console

from demo import texts
from gateway.config import WindowingSettings
from gateway.trimming import EmbeddingModelError, complaint, notes, plain, show, trim
from gateway.windowing.types import ChunkReport, Reason, WindowOutcome

pytestmark = pytest.mark.model

QUESTION = "When is the else clause of a while loop executed?"
TEXT = f"{texts.reference('compound')}\n\n{QUESTION}"


def request(text: str) -> bytes:
    return json.dumps({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": text}]}).encode()


OVERSIZED = request(TEXT)
WHOLE = request(f"{texts.reference('compound')}\n\nSummarise this document.")
# The request's deadline is not that of whoever asks why: this one would be over before anything is read.
SETTINGS = WindowingSettings(deadline_ms=10)
WITHOUT_MODEL = WindowingSettings(embedding_model="/nowhere/at/all")


@cache
def trimmed(window_tokens: int | None = None) -> WindowOutcome:
    return trim(OVERSIZED, SETTINGS, window_tokens)


def shown(outcome: WindowOutcome, width: int = 160, settings: WindowingSettings | None = None) -> str:
    out = io.StringIO()
    # By default no time is too long: a busy machine is none of these tests' business.
    show(outcome, settings or WindowingSettings(deadline_ms=600_000), console=Console(file=out, width=width))
    return out.getvalue()


def made() -> WindowOutcome:
    """Return a window of two chunks without making one."""
    report = (
        ChunkReport(0, "assistant", 1_000_000, 1_000_400, 100, 1.25, True, "first \x1b[31mred\x1b[0m \ud800\nline"),
        ChunkReport(1, "user", 0, 40, 10, 0.05, False, "second"),
    )
    return WindowOutcome(Reason.RELEVANCE, b"{}", 20_000, 5_000, (("rank", 30.0), ("select", 2.5)), report=report)


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


def test_a_request_to_the_responses_api_is_trimmed_too() -> None:
    items = [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": TEXT}]
    outcome = trim(json.dumps({"model": "gpt-4o-mini", "input": items}).encode(), SETTINGS, None)
    assert outcome.reason is Reason.RELEVANCE
    first, last = json.loads(outcome.body or b"")["input"]
    assert first == items[0]
    assert last["content"].endswith(QUESTION)
    assert {(chunk.message, chunk.kept) for chunk in outcome.report} == {(1, True), (1, False)}


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
        r"relevance: ([\d,]+) tokens -> ([\d,]+), (\d+)% saved, \d+% of the evidence expected inside; "
        r"(\d+) of (\d+) chunks kept",
        summary,
    )
    assert found
    original, forwarded, saved, kept_chunks, chunks = (int(number.replace(",", "")) for number in found.groups())
    assert (original, forwarded) == (outcome.tokens_original, outcome.tokens_forwarded)
    assert saved == round(100 * (1 - forwarded / original))
    assert (kept_chunks, chunks) == (sum(chunk.kept for chunk in outcome.report), len(outcome.report))
    assert [name for name, _ in outcome.stages] == re.findall(r"([a-z]+) [\d.]+ ms", stages)


@pytest.mark.parametrize("width", [80, 110])
def test_a_terminal_of_usual_width_shows_every_column_of_every_chunk(width: int) -> None:
    outcome = trimmed()
    _, head, _, *lines = shown(outcome, width).splitlines()
    assert re.split(" *┃ *", head)[1:-1] == ["msg", "role", "characters", "tokens", "score", "kept", "text"]
    for chunk, line in zip(outcome.report, lines[: len(outcome.report)], strict=True):
        *cells, text = re.split(" *│ *", line, maxsplit=7)[1:]
        where, kept = f"{chunk.start}-{chunk.end}", "yes" if chunk.kept else "no"
        assert cells == [str(chunk.message), chunk.role, where, str(chunk.tokens), f"{chunk.score:.3f}", kept]
        assert " ".join(chunk.text.split()).startswith(text.rstrip(" │…"))
        assert len(line) == width


def test_long_places_and_roles_leave_the_text_its_room() -> None:
    line = shown(made(), width=80).splitlines()[3]
    assert line.startswith("│  0│assistant│1000000-1000400│   100│1.250│yes │first ·[31mred")


def test_what_a_terminal_would_obey_or_cannot_show_is_not_printed() -> None:
    assert "first ·[31mred·[0m · line" in shown(made())


def test_a_request_that_is_left_alone_says_why_and_how_large_it_is() -> None:
    small = shown(trim(request("hi"), WITHOUT_MODEL, None))
    assert small == "forwarded as it is: small (not above trigger_tokens, 4,000); 8 tokens -> 8, 0% saved\n"
    whole, stages = shown(trim(WHOLE, WITHOUT_MODEL, None), width=80).splitlines()
    found = re.fullmatch(
        r"forwarded as it is: whole_document \(the question needs all of the text\); "
        r"([\d,]+) tokens -> ([\d,]+), 0% saved",
        whole,
    )
    assert found
    assert found[1] == found[2]
    assert re.findall("[a-z]+(?= [0-9])", stages) == ["parse", "count", "plan"]


def test_a_model_that_cannot_be_loaded_is_an_error_only_where_a_window_is_made() -> None:
    for body in (request("hi"), WHOLE, b'{"messages": 7, "x": "%s"}' % (b"word " * 5000)):
        assert trim(body, WITHOUT_MODEL, None).body is None
    with pytest.raises(EmbeddingModelError, match=r"^the embedding model '/nowhere/at/all' cannot be loaded: .+$"):
        trim(OVERSIZED, WITHOUT_MODEL, None)


@pytest.mark.parametrize(
    "settings, note",
    [
        (WindowingSettings(mode="shadow"), "windowing.mode is shadow: the gateway forwards the original"),
        (WindowingSettings(mode="off"), "windowing.mode is off: the gateway forwards the original"),
        (
            WindowingSettings(deadline_ms=30),
            "made in 32 ms here: past windowing.deadline_ms, 30, the gateway forwards the original",
        ),
    ],
    ids=["shadow", "off", "deadline"],
)
def test_where_the_gateway_would_forward_the_original_all_the_same_is_said(
    settings: WindowingSettings, note: str
) -> None:
    assert note in shown(made(), settings=settings).splitlines()
    assert "the gateway forwards the original" not in shown(made())
    assert note not in shown(replace(made(), body=None, reason=Reason.WHOLE_DOCUMENT), settings=settings)


@pytest.mark.parametrize(
    "body, why",
    [
        (b" \n", "empty; expected a chat request, as in `context-gateway trim < request.json`"),
        (b'{"messages": [', "not JSON (Expecting value: line 1, column 15)"),
        (b'{"messages": "\xff"}', "not UTF-8 text (byte 14)"),
        (b"[" * 100_000, "not JSON that can be read"),
        (
            b'{"messages": []}',
            "no chat request; expected an object with a list `messages`, which is not empty, or `input`",
        ),
        (b"[1]", "no chat request; expected an object with a list `messages`, which is not empty, or `input`"),
        (
            b'{"input": []}',
            "no chat request; expected an object with a list `messages`, which is not empty, or `input`",
        ),
        (b'{"input": "hi"}', None),
        (request("hi"), None),
        (OVERSIZED, None),
    ],
    ids=[
        "empty",
        "cut off",
        "not utf-8",
        "nested",
        "no messages",
        "no object",
        "no input",
        "input",
        "small",
        "oversized",
    ],
)
def test_what_is_no_chat_request_is_told_from_what_is(body: bytes, why: str | None) -> None:
    assert complaint(body) == why


def test_programs_get_all_that_is_shown() -> None:
    found = json.loads(json.dumps(plain(made(), WindowingSettings(deadline_ms=30), 100)))
    assert found == {
        "windowed": True,
        "reason": "relevance",
        "why": None,
        "window_tokens": 500,
        "tokens_original": 20_000,
        "tokens_forwarded": 5_000,
        "confidence": None,
        "chunks": [
            {
                "message": 0,
                "role": "assistant",
                "start": 1_000_000,
                "end": 1_000_400,
                "tokens": 100,
                "score": 1.25,
                "kept": True,
                "text": "first \x1b[31mred\x1b[0m \ud800\nline",
            },
            {
                "message": 1,
                "role": "user",
                "start": 0,
                "end": 40,
                "tokens": 10,
                "score": 0.05,
                "kept": False,
                "text": "second",
            },
        ],
        "stages": [{"name": "rank", "ms": 30.0}, {"name": "select", "ms": 2.5}],
        "notes": [
            "--window-tokens 100 is held to windowing.min_window_tokens, 500, as a caller's would be",
            "made in 32 ms here: past windowing.deadline_ms, 30, the gateway forwards the original",
        ],
    }


def test_programs_are_told_why_the_original_is_forwarded() -> None:
    found = plain(trim(request("hi"), WITHOUT_MODEL, None), WITHOUT_MODEL, None)
    assert (found["windowed"], found["reason"], found["chunks"]) == (False, "small", [])
    assert found["why"] == "not above trigger_tokens, 4,000"
    assert found["window_tokens"] == WITHOUT_MODEL.window_tokens


@pytest.mark.parametrize(
    "asked, said",
    [
        (None, []),
        (500, []),
        (16_000, []),
        (499, ["--window-tokens 499 is held to windowing.min_window_tokens, 500, as a caller's would be"]),
        (16_001, ["--window-tokens 16,001 is held to windowing.max_window_tokens, 16,000, as a caller's would be"]),
    ],
)
def test_a_size_that_is_held_is_said_to_be(asked: int | None, said: list[str]) -> None:
    assert list(notes(made(), WindowingSettings(deadline_ms=600_000), asked)) == said
    assert list(notes(replace(made(), body=None), WindowingSettings(), asked)) == said


def test_what_takes_its_time_is_told() -> None:
    told: list[str] = []
    trim(request("hi"), WITHOUT_MODEL, None, told.append)
    assert told == ["reading"]
    with pytest.raises(EmbeddingModelError):
        trim(OVERSIZED, WITHOUT_MODEL, None, told.append)
    assert told[1:] == ["reading", "loading the embedding model /nowhere/at/all"]
