import json
from typing import Any

import pytest

from gateway.windowing.conversation import Conversation, places, read


def conversation(messages: Any, **fields: Any) -> Conversation:
    found = read(json.dumps({"model": "gpt-4o-mini", "messages": messages, **fields}).encode())
    assert found is not None
    return found


def test_texts_know_where_they_stand() -> None:
    found = conversation([{"role": "user", "content": [{"type": "text", "text": "é"}, {"type": "text", "text": "b"}]}])
    assert found.model == "gpt-4o-mini"
    assert [found.text[p.start : p.end] for p in places(found.text, found.messages[0])[0]] == ['"\\u00e9"', '"b"']


def test_calls_and_what_answers_them() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "find", "arguments": '{"q": 1}'}}
    found = conversation(
        [
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": "result"},
            {"role": "assistant", "function_call": {"name": "old", "arguments": "{}"}},
            {"role": "function", "name": "old", "content": "result"},
        ]
    )
    head, result, legacy, answer = found.messages
    assert (head.calls[0].id, head.calls[0].name, head.fixed) == ("c1", "find", ("find", '{"q": 1}'))
    assert result.answers == "c1"
    assert legacy.calls[0].name == "old"
    assert answer.name == "old"
    assert all(m.understood for m in found.messages)


@pytest.mark.parametrize(
    "message",
    [
        7, None, "text", [], {}, {"role": 5, "content": "x"}, {"role": "robot", "content": "x"},
        {"role": "user", "content": 5},
        {"role": "user", "content": {"text": "x"}}, {"role": "user", "content": ["x"]},
        {"role": "user", "content": [{"type": "text", "text": 7}]}, {"role": "user", "content": [{"text": "x"}]},
        {"role": "assistant", "tool_calls": "x"},
    ],
)  # fmt: skip
def test_what_is_of_no_known_form_is_not_understood(message: Any) -> None:
    assert not conversation([message]).messages[0].understood


def test_a_spoken_answer_is_an_attachment() -> None:
    assert conversation([{"role": "assistant", "content": None, "audio": {"id": "audio_1"}}]).messages[0].attachments
    assert not conversation([{"role": "assistant", "content": "x", "audio": None}]).messages[0].attachments


def test_attachments_and_parts_with_further_fields_are_not_editable() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    found = conversation([{"role": "user", "content": [{"type": "text", "text": "x", "annotations": []}, image]}])
    assert found.messages[0].attachments
    assert not found.messages[0].texts[0].editable


@pytest.mark.parametrize(
    "message, cached",
    [
        ({"role": "user", "content": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}]}, True),
        ({"role": "user", "content": "x", "cache_control": {"type": "ephemeral"}}, True),
        ({"role": "user", "content": 'they say "cache_control" is a field'}, False),
    ],
)
def test_cache_marks(message: Any, cached: bool) -> None:
    assert conversation([message]).messages[0].cached is cached


@pytest.mark.parametrize("body", [b"{}", b"[]", b"7", b'{"messages": {}}', b'{"messages": []}', b'{"messages": null}'])
def test_no_conversation(body: bytes) -> None:
    assert read(body) is None


@pytest.mark.parametrize("body", [b"", b"{", b'{"messages": [}', b'"\xff"', "{}".encode("utf-16")])
def test_no_json(body: bytes) -> None:
    with pytest.raises(ValueError):
        read(body)


def test_tool_definitions_are_read() -> None:
    found = conversation([{"role": "user", "content": "x"}], tools=[{"type": "function", "function": {"name": "f"}}])
    assert '"f"' in found.tools[0]
