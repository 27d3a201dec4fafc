import pytest

from gateway.windowing.intent_words import FAMILIES, FORMS, Family


def families_of(text: str) -> set[str]:
    return {name for name, family in FAMILIES.items() if family.found(text.lower())}


def test_words_count_from_a_word_boundary_on() -> None:
    family = Family("boat|ferr(?:y|ies)")
    assert family.found("two boats")
    assert family.found("ferries")
    assert not family.found("a houseboat")


def test_every_alternative_has_the_boundary() -> None:
    assert not Family("boat|oar").found("a roaring sea")
    assert Family("boat|oar").found("a broken oar")


def test_scripts_without_word_boundaries_match_anywhere() -> None:
    family = Family("boat", "船")
    assert family.found("那艘船很大")
    assert not family.found("那座桥很大")


def test_the_words_of_other_scripts_are_not_looked_for_in_ascii() -> None:
    assert not Family("boat", "pier").found("the pier")
    assert Family("boat", "pier").found("the pier, où")


@pytest.mark.parametrize(
    "text, family",
    [
        ("Summarise the meeting", "summary"),
        ("Give me the key takeaways", "summary"),
        ("Fass den Brief kurz zusammen", "summary"),
        ("请总结一下", "summary"),
        ("Suggest a headline", "title"),
        ("Translate it into Dutch", "translate"),
        ("Traduis la lettre", "translate"),
        ("翻訳してください", "translate"),
        ("Proofread my letter", "rewrite"),
        ("Turn the notes into a poem", "rewrite"),
        ("List all invoices", "extract"),
        ("every single one", "all"),
        ("Tous les noms", "all"),
        ("What is the overall mood", "overall"),
        ("Classify each review", "judge"),
        ("How many times is it named", "count"),
        ("Compare the two offers", "compare"),
        ("Draft a reply", "create"),
        ("the following", "this_text"),
        ("dieses Dokument hier, der Text", "this_text"),
        ("regarding the ferry", "narrow"),
        ("Who said so", "said"),
        ("the last paragraph", "part"),
        ("see section 4", "part"),
        ("Answer the questions", "answer"),
        ("a python lambda", "code_search"),
        ("Traceback below", "issue"),
        ("What do the guests say", "crowd"),
        ("Was die Kunden über das Bad sagen", "crowd"),
        ("the relationship between Ann and Bob", "relation"),
        ("Buy two tickets", "deed"),
        ("it was never translated", "done"),
        ("into plain Dutch", "into_language"),
        ("What is this story about", "about what"),
        ("De quoi parle ce livre", "about what"),
    ],
)
def test_a_request_shows_the_families_of_its_words(text: str, family: str) -> None:
    assert family in families_of(text)


@pytest.mark.parametrize("text", ["Who owns the ferry?", "Wem gehört das Boot?", "船はどこですか"])
def test_a_look_up_shows_no_family_that_needs_a_whole_text(text: str) -> None:
    whole = {"summary", "title", "translate", "rewrite", "extract", "all", "overall", "judge", "count", "compare"}
    assert not families_of(text) & whole


@pytest.mark.parametrize("text", ["explain this contract", "the article below", "my whole report"])
def test_a_noun_of_text_pointed_at_means_this_text(text: str) -> None:
    assert "this_text" in families_of(text)


@pytest.mark.parametrize("text", ["in this contract", "which of these functions", "the sentence about rent"])
def test_a_place_within_a_text_is_not_this_text(text: str) -> None:
    assert "this_text" not in families_of(text)


def test_forms_are_told_by_their_shape() -> None:
    def forms(text: str) -> set[str]:
        return {name for name, pattern in FORMS.items() if pattern.search(text)}

    assert forms("Which one?\nA) the ferry\nB) the boat") == {"choices"}
    assert forms("Yes, please go on") == {"consent"}
    assert forms("# IDENTITY\nA careful reader") == {"template"}
    assert forms("You are a harbour expert reviewer.") == {"template"}
    assert forms("Where is the ferry? It is 4) pm") == set()
