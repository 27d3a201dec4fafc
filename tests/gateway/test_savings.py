from decimal import Decimal

from gateway.pricing import PriceBook
from gateway.savings import Saving, cost_of
from gateway.usage import Usage

PRICES = PriceBook("https://api.openai.com/v1")
MODEL = "gpt-4o-mini"
NOTHING = Decimal(0)


def usd(usage: Usage) -> Decimal:
    cost = PRICES.cost(MODEL, usage)
    assert cost is not None
    return cost


def test_a_cold_prompt_saves_its_dropped_tokens_less_the_gateways_own_cost() -> None:
    saving = Saving.of(20_000, 3_000, 0, Decimal("0.0001"))
    saved = saving.usd(PRICES, MODEL, Usage(3_000, 100))
    assert saved == usd(Usage(17_000, 0)) - saving.own_usd


def test_the_discount_that_a_warm_prefix_would_have_had_is_taken_off() -> None:
    cold = Saving.of(20_000, 3_000, 0, NOTHING).usd(PRICES, MODEL, Usage(3_000, 0))
    warm = Saving.of(20_000, 3_000, 19_000, NOTHING).usd(PRICES, MODEL, Usage(3_000, 0))
    assert cold is not None
    assert warm is not None
    assert cold - warm == usd(Usage(19_000, 0)) - usd(Usage(19_000, 0, cached=19_000))


def test_a_loss_is_shown_as_a_loss() -> None:
    saved = Saving.of(20_000, 18_000, 19_800, NOTHING).usd(PRICES, MODEL, Usage(18_000, 0))
    assert saved is not None
    assert saved < 0


def test_what_was_written_to_a_cache_is_no_part_of_the_saving() -> None:
    saving = Saving.of(20_000, 3_000, 0, NOTHING)
    model = "claude-sonnet-4-5"
    written = saving.usd(PRICES, model, Usage(3_000, 100, cache_written=2_000))
    assert written == saving.usd(PRICES, model, Usage(3_000, 100)) == PRICES.cost(model, Usage(17_000, 0))


def test_a_window_in_shadow_would_have_saved_what_one_that_is_forwarded_saves() -> None:
    saving = Saving.of(20_000, 3_000, 0, Decimal("0.000002"))
    would = saving.would_be_usd(PRICES, MODEL, Usage(20_000, 100))
    assert would == saving.usd(PRICES, MODEL, Usage(3_000, 100)) == usd(Usage(17_000, 0)) - saving.own_usd


def test_of_a_window_in_shadow_the_discount_that_the_original_had_is_taken_off_too() -> None:
    def would(usage: Usage, warm: int = 0) -> Decimal | None:
        return Saving.of(20_000, 3_000, warm, NOTHING).would_be_usd(PRICES, MODEL, usage)

    reported = would(Usage(20_000, 0, cached=19_000))
    assert reported == usd(Usage(20_000, 0, cached=19_000)) - usd(Usage(3_000, 0))
    assert would(Usage(20_000, 0), warm=19_000) == reported
    assert would(Usage(20_000, 0, cached=20_000)) == usd(Usage(20_000, 0, cached=20_000)) - usd(Usage(3_000, 0))


def test_a_window_in_shadow_is_never_taken_for_smaller_than_it_is() -> None:
    saving = Saving.of(20_000, 3_000, 0, NOTHING)
    assert saving.would_be_usd(PRICES, MODEL, Usage(16_000, 0)) == usd(Usage(13_000, 0))
    assert saving.would_be_usd(PRICES, MODEL, Usage(2_000, 0)) == 0
    assert saving.would_be_usd(PRICES, "my-own", Usage(20_000, 0)) is None


def test_prefixes_too_short_to_be_cached_have_no_discount() -> None:
    assert Saving.of(5_000, 1_000, 1_000, NOTHING).warm_tokens == 0


def test_no_more_is_warm_than_there_is() -> None:
    assert Saving.of(5_000, 1_000, 9_000, NOTHING).warm_tokens == 5_000


def test_unknown_prices_and_unknown_usage_stay_unknown() -> None:
    saving = Saving.of(20_000, 3_000, 0, NOTHING)
    assert cost_of(PRICES, "my-own", Usage(1, 1), saving).usd is None
    assert cost_of(PRICES, "my-own", Usage(1, 1), saving).saved_usd is None
    assert cost_of(PRICES, MODEL, None, saving).usd is None
    assert cost_of(PRICES, "my-own", Usage(1, 1), saving, in_shadow=True).would_save_usd is None
    shadow = cost_of(PRICES, MODEL, Usage(20_000, 1), saving, in_shadow=True)
    assert shadow.saved_usd is None
    assert shadow.would_save_usd is not None
    known = cost_of(PRICES, MODEL, Usage(10, 1), None)
    assert known.usd is not None
    assert known.saved_usd is None
