import pytest

from retrieval.tokens import BpeCounter, counter_for, encoding_name


@pytest.mark.parametrize(
    "model, expected",
    [
        (None, "o200k_base"),
        ("", "o200k_base"),
        ("gpt-4o-mini-2024-07-18", "o200k_base"),
        ("openai/gpt-4o", "o200k_base"),
        ("gpt-4.1", "o200k_base"),
        ("o3-mini", "o200k_base"),
        ("some-new-model", "o200k_base"),
        ("ft:gpt-4o-mini:acme::abc", "o200k_base"),
        ("gpt-4", "cl100k_base"),
        ("gpt-4-0613", "cl100k_base"),
        ("GPT-4-Turbo-2024-04-09", "cl100k_base"),
        ("azure/gpt-35-turbo", "cl100k_base"),
        ("gpt-3.5-turbo-0125", "cl100k_base"),
        ("ft:gpt-3.5-turbo:acme::abc", "cl100k_base"),
        ("text-embedding-3-small", "cl100k_base"),
    ],
)
def test_every_form_of_a_model_name_finds_its_vocabulary(model: str | None, expected: str) -> None:
    assert encoding_name(model) == expected


def test_known_texts_have_their_published_counts() -> None:
    # Counts from the tiktoken README and its cookbook: "tiktoken is great!" is six tokens in cl100k_base.
    assert counter_for("gpt-4").count("tiktoken is great!") == 6
    assert counter_for("gpt-4o").count("") == 0


def test_what_looks_like_a_special_token_is_plain_text() -> None:
    counter = counter_for("gpt-4o")
    assert counter.count("<|endoftext|>") > 1
    assert counter.count("\ud800 lone surrogate") > 0


def test_a_very_long_text_is_counted_like_the_sum_of_its_lines() -> None:
    line = "The quick brown fox jumps over the lazy dog, 1234 times.\n"
    counter = counter_for("gpt-4o")
    assert counter.count(line * 40_000) == 40_000 * counter.count(line)


def test_counters_are_built_once() -> None:
    assert counter_for("gpt-4o") is counter_for("o3")
    assert isinstance(counter_for("gpt-4"), BpeCounter)
    assert counter_for("gpt-4").count_many(["a b", ""]) == [2, 0]


def test_what_was_counted_is_remembered_exactly() -> None:
    text = "\n".join(f"Line {n} of a manual, about its chapter {n // 7}." for n in range(3000))
    counter = counter_for("gpt-4o")
    expected = counter.count(text)
    for _ in range(2):
        assert counter.recall(text) == expected
        assert counter.recall(f"What is asked?\n\n{text}") == counter.count(f"What is asked?\n\n{text}")
    assert counter.recall("\ud800" * 300) == counter.count("\ud800" * 300)
    assert counter.recall("") == 0
