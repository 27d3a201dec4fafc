import json
from pydoc_data import topics
from typing import Any

import pytest

from gateway.windowing.conversation import read
from gateway.windowing.counting import Tally, readable, tally
from retrieval.tokens import counter_for
from retrieval.types import Deadline, DeadlineExceededError

COUNTER = counter_for("gpt-4o-mini")


def count(*messages: dict[str, Any], **fields: Any) -> Tally:
    conversation = read(json.dumps({"messages": messages, **fields}).encode())
    assert conversation is not None
    return tally(conversation, COUNTER, Deadline.after(10))


def test_a_plain_message_is_counted_as_openai_counts_it() -> None:
    # usage.prompt_tokens of a request with the one user message "hi".
    assert count({"role": "user", "content": "hi"}).total == 8


def test_calls_names_and_tools_count() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "find", "arguments": '{"city": "Oslo"}'}}
    plain = count({"role": "assistant", "content": "x"}).total
    called = count({"role": "assistant", "content": "x", "tool_calls": [call]}).total
    assert called == plain + COUNTER.count("find") + COUNTER.count('{"city": "Oslo"}')
    assert count({"role": "user", "content": "x", "name": "Ann"}).total == plain + COUNTER.count("Ann") + 1
    tools = [{"type": "function", "function": {"name": "find"}}]
    assert count({"role": "assistant", "content": "x"}, tools=tools).total == plain + COUNTER.count(json.dumps(tools))


def test_attachments_are_not_counted_as_text() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 10_000}}
    assert count({"role": "user", "content": [image, {"type": "text", "text": "hi"}]}).total == 8


def test_lone_surrogates_are_counted_as_one_character() -> None:
    assert readable("a\ud800b\udfff") == "a\ufffdb\ufffd"
    assert count({"role": "user", "content": "\ud800"}).total > 7


@pytest.mark.parametrize("text", ["文字化け。" * 60_000, "😀🏽" * 60_000, "# a\n" * 60_000])
def test_any_length_is_counted(text: str) -> None:
    expected = sum(COUNTER.count(text[at : at + 12_000]) for at in range(0, len(text), 12_000))
    assert count({"role": "user", "content": text}).total == pytest.approx(expected, rel=0.01)


def test_pieces_of_lines_add_up_exactly() -> None:
    text = "\n\n".join(topic for _, topic in sorted(topics.topics.items()))[:200_000]
    assert count({"role": "user", "content": text}).total == COUNTER.count(text) + 7


def test_the_deadline_is_looked_at() -> None:
    conversation = read(json.dumps({"messages": [{"role": "user", "content": "word " * 100_000}] * 2}).encode())
    assert conversation is not None
    with pytest.raises(DeadlineExceededError):
        tally(conversation, COUNTER, Deadline.after(-1))
