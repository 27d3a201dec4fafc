from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from itertools import repeat

import genai_prices
import pytest

from gateway.config import PriceSettings
from gateway.pricing import PriceBook, Rates, Sound, gateway_cost, priced
from gateway.usage import Usage

LOCAL = PriceBook("http://127.0.0.1:9900/v1")


def test_cached_input_costs_its_own_price() -> None:
    full = LOCAL.cost("gpt-4o-mini", Usage(1_000_000, 0))
    cached = LOCAL.cost("gpt-4o-mini", Usage(1_000_000, 0, cached=1_000_000))
    assert full is not None
    assert cached is not None
    assert 0 < cached < full


def test_cache_writes_cost_their_own_price_where_the_model_has_one() -> None:
    full = LOCAL.cost("claude-sonnet-4-5", Usage(1_000, 0))
    written = LOCAL.cost("claude-sonnet-4-5", Usage(1_000, 0, cache_written=1_000))
    assert full is not None
    assert written == full * Decimal("1.25")
    assert LOCAL.cost("gpt-4o-mini", Usage(1_000, 0, cache_written=1_000)) == LOCAL.cost("gpt-4o-mini", Usage(1_000, 0))


@pytest.mark.parametrize("tokens", [1, 2, 3, 1_000_001])
@pytest.mark.parametrize("model", ["gpt-4o-mini", "claude-sonnet-4-5", "gpt-4.1-nano", "text-embedding-3-small"])
def test_nano_usd_are_rounded_up_by_less_than_one(model: str, tokens: int) -> None:
    usage = Usage(7 * tokens, tokens, cached=3 * tokens)
    usd, nano = LOCAL.cost(model, usage), LOCAL.cost_nano(model, usage)
    assert usd is not None
    assert nano is not None
    assert 0 <= nano - Fraction(usd) * 10**9 < 1


def test_nano_usd_of_an_unknown_model_are_unknown() -> None:
    assert LOCAL.cost_nano("my-own-model", Usage(1, 1)) is None


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


def test_of_several_upstreams_whichever_knows_a_model_names_it() -> None:
    books = {"local": LOCAL, "own": PriceBook("http://127.0.0.1:9901/v1", {"ours": PriceSettings(input=1, output=2)})}
    assert [priced(books, name) for name in ("gpt-4o-2024-08-06", "ours", "nobody's", "")] == [
        "gpt-4o", "ours", "nobody's", "",
    ]  # fmt: skip


def test_the_gateways_own_cost_is_its_time_at_the_price_of_a_core() -> None:
    assert gateway_cost(3_600_000, 0.05) == pytest.approx(Decimal("0.05"))


@pytest.mark.parametrize(
    "model",
    [
        "gpt-4o-mini",
        "gpt-4o",
        "o3-mini",
        "claude-sonnet-4-5",
        "gemini-2.5-pro",
        "gpt-3.5-turbo",
        "text-embedding-3-small",
    ],
)
@pytest.mark.parametrize(
    "usage",
    [
        Usage(0, 0),
        Usage(1234, 567, cached=1000),
        Usage(1234, 567, cached=1000, cache_written=200),
        Usage(300_000, 9, cached=7, cache_written=100_000),
        Usage(5, 0, cached=9, cache_written=3),
    ],
)
def test_costs_are_the_price_lists_own(model: str, usage: Usage) -> None:
    listed = genai_prices.calc_price(
        genai_prices.Usage(
            input_tokens=usage.prompt,
            cache_read_tokens=min(usage.cached, usage.prompt),
            cache_write_tokens=min(usage.cache_written, usage.prompt - min(usage.cached, usage.prompt)),
            output_tokens=usage.completion,
        ),
        model,
        provider_id="openai" if model.startswith("text-") else None,
    )
    assert LOCAL.cost(model, usage) == listed.total_price


def test_a_price_for_the_request_itself_is_paid_once() -> None:
    url = "https://api.perplexity.ai"
    listed = genai_prices.calc_price(
        genai_prices.Usage(input_tokens=1000, output_tokens=10), "sonar", provider_api_url=url
    )
    assert PriceBook(url).cost("sonar", Usage(1000, 10)) == listed.total_price


