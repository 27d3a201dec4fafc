"""Prices of models, from genai-prices; the only module that knows that library."""

from decimal import Decimal
from functools import lru_cache

import genai_prices
from genai_prices.types import PriceCalculation

from gateway.usage import Usage


class PriceBook:
    """Prices of the models served by one upstream, at their list price per token."""

    def __init__(self, upstream_url: str) -> None:
        self._url = upstream_url
        # A caller chooses the model's name, so what is remembered of names is bounded.
        self._found = lru_cache(maxsize=1024)(self._look_up)

    def canonical(self, model: str | None) -> str | None:
        """Return the name under which the model is priced, the same for all its aliases and dates."""
        found = self._found(model)
        return found.model.id if found else None

    def cost(self, model: str | None, usage: Usage) -> Decimal | None:
        """Return the cost in USD, cached input at its own price; None where the model's price is unknown."""
        found = self._found(model)
        if found is None:
            return None
        tokens = genai_prices.Usage(
            input_tokens=usage.prompt,
            cache_read_tokens=min(usage.cached, usage.prompt),
            output_tokens=usage.completion,
        )
        return Decimal(found.model_price.calc_price(tokens)["total_price"])

    def _look_up(self, model: str | None) -> PriceCalculation | None:
        if not model:
            return None
        probe = genai_prices.Usage(input_tokens=1)
        for url in (self._url, None):
            try:
                return genai_prices.calc_price(probe, model, provider_api_url=url)
            except (LookupError, ValueError):
                continue
        return None


def gateway_cost(cpu_ms: float, usd_per_hour: float) -> Decimal:
    """Return what that much computing costs in USD."""
    return Decimal(cpu_ms) * Decimal(usd_per_hour) / Decimal(3_600_000)
