from decimal import Decimal

import genai_prices
import pytest

from gateway.pricing import PriceBook, gateway_cost
from gateway.usage import Usage

LOCAL = PriceBook("http://127.0.0.1:9900/v1")


def test_cached_input_costs_its_own_price() -> None:
    full = LOCAL.cost("gpt-4o-mini", Usage(1_000_000, 0))
    cached = LOCAL.cost("gpt-4o-mini", Usage(1_000_000, 0, cached=1_000_000))
    assert full is not None
    assert cached is not None
    assert 0 < cached < full


def test_reasoning_is_part_of_the_output_and_not_paid_twice() -> None:
    assert LOCAL.cost("gpt-4o-mini", Usage(10, 100, reasoning=90)) == LOCAL.cost("gpt-4o-mini", Usage(10, 100))


def test_a_reply_that_claims_more_cached_than_prompt_does_not_cost_less_than_nothing() -> None:
    cost = LOCAL.cost("gpt-4o-mini", Usage(10, 0, cached=1000))
    assert cost is not None
    assert cost > 0


@pytest.mark.parametrize("model", [None, "", "my-own-model", "ft:gpt-4o-mini:acme::x", "x" * 10_000])
def test_an_unknown_models_cost_is_unknown(model: str | None) -> None:
    assert LOCAL.cost(model, Usage(1000, 10)) is None
    assert LOCAL.canonical(model) is None


def test_dated_names_have_their_models_price() -> None:
    assert LOCAL.cost("gpt-4o-mini-2024-07-18", Usage(1000, 0)) == LOCAL.cost("gpt-4o-mini", Usage(1000, 0))
    assert LOCAL.canonical("gpt-4o-mini-2024-07-18") == "gpt-4o-mini"


def test_the_gateways_own_cost_is_its_time_at_the_price_of_a_core() -> None:
    assert gateway_cost(3_600_000, 0.05) == pytest.approx(Decimal("0.05"))


@pytest.mark.parametrize(
    "model", ["gpt-4o-mini", "gpt-4o", "o3-mini", "claude-sonnet-4-5", "gemini-2.5-pro", "gpt-3.5-turbo"]
)
@pytest.mark.parametrize(
    "usage", [Usage(0, 0), Usage(1234, 567, cached=1000), Usage(300_000, 9, cached=7), Usage(5, 0, cached=9)]
)
def test_costs_are_the_price_lists_own(model: str, usage: Usage) -> None:
    listed = genai_prices.calc_price(
        genai_prices.Usage(
            input_tokens=usage.prompt, cache_read_tokens=min(usage.cached, usage.prompt), output_tokens=usage.completion
        ),
        model,
    )
    assert LOCAL.cost(model, usage) == listed.total_price
