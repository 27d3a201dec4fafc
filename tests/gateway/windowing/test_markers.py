import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.windowing.markers import between, marker, measure, pattern


@pytest.mark.parametrize(
    "count, noun, expected",
    [
        (1, "line", "[… 1 line omitted …]"),
        (214, "line", "[… 214 lines omitted …]"),
        (2, "message", "[… 2 messages omitted …]"),
    ],
)
def test_singular_and_plural(count: int, noun: str, expected: str) -> None:
    assert marker(count, noun) == expected


@pytest.mark.parametrize(
    "gap, expected",
    [
        ("one\ntwo\nthree\n", "[… 3 lines omitted …]"),
        ("one line\n", "[… 1 line omitted …]"),
        ("\none line\n", "[… 1 line omitted …]"),
        ("a few words here", "[… 4 words omitted …]"),
        ("word", "[… 1 word omitted …]"),
        ("福林德斯大学设立在什么地方福林德斯大学设立在什么地方", "[… 26 characters omitted …]"),
    ],
)
def test_measure_counts_lines_words_or_characters(gap: str, expected: str) -> None:
    assert measure(gap) == expected


@pytest.mark.parametrize(
    "before, gap, after, expected",
    [
        ("a.", "two words", "b", " [… 2 words omitted …] "),
        (" ", "two words", " ", "[… 2 words omitted …]"),
        ("a", "x\ny\n", "b", "\n[… 2 lines omitted …]\n"),
        ("\n", "x\ny", "\n", "[… 2 lines omitted …]"),
        ("", "x\ny\n", "b", "[… 2 lines omitted …]\n"),
        ("\n", "two words", "", "[… 2 words omitted …]"),
    ],
)
def test_between_stands_on_its_own_line_in_texts_with_lines(before: str, gap: str, after: str, expected: str) -> None:
    assert between(before, gap, after) == expected


@given(st.text(min_size=1))
def test_every_marker_has_the_one_form(gap: str) -> None:
    if gap.strip():
        assert pattern.fullmatch(measure(gap))
