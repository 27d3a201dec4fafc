import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.answers import AnswerCount
from gateway.usage import Relayed

Json = dict[str, Any]
COMPACT, USUAL = (",", ":"), (", ", ": ")


def event(value: object, separators: tuple[str, str] = USUAL, named: str = "", end: str = "\n\n") -> bytes:
    name = f"event: {named}{end[: len(end) // 2]}" if named else ""
    return f"{name}data: {json.dumps(value, separators=separators, ensure_ascii=False)}{end}".encode()


def chat(**delta: object) -> Json:
    return {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta}], "usage": None}


def counted(*pieces: bytes) -> Relayed:
    count = AnswerCount()
    for piece in pieces:
        count.add(piece)
    return count.relayed


@pytest.mark.parametrize(
    "value, characters",
    [
        (chat(content="Grüße 😀"), 7),
        (chat(content='"\n\\'), 3),
        (chat(refusal="No."), 3),
        (chat(reasoning_content="Hm"), 2),
        (chat(reasoning="Hm", reasoning_details=[{"text": "Hm"}]), 2),
        (chat(tool_calls=[{"index": 0, "function": {"arguments": '{"a'}}, {"index": 1, "function": {}}]), 3),
        (chat(tool_calls=[{"id": "call_1", "function": {"name": "f", "arguments": ""}}]), 0),
        (chat(function_call={"arguments": "{}"}), 2),
        (chat(content=[{"type": "text", "text": "Bon"}, {"type": "thinking", "thinking": [{"text": "Hm"}]}]), 5),
        (chat(role="assistant", content=""), 0),
        (chat(), 0),
        ({"choices": [{"index": 0, "delta": {"content": "ab"}}, {"index": 1, "delta": {"content": "c"}}]}, 3),
        ({"object": "text_completion", "choices": [{"index": 0, "text": "abc", "logprobs": None}]}, 3),
        ({"type": "response.output_text.delta", "delta": "abc", "logprobs": []}, 3),
        ({"type": "response.function_call_arguments.delta", "delta": "{}"}, 2),
        ({"type": "response.reasoning_summary_text.delta", "delta": "abc"}, 3),
        ({"type": "response.output_text.done", "text": "abc"}, 0),
        ({"type": "response.completed", "response": {"output": [{"content": [{"text": "abc"}]}]}}, 0),
        ({"type": "response.audio.delta", "delta": "AAAA"}, 0),
        ({"error": {"message": "abc"}}, 0),
        ({"choices": []}, 0),
        ({"choices": None, "delta": {"text": "x"}}, 0),
        ({"choices": "x"}, 0),
        ([], 0),
        (chat(content=7, tool_calls=[7, {"function": 7}], refusal=[7]), 0),
    ],
)
def test_what_carries_text_is_counted_in_every_shape(value: object, characters: int) -> None:
    assert counted(event(value)) == Relayed(1 if characters else 0, characters)


@pytest.mark.parametrize("data", [b"", b": a comment\n\n", b"data: [DONE]\n\n", b"data: {\n\n", b"data: \xff\n\n"])
def test_what_is_no_event_counts_nothing(data: bytes) -> None:
    assert counted(data) == Relayed()


TEXTS = st.sampled_from([" on", "", '"quoted"', "two\nlines", "Grüße", "日本", "😀", "\\", '{"a": 1'])
SHAPES = st.sampled_from(
    [
        lambda text: chat(content=text),
        lambda text: chat(reasoning_content=text),
        lambda text: chat(tool_calls=[{"index": 0, "function": {"arguments": text}}]),
        lambda text: {"choices": [{"text": text}]},
        lambda text: {"type": "response.output_text.delta", "delta": text},
    ]
)


@given(
    runs=st.lists(st.tuples(SHAPES, st.lists(TEXTS, min_size=1, max_size=4), st.integers(1, 120)), max_size=4),
    separators=st.sampled_from([COMPACT, USUAL]),
    named=st.sampled_from(["", "response.output_text.delta"]),
    end=st.sampled_from(["\n\n", "\r\n\r\n"]),
    events_a_piece=st.integers(1, 300),
)
def test_many_events_looked_at_at_once_count_the_same(
    runs: list[Any], separators: tuple[str, str], named: str, end: str, events_a_piece: int
) -> None:
    said = [(shape, text) for shape, texts, times in runs for text in texts * times]
    events = [event(shape(text), separators, named, end) for shape, text in said]
    pieces = [b"".join(events[i : i + events_a_piece]) for i in range(0, len(events), events_a_piece)]
    expected = Relayed(sum(1 for _, text in said if text), sum(len(text) for _, text in said))
    assert counted(*pieces) == expected


def test_it_can_be_asked_at_any_moment() -> None:
    count, seen = AnswerCount(), []
    for _ in range(3):
        count.add(event(chat(content="abcd")))
        seen.append(count.relayed)
    assert seen == [Relayed(1, 4), Relayed(2, 8), Relayed(3, 12)]


def test_it_holds_no_more_of_a_long_stream_than_of_a_short_one() -> None:
    count, piece = AnswerCount(), event(chat(content="abcd")) * 10
    for _ in range(2_000):
        count.add(piece)
        assert sum(map(len, count._held)) < 1 << 17
    assert count.relayed == Relayed(20_000, 80_000)
