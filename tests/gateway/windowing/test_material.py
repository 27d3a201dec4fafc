"""Blocks of pasted material by their form."""

import json

import pytest

from gateway.windowing.material import Block, LinePattern, ask_elements, begins_material, blocks, is_turn, merge

_BODY = "Some words of a document, enough of them to weigh.\n" * 40


def test_named_files_are_one_run_up_to_the_report() -> None:
    files = "\n\n".join(f"### pkg/mod_{n}.py\n```python\n{_BODY}```" for n in range(3))
    report = "It fails\n```python\nload()\n```\nWhy?"
    assert blocks(f"{files}\n\n{report}") == [Block(0, len(files), "file###", 3)]


def test_a_question_between_named_files_parts_the_run() -> None:
    one = f"# file: a.py\n```\n{_BODY}```"
    text = f"{one}\n\nWhat does this call?\n\n{one}"
    assert [text[b.start : b.end] for b in blocks(text)] == [one, one]


def test_elements_in_a_row_are_one_block_and_words_between_them_part_it() -> None:
    row = "\n".join(f"<doc id='{n}'>\n{_BODY}</doc>" for n in range(3))
    assert merge(blocks(row)) == ((0, len(row)),)
    assert len(blocks(f"{row}\nNever name the source.\n{row}")) == 2


def test_elements_that_ask_are_no_material() -> None:
    text = f"<task>\n{_BODY}</task>"
    assert blocks(text) == []
    assert ask_elements(text) == [(0, len(text))]


def test_unclosed_and_inline_elements_are_no_blocks() -> None:
    assert blocks(f"<doc>\n{_BODY}") == []
    assert blocks(f"<details>\n{_BODY}</details>") == []


@pytest.mark.parametrize("quote", ['"""', "'''"])
def test_quotes(quote: str) -> None:
    assert [b.form for b in blocks(f"Look:\n{quote}\n{_BODY}\n{quote}\nWhy?")] == ["quote"]


def test_json_ends_before_the_line_of_words() -> None:
    data = json.dumps([{"a": n, "b": "text"} for n in range(200)], indent=1)
    text = f"{data}\nWhich of them is wrong?\n{data}"
    assert [text[b.start : b.end] for b in blocks(text)] == [data, data]


@pytest.mark.parametrize(
    "line",
    [
        "--- Document 3: Title ---",
        "== Part ==",
        "[Title]",
        "# Title",
        "Context:",
        "Chapter 4 The end",
        "Document:",
        "2026-01-02 10:00:00 INFO started",
        "a,b,c,d",
        "def load(path: str) -> None:",
        "const a = 1;",
        "<doc id='1'>",
    ],
)
def test_lines_that_begin_material(line: str) -> None:
    assert begins_material(line)


@pytest.mark.parametrize(
    "line", ["Why does it fail?", "Please translate this.", "Answer in French", "What is said about a, b and c?"]
)
def test_lines_that_do_not(line: str) -> None:
    assert not begins_material(line)


def test_turns() -> None:
    assert is_turn("Ana: hello")
    assert is_turn("[10:15] Project Manager: so")
    assert not is_turn("No turn at all")


def test_line_pattern_finds_only_line_beginnings() -> None:
    pattern = LinePattern("ab")
    assert [m.start() for m in pattern.find("ab xab\nab\nxab")] == [0, 7]
    assert [m.start() for m in pattern.find("ab xab\nab\nxab", 1)] == [7]
