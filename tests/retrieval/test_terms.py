import pytest

from retrieval.terms import WORD, stem, terms_of


@pytest.mark.parametrize(
    "one, other",
    [("renewal", "renew"), ("parties", "party"), ("running", "runs"), ("terminated", "termination"), ("boxes", "box")],
)
def test_forms_of_a_word_share_a_stem(one: str, other: str) -> None:
    assert stem(one) == stem(other)


@pytest.mark.parametrize("word", ["bus", "this", "die", "x1", "haus2", "ärger"])
def test_short_and_foreign_words_stay(word: str) -> None:
    assert stem(word) == word


def test_identifiers_are_kept_whole_and_in_parts() -> None:
    assert set(terms_of("parseHttpHeaders_v2")) >= {"parsehttpheaders_v2", "http", stem("headers"), "2"}
    assert terms_of("Vistula") == (stem("vistula"),)


def test_scripts_without_spaces_give_pairs() -> None:
    assert terms_of("北京大学") == ("北京", "京大", "大学")
    assert terms_of("第3章") == ("第", "3", "章")


def test_combining_vowels_do_not_split_a_word() -> None:
    assert WORD.findall("सम्मानित नेता।") == ["सम्मानित", "नेता"]
