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
    """The terms of one request's saving: tokens sent and not, what the original would have found cached, our work."""

    forwarded: int
    tokens: int
    warm_tokens: int
    own_usd: Decimal

    @classmethod
    def of(cls, original: int, forwarded: int, warm: int, own_usd: Decimal) -> "Saving":
        """Return the terms for a prompt of `original` tokens, `warm` of them cached, of which `forwarded` are sent."""
        cached = min(warm, original) if warm >= _SMALLEST_CACHED else 0
        return cls(forwarded=forwarded, tokens=original - forwarded, warm_tokens=cached, own_usd=own_usd)

    def usd(self, prices: PriceBook, model: str | None, usage: Usage) -> Decimal | None:
        """Return the money saved on a request that used this; negative where windowing cost more than it saved."""
        # What was written to a cache would have been with the original too.
        whole = msgspec.structs.replace(
            usage, prompt=usage.prompt + self.tokens, cached=max(self.warm_tokens, usage.cached)
        )
        return self._net(prices.cost(model, whole), prices.cost(model, usage))

    def would_be_usd(self, prices: PriceBook, model: str | None, usage: Usage) -> Decimal | None:
        """Return the money that a window would have saved on a request whose original used this: the least it can be.

        What of the window would have been found in a cache is not known, so nothing is taken to be.
        """
        whole = msgspec.structs.replace(usage, cached=max(self.warm_tokens, usage.cached))
        # An upstream's count that is lower than ours must not make the window smaller than it is.
        prompt = min(usage.prompt, max(usage.prompt - self.tokens, self.forwarded))
        window = msgspec.structs.replace(usage, prompt=prompt, cached=0)
        return self._net(prices.cost(model, whole), prices.cost(model, window))

    def _net(self, whole: Decimal | None, window: Decimal | None) -> Decimal | None:
        return None if whole is None or window is None else whole - window - self.own_usd


def cost_of(
    prices: PriceBook, model: str | None, usage: Usage | None, saving: Saving | None, *, in_shadow: bool = False
) -> Cost:
    """Return what a finished request cost and saved, or would have; unknown without a price or the upstream's usage."""
    if usage is None:
        return Cost()
    usd = prices.cost(model, usage)
    if saving is None:
        return Cost(usd)
    if in_shadow:
        return Cost(usd, would_save_usd=saving.would_be_usd(prices, model, usage))
    return Cost(usd, saved_usd=saving.usd(prices, model, usage))