def test_the_operators_own_price_comes_before_the_list() -> None:
    own = PriceBook("http://127.0.0.1:9900/v1", {"house": PriceSettings(input=2, output=8, cached_input=0.5)})
    usage = Usage(1_000_000, 1_000_000, cached=500_000, cache_written=100_000)
    assert own.cost("house", usage) == Decimal("0.4") * 2 + Decimal("0.5") / 2 + Decimal("0.1") * 2 + 8
    assert own.canonical("house") == "house"
    assert own.cost("gpt-4o-mini", usage) == LOCAL.cost("gpt-4o-mini", usage)


def test_the_most_that_tokens_can_cost_is_their_cost_or_that_of_writing_them_to_a_cache() -> None:
    own = PriceBook("http://127.0.0.1:9900/v1", {"house": PriceSettings(input=2, output=8, cache_write=2.5)})
    assert own.dearest_nano("house", 1000, 10) == 1000 * 2500 + 10 * 8000
    assert LOCAL.dearest_nano("gpt-4o-mini", 1000, 10) == LOCAL.cost_nano("gpt-4o-mini", Usage(1000, 10))
    assert LOCAL.dearest_nano("my-own-model", 1000, 10) is None


AUDIO = Usage(1000, 500, audio_prompt=900, audio_completion=400)


def test_audio_costs_its_own_price() -> None:
    assert LOCAL.cost("gpt-audio", AUDIO) == Decimal("0.05565")
    assert LOCAL.cost("gpt-4o-mini", AUDIO) == LOCAL.cost("gpt-4o-mini", Usage(1000, 500))
    own = PriceBook("http://127.0.0.1:9900/v1", {"gpt-audio": PriceSettings(input=1, output=2)})
    assert own.cost("gpt-audio", AUDIO) == Decimal("0.002")


def test_of_cached_audio_as_much_as_can_be_is_text() -> None:
    listed = genai_prices.calc_price(
        genai_prices.Usage(
            input_tokens=1000, cache_read_tokens=400, input_audio_tokens=900, cache_audio_read_tokens=300
        ),
        "gemini-2.5-flash",
    )
    assert LOCAL.cost("gemini-2.5-flash", Usage(1000, 0, cached=400, audio_prompt=900)) == listed.total_price


def test_what_can_be_audio_is_reserved_as_audio() -> None:
    assert LOCAL.sound("gpt-audio") == Sound(hears=True, speaks=True)
    assert LOCAL.sound("gemini-2.5-flash") == Sound(hears=True, speaks=False)
    assert LOCAL.sound("gpt-4o-mini") == LOCAL.sound("unheard-of") == Sound(hears=False, speaks=False)
    assert LOCAL.dearest_nano("gpt-audio", 1000, 500) == 1000 * 32_000 + 500 * 64_000
    assert LOCAL.dearest_nano("gpt-audio", 1000, 500, audio=False) == 1000 * 2_500 + 500 * 10_000


def test_where_reading_a_cache_is_dearest_it_is_reserved() -> None:
    book = PriceBook("https://openrouter.ai/api/v1")
    model = "~deepseek/deepseek-pro-latest"
    cached = book.cost_nano(model, Usage(1_000_000, 100, cached=1_000_000))
    fresh = book.cost_nano(model, Usage(1_000_000, 100))
    assert cached is not None
    assert fresh is not None
    assert book.dearest_nano(model, 1_000_000, 100) == cached > fresh


@pytest.mark.parametrize("prompt", [1, 199_999, 200_000, 200_001, 1_000_000])
@pytest.mark.parametrize("model", ["gemini-2.5-pro", "gpt-5.5", "grok-4"])
def test_no_tier_costs_more_than_is_reserved(model: str, prompt: int) -> None:
    dearest = LOCAL.dearest_nano(model, prompt, 100)
    assert dearest is not None
    for usage in (Usage(prompt, 100), Usage(prompt - 1, 99), Usage(prompt, 100, cache_written=prompt)):
        assert (LOCAL.cost_nano(model, usage) or 0) <= dearest


