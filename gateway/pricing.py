"""Prices of models, from genai-prices; the only module that knows that library."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from functools import lru_cache
from typing import Literal

import genai_prices
from genai_prices.types import ModelPrice, TieredPrices

from gateway.config import PriceSettings
from gateway.usage import Usage

_MILLION = 1_000_000
_SHORT = 1000  # tokens of a prompt that no provider finds long
NANO = 10**9  # nano-dollars in a dollar: money is kept in whole ones
_ATTO_A_NANO = 10**9
_DOLLARS = Decimal("1e-9")  # in a nano-dollar


@dataclass(frozen=True, slots=True)
class Rates:
    """US dollars for a million tokens of each kind, and how they are known; where prices have tiers, the first."""

    input: Decimal
    output: Decimal
    cached_input: Decimal
    cache_write: Decimal
    source: Literal["configuration", "list"]


class PriceBook:
    """Prices of the models served by one upstream: the operator's own, else their list price per token."""

    def __init__(self, upstream_url: str, own: Mapping[str, PriceSettings] | None = None) -> None:
        self._url = upstream_url
        self._own = own or {}
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
        """Return the cost in USD, cache reads and writes at their own prices; None where the model's are unknown."""
        found = self._found(model)
        return found.rates(usage) if found else None

    def cost_nano(self, model: str | None, usage: Usage) -> int | None:
        """Return the cost in nano-USD, rounded up, so that sums are never below what is charged."""
        usd = self.cost(model, usage)
        return None if usd is None else nano_of(usd)

    def dearest_nano(self, model: str | None, prompt: int, completion: int) -> int | None:
        """Return the most that so many tokens can cost in nano-USD: as if all of the prompt were written to a cache."""
        found = self._found(model)
        if found is None:
            return None
        if found.dearest is not None:
            fresh, output, request = found.dearest
            return -(-(prompt * fresh + completion * output + request) // _ATTO_A_NANO)
        written = prompt if found.writes_cost_more else 0
        return nano_of(found.rates(Usage(prompt, completion, cache_written=written)))

    def rates(self, model: str | None) -> Rates | None:
        """Return the model's prices, None where they are unknown."""
        found = self._found(model)
        return found.shown("configuration" if model in self._own else "list") if found else None

    def _look_up(self, model: str | None) -> "_Priced | None":
        if not model:
            return None
        if (own := self._own.get(model)) is not None:
            return _Priced.at(model, _own_rates(own))
        probe = genai_prices.Usage(input_tokens=1)
        # By its name alone an embedding model of OpenAI's isn't known as theirs.
        maker = "openai" if model.startswith("text-embedding-") else None
        for where in ({"provider_api_url": self._url}, {"provider_id": maker}):
            try:
                found = genai_prices.calc_price(probe, model, **where)
            except (LookupError, ValueError):
                continue
            return _Priced.at(found.model.id, _rates(found.model_price))
        return None


@dataclass(frozen=True, slots=True)
class _Linear:
    """Prices without tiers: of a token of each kind, and of the request."""

    fresh: Decimal
    cached: Decimal
    stored: Decimal
    output: Decimal
    request: Decimal = Decimal(0)

    def __call__(self, usage: Usage) -> Decimal:
        """Return the cost."""
        read, written = _of_cache(usage)
        prompt = (usage.prompt - read - written) * self.fresh + read * self.cached + written * self.stored
        return self.request + prompt + usage.completion * self.output

    @property
    def dearest(self) -> tuple[int, int, int] | None:
        """The dearest token of a prompt, one of an answer, a request: in whole billionths of nano-USD, if they are."""
        exact = [price * NANO * _ATTO_A_NANO for price in (max(self.fresh, self.stored), self.output, self.request)]
        fresh, output, request = (int(price) for price in exact)
        return (fresh, output, request) if [fresh, output, request] == exact else None


@dataclass(frozen=True, slots=True)
class _Priced:
    """A model's prices; `dearest` is there where that much is a sum of products."""

    name: str
    rates: Callable[[Usage], Decimal]
    writes_cost_more: bool
    dearest: tuple[int, int, int] | None

    @classmethod
    def at(cls, name: str, rates: Callable[[Usage], Decimal]) -> "_Priced":
        dearer = rates(Usage(_MILLION, 0, cache_written=_MILLION)) > rates(Usage(_MILLION, 0))
        return cls(name, rates, dearer, rates.dearest if isinstance(rates, _Linear) else None)

    def shown(self, source: Literal["configuration", "list"]) -> Rates:
        """Return the prices, by those of a short request: a tier of long ones would be another's."""
        request = self.rates(Usage(0, 0))
        probes = (
            Usage(_SHORT, 0),
            Usage(0, _SHORT),
            Usage(_SHORT, 0, cached=_SHORT),
            Usage(_SHORT, 0, cache_written=_SHORT),
        )
        fresh, output, cached, written = ((self.rates(probe) - request) * _MILLION / _SHORT for probe in probes)
        return Rates(fresh, output, cached, written, source)


def _rates(price: ModelPrice) -> Callable[[Usage], Decimal]:
    """Return what the library would compute; where no price has tiers, by its own rates, a hundred times faster."""

    def exact(usage: Usage) -> Decimal:
        read, written = _of_cache(usage)
        tokens = genai_prices.Usage(
            input_tokens=usage.prompt,
            cache_read_tokens=read,
            cache_write_tokens=written,
            output_tokens=usage.completion,
        )
        return Decimal(price.calc_price(tokens)["total_price"])

    if any(isinstance(value, TieredPrices) for value in vars(price).values()):
        return exact
    request = exact(Usage(0, 0))
    fresh, cached, stored, output = (
        (exact(probe) - request) / _MILLION
        for probe in (
            Usage(_MILLION, 0),
            Usage(_MILLION, 0, cached=_MILLION),
            Usage(_MILLION, 0, cache_written=_MILLION),
            Usage(0, _MILLION),
        )
    )

    return _Linear(fresh, cached, stored, output, request)


def _own_rates(price: PriceSettings) -> Callable[[Usage], Decimal]:
    fresh, output = (Decimal(str(value)) / _MILLION for value in (price.input, price.output))
    cached, stored = (
        fresh if value is None else Decimal(str(value)) / _MILLION for value in (price.cached_input, price.cache_write)
    )
    return _Linear(fresh, cached, stored, output)


def _of_cache(usage: Usage) -> tuple[int, int]:
    """Return the tokens read from a cache and written to one, which can't be more than the prompt has."""
    read = min(usage.cached, usage.prompt)
    return read, min(usage.cache_written, usage.prompt - read)


def nano_of(usd: Decimal) -> int:
    """Return dollars as nano-dollars, rounded up: sums are never below what is charged."""
    return int((usd * NANO).to_integral_value(ROUND_CEILING))


def usd_of(nano: int) -> Decimal:
    """Return nano-dollars as dollars; of any sum they have fewer than the 28 digits up to which Decimal is exact."""
    return nano * _DOLLARS


def usd_text(nano: int | None) -> str | None:
    """Return nano-dollars as dollars, exact, as text; None stays None."""
    return None if nano is None else f"{usd_of(nano):.9f}"


def priced(prices: Mapping[str, PriceBook], model: str) -> str:
    """Return the name under which a model is priced, by whichever upstream knows it."""
    return next((name for book in prices.values() if (name := book.canonical(model))), model)


def gateway_cost(cpu_ms: float, usd_per_hour: float) -> Decimal:
    """Return what that much computing costs in USD."""
    return Decimal(cpu_ms) * Decimal(usd_per_hour) / Decimal(3_600_000)
