from decimal import Decimal

import pytest

from gateway.effective.asking import Answer
from gateway.effective.facts import Fact
from gateway.effective.figures import found, wilson
from gateway.effective.trial import Asked
from gateway.pricing import PriceBook
from gateway.usage import Usage

FACT = Fact("The code is XK-1.", "Which code?", ("XK-1",))
PRICES = PriceBook("https://api.openai.com/v1")
MODEL = "gpt-4o-mini"


def answer(right: bool, tokens: int = 1_000, began: float = 0.5) -> Answer:
    return Answer("XK-1" if right else "no idea", windowed=True, began=began, usage=Usage(prompt=tokens, completion=2))


def asked(length: int, direct: int, through: int, of: int = 20) -> list[Asked]:
    return [Asked(length, FACT, answer(i < direct, length), answer(i < through, length // 4)) for i in range(of)]


def test_the_context_is_effective_as_far_as_accuracy_stays_within_5_percent_of_its_peak() -> None:
    came = found([*asked(1_000, 20, 20), *asked(4_000, 19, 20), *asked(16_000, 18, 19)], MODEL, PRICES)
    assert (came.effective_direct, came.effective_through) == (4_000, 16_000)
    assert [one.direct.accuracy for one in came.lengths] == [1.0, 0.95, 0.9]
    assert [one.tokens for one in came.lengths] == [1_000, 4_000, 16_000]


def test_a_length_behind_one_that_fails_is_out_of_reach() -> None:
    came = found([*asked(1_000, 20, 20), *asked(4_000, 10, 20), *asked(16_000, 20, 20)], MODEL, PRICES)
    assert came.effective_direct == 1_000


def test_the_peak_is_that_of_the_better_way() -> None:
    came = found([*asked(1_000, 20, 5), *asked(4_000, 5, 5)], MODEL, PRICES)
    assert (came.effective_direct, came.effective_through) == (1_000, 0)


def test_nothing_right_makes_nothing_effective() -> None:
    came = found(asked(1_000, 0, 0), MODEL, PRICES)
    assert (came.effective_direct, came.effective_through) == (0, 0)


def test_answers_are_compared_question_by_question() -> None:
    came = found([*asked(1_000, 20, 12), *asked(4_000, 8, 8)], MODEL, PRICES)
    assert (came.lost, came.won) == (8, 0)
    assert came.by_chance == pytest.approx(2 / 2**8)
    assert found(asked(1_000, 20, 20), MODEL, PRICES).by_chance == 1.0


def test_bills_are_by_the_upstreams_own_usage() -> None:
    (length,) = found(asked(4_000, 20, 20), MODEL, PRICES).lengths
    each = Usage(prompt=4_000, completion=2)
    assert length.direct.usd == 20 * (PRICES.cost(MODEL, each) or 0)
    assert length.through.usd is not None
    assert length.through.usd < (length.direct.usd or 0)
    assert (length.direct.prompt_tokens, length.through.prompt_tokens) == (80_000, 20_000)
    assert length.direct.began_ms == pytest.approx(500)
    assert length.windowed == 20


def test_a_bill_that_is_not_known_is_not_shown_as_a_sum_of_the_others() -> None:
    some = asked(1_000, 20, 20)
    silent = Answer("XK-1", began=0.1)
    (length,) = found([*some, Asked(1_000, FACT, silent, silent)], MODEL, PRICES).lengths
    assert length.direct.usd is None
    assert found(some, "nobody-knows-it", PRICES).lengths[0].direct.usd is None


def test_what_is_too_long_for_the_model_is_wrong_and_costs_nothing() -> None:
    refused = [Asked(4_000, FACT, Answer(None), answer(True)) for _ in range(4)]
    came = found([*asked(1_000, 20, 20), *refused], MODEL, PRICES)
    assert came.lengths[1].direct.accuracy == 0
    assert came.lengths[1].direct.usd == Decimal(0)
    assert came.lengths[1].direct.began_ms is None
    assert came.effective_through == 4_000


def test_wilsons_interval_is_as_in_the_tables() -> None:
    low, high = wilson(18, 20)
    assert (round(low, 3), round(high, 3)) == (0.699, 0.972)
    assert wilson(20, 20)[1] == pytest.approx(1)
    assert wilson(0, 20)[0] == pytest.approx(0)
