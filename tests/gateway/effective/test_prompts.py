from itertools import islice

import pytest

from gateway.effective.facts import made_up
from gateway.effective.prompts import Filler, prompt
from retrieval.tokens import counter_for

FACT, OTHERS = next(made_up(1))
FILLER = Filler("gpt-4o-mini")


@pytest.mark.parametrize("tokens", [1_000, 8_000, 300_000])
def test_a_prompt_is_about_as_long_as_asked_for(tokens: int) -> None:
    text = prompt(FACT, OTHERS, FILLER, tokens, 0.5)
    assert counter_for("gpt-4o-mini").count(text) == pytest.approx(tokens, rel=0.1, abs=300)


@pytest.mark.parametrize("depth", [0.05, 0.5, 0.95])
def test_the_passage_stands_at_its_depth_and_the_question_at_the_end(depth: float) -> None:
    text = prompt(FACT, OTHERS, FILLER, 16_000, depth)
    assert text.count(FACT.passage) == 1
    assert text.index(FACT.passage) / len(text) == pytest.approx(depth, abs=0.1)
    assert all(text.count(other.passage) == 1 for other in OTHERS)
    assert text.endswith(f"Question: {FACT.question}")


def test_no_two_prompts_begin_alike_for_longer_than_a_cache_wants() -> None:
    facts = list(islice(made_up(1), 20))
    texts = [prompt(*facts[i], FILLER, 8_000, (i + 0.5) / 20) for i in range(20)]
    assert len({text[:1_000] for text in texts}) == 20


def test_own_text_is_repeated_where_it_is_too_short() -> None:
    text = prompt(FACT, OTHERS, Filler("gpt-4o-mini", "One paragraph.\n\nAnother one."), 500, 0.5)
    assert text.count("Another one.") > 20
