import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.windowing.spans import Edit, Node, Shape, document, entries, locate, quoted, removals, spliced

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=20,
)
ANY_TEXT = st.text(st.characters(min_codepoint=0, max_codepoint=0x10FFFF, categories=None))
SHAPE: Shape = {"messages": [{"content": [{}]}]}


def value_of(node: Node) -> Any:
    if node.fields:
        return {key: value_of(field) for key, field in node.fields.items()}
    if node.items:
        return [value_of(item) for item in node.items]
    return node.value


def test_positions_of_opened_values() -> None:
    text = (
        ' {"model": "m", "messages" : [ {"role":"user","content": "hi"} , {"content":[{"type":"text","text":"x"}]}]} '
    )
    root = document(text, SHAPE)
    first, second = root.fields["messages"].items
    assert text[first.start : first.end] == '{"role":"user","content": "hi"}'
    assert text[first.fields["content"].start : first.fields["content"].end] == '"hi"'
    part = second.fields["content"].items[0]
    assert text[part.fields["text"].start : part.fields["text"].end] == '"x"'


def test_last_of_duplicate_keys_wins() -> None:
    text = '{"messages":[1],"messages":[{"content":"a","content":"b"}]}'
    message = document(text, SHAPE).fields["messages"].items[0]
    assert message.fields["content"].value == "b"
    assert text[message.fields["content"].start :].startswith('"b"')


@given(JSON_VALUES, st.sampled_from([None, 1, "\t"]), st.booleans())
def test_reads_what_the_standard_library_reads(value: Any, indent: Any, ascii_only: bool) -> None:
    text = json.dumps({"messages": value}, indent=indent, ensure_ascii=ascii_only)
    root = document(text, SHAPE)
    inside = root.fields["messages"]
    assert json.dumps(json.loads(text[inside.start : inside.end])) == json.dumps(json.loads(text)["messages"])


@given(st.text(alphabet='{}[]",:\\ \n1e-.tfnu0aN', max_size=30))
def test_refuses_what_the_standard_library_refuses(text: str) -> None:
    try:
        json.loads(text)
    except ValueError:
        with pytest.raises(ValueError):
            document(text, SHAPE)
    else:
        document(text, SHAPE)


@pytest.mark.parametrize(
    "text", ['{"a":1}x', "{'a':1}", '{"messages":[{}{}]}', '{"messages":[{"a" 1}]}', "{1:2}", "[1,]", ""]
)
def test_refused(text: str) -> None:
    with pytest.raises(json.JSONDecodeError):
        document(text, SHAPE)


def test_entries_of_objects_begin_with_their_key() -> None:
    text = '{ "a": 1 , "b" :[2]}'
    found, end = entries(text, 0)
    assert [(e.key, text[e.start : e.node.end]) for e in found] == [("a", '"a": 1'), ("b", '"b" :[2]')]
    assert end == len(text)


def test_numbers_outside_floats_are_read() -> None:
    assert value_of(locate("[1e400, NaN, 123456789012345678901234567890]", [None]))[2] == 123456789012345678901234567890


@given(ANY_TEXT, st.booleans())
def test_quoted_survives_utf8_and_reads_back(value: str, ascii_only: bool) -> None:
    token = quoted(value, ascii_only)
    written = token.encode("utf-8")
    # The standard library joins two escaped halves of a pair, as it does in its own output.
    assert json.loads(written) == json.loads(json.dumps(value))
    assert token.isascii() or not ascii_only


def test_spliced_makes_all_edits() -> None:
    assert spliced("abcdef", [Edit(4, 6, ""), Edit(0, 1, "X"), Edit(2, 2, "+")]) == "Xb+cd"


@given(st.lists(st.booleans(), min_size=1, max_size=8).filter(any), st.sampled_from([(",", ":"), (" , ", ": ")]))
def test_removals_take_one_comma_each(kept: list[bool], separators: tuple[str, str]) -> None:
    text = json.dumps([{"n": n} for n in range(len(kept))], separators=separators)
    found, _ = entries(text, 0)
    left = spliced(text, removals([(e.start, e.node.end) for e in found], kept))
    assert json.loads(left) == [{"n": n} for n, k in enumerate(kept) if k]
