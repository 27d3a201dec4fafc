"""What a window saved, in money: net of the cache discount that it forgoes and of the gateway's own computing."""

from dataclasses import dataclass
from decimal import Decimal

import msgspec

from gateway.pricing import PriceBook
from gateway.usage import Cost, Usage

# Below this size providers cache nothing.
_SMALLEST_CACHED = 1024


@dataclass(frozen=True, slots=True)
class Saving:
    """The terms of one request's saving: tokens not sent, what the original would have found cached, our own work."""

    tokens: int
    warm_tokens: int
    own_usd: Decimal

    @classmethod
    def of(cls, original: int, forwarded: int, warm: int, own_usd: Decimal) -> "Saving":
        """Return the terms for a prompt of `original` tokens, `warm` of them cached, of which `forwarded` are sent."""
        cached = min(warm, original) if warm >= _SMALLEST_CACHED else 0
        return cls(original - forwarded, cached, own_usd)

    def usd(self, prices: PriceBook, model: str | None, usage: Usage) -> Decimal | None:
        """Return the money saved on a request that used this; negative where windowing cost more than it saved."""
        spent = prices.cost(model, usage)
        # What was written to a cache would have been with the original too.
        whole = msgspec.structs.replace(
            usage, prompt=usage.prompt + self.tokens, cached=max(self.warm_tokens, usage.cached)
        )
        would_be = prices.cost(model, whole)
        return None if spent is None or would_be is None else would_be - spent - self.own_usd


def cost_of(prices: PriceBook, model: str | None, usage: Usage | None, saving: Saving | None) -> Cost:
    """Return what a finished request cost and saved; unknown without a price or the upstream's usage."""
    if usage is None:
        return Cost()
    usd = prices.cost(model, usage)
    return Cost(usd=usd, saved_usd=saving.usd(prices, model, usage) if saving else None)