DEEPSEEK = "https://api.deepseek.com/v1"
GEMINI = "https://generativelanguage.googleapis.com/v1beta/openai"
MUCH = Usage(1_000_000, 100_000)


def listed_at(model: str, provider: str, at: datetime) -> Decimal:
    tokens = genai_prices.Usage(input_tokens=MUCH.prompt, output_tokens=MUCH.completion)
    return genai_prices.calc_price(tokens, model, provider_id=provider, genai_request_timestamp=at).total_price


@pytest.mark.parametrize(
    "model, url, provider, times",
    [
        ("deepseek-chat", DEEPSEEK, "deepseek", ["2026-11-28T00:29:59", "2026-11-28T00:30:00", "2026-11-28T16:30:00"]),
        ("deepseek-v4-pro", DEEPSEEK, "deepseek", ["2026-11-28T00:59:59", "2026-11-28T01:00:00"]),
        ("gemini-3.6-flash", GEMINI, "google", ["2026-12-31T23:59:59", "2027-01-01T00:00:00"]),
    ],
)
def test_prices_that_change_with_the_time_are_those_of_now(
    model: str, url: str, provider: str, times: list[str]
) -> None:
    moments = [datetime.fromisoformat(f"{time}+00:00") for time in times]
    listed = [listed_at(model, provider, at) for at in moments]
    assert len(set(listed)) == 2
    passing = (at.timestamp() for at in moments)
    book = PriceBook(url, clock=lambda: next(passing))
    assert [book.cost(model, MUCH) for _ in moments] == listed
    assert [book.cost(model, MUCH, at.timestamp()) for at in moments] == listed


def test_what_may_be_over_after_a_rise_is_reserved_at_the_dearer_price() -> None:
    rises = datetime(2026, 11, 28, 0, 30, tzinfo=UTC).timestamp()
    soon, early = (PriceBook(DEEPSEEK, clock=repeat(rises - before).__next__) for before in (60, 3600))
    dear, cheap = (soon.cost_nano("deepseek-chat", MUCH, at) for at in (rises, rises - 1))
    tokens = ("deepseek-chat", MUCH.prompt, MUCH.completion)
    assert (soon.dearest_nano(*tokens), early.dearest_nano(*tokens)) == (dear, cheap)
    assert dear != cheap


def test_the_price_of_any_model_holds_where_neither_configuration_nor_list_names_it() -> None:
    own = {"*": PriceSettings(input=1, output=2), "house": None, "gpt-4o": None}
    book = PriceBook("https://api.openai.com/v1", own)
    assert book.cost("unknown-x", Usage(1_000_000, 1_000_000)) == 3
    assert book.rates("unknown-x") == Rates(Decimal(1), Decimal(2), Decimal(1), Decimal(1), "configuration")
    assert book.canonical("unknown-x") is None  # else all of them were one model to budgets and metrics
    assert book.rates("house") is None
    assert book.cost(None, Usage(1, 1)) is None
    for model in ("gpt-4o", "gpt-4o-mini"):
        assert book.cost(model, Usage(1000, 10)) == LOCAL.cost(model, Usage(1000, 10))


def test_prices_are_shown_for_a_million_tokens_with_where_they_come_from() -> None:
    book = PriceBook("https://api.openai.com/v1", {"own": PriceSettings(input=1.5, output=2, cached_input=0.15)})
    own, listed = book.rates("own"), book.rates("gpt-4o-mini")
    assert own == Rates(Decimal("1.5"), Decimal(2), Decimal("0.15"), Decimal("1.5"), "configuration")
    assert listed == Rates(Decimal("0.15"), Decimal("0.6"), Decimal("0.075"), Decimal("0.15"), "list")
    assert book.rates("unheard-of") is None
    assert book.rates(None) is None


def test_of_prices_with_tiers_the_first_is_shown() -> None:
    shown = LOCAL.rates("gemini-2.5-pro")
    short, long = (LOCAL.cost("gemini-2.5-pro", Usage(tokens, 0)) for tokens in (1000, 1_000_000))
    assert shown is not None
    assert short is not None
    assert long is not None
    assert shown.input == short * 1000 < long
