"""Prices of models, from genai-prices; the only module that knows that library."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache

import genai_prices
from genai_prices.types import ModelPrice, TieredPrices

from gateway.usage import Usage

_MILLION = 1_000_000


class PriceBook:
    """Prices of the models served by one upstream, at their list price per token."""

    def __init__(self, upstream_url: str) -> None:
        self._url = upstream_url
        # A caller chooses the model's name, so what is remembered of names is bounded.
        self._found = lru_cache(maxsize=1024)(self._look_up)

    def load(self, models: Iterable[str]) -> None:
        """Look the models up now: the first look-up reads the price list, which takes a quarter of a second."""
        for model in models:
            self._found(model)

    def canonical(self, model: str | None) -> str | None:
        """Return the name under which the model is priced, the same for all its aliases and dates."""
        found = self._found(model)
        return found.name if found else None

    def cost(self, model: str | None, usage: Usage) -> Decimal | None:
        """Return the cost in USD, cached input at its own price; None where the model's price is unknown."""
        found = self._found(model)
        return found.rates(usage) if found else None

    def _look_up(self, model: str | None) -> "_Priced | None":
        if not model:
            return None
        probe = genai_prices.Usage(input_tokens=1)
        for url in (self._url, None):
            try:
                found = genai_prices.calc_price(probe, model, provider_api_url=url)
            except (LookupError, ValueError):
                continue
            return _Priced(found.model.id, _rates(found.model_price))
        return None


@dataclass(frozen=True, slots=True)
class _Priced:
    name: str
    rates: Callable[[Usage], Decimal]


def _rates(price: ModelPrice) -> Callable[[Usage], Decimal]:
    """Return what the library would compute; where no price has tiers, by its own rates, a hundred times faster."""

    def exact(usage: Usage) -> Decimal:
        tokens = genai_prices.Usage(
            input_tokens=usage.prompt,
            cache_read_tokens=min(usage.cached, usage.prompt),
            output_tokens=usage.completion,
        )
        return Decimal(price.calc_price(tokens)["total_price"])

    if any(isinstance(value, TieredPrices) for value in vars(price).values()):
        return exact
    fresh, cached, output = (
        exact(probe) / _MILLION
        for probe in (Usage(_MILLION, 0), Usage(_MILLION, 0, cached=_MILLION), Usage(0, _MILLION))
    )

    def linear(usage: Usage) -> Decimal:
        held = min(usage.cached, usage.prompt)
        return (usage.prompt - held) * fresh + held * cached + usage.completion * output

    return linear


def gateway_cost(cpu_ms: float, usd_per_hour: float) -> Decimal:
    """Return what that much computing costs in USD."""
    return Decimal(cpu_ms) * Decimal(usd_per_hour) / Decimal(3_600_000)
