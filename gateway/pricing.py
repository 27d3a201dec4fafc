"""Prices of models, from genai-prices; the only module that knows that library."""

import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_CEILING, Decimal
from functools import lru_cache
from typing import Literal, NamedTuple

import genai_prices
from genai_prices.types import ModelPrice, TieredPrices

from gateway.config import PriceSettings
from gateway.upstreams.candidates import ANY_MODEL
from gateway.usage import Usage

_MILLION = 1_000_000
_QUARTER_S = 900  # of an hour: prices that depend on the time of day change at the full hour, or half past
NANO = 10**9  # nano-dollars in a dollar: money is kept in whole ones
_ATTO_A_NANO = 10**9
_DOLLARS = Decimal("1e-9")  # in a nano-dollar

_Source = Literal["configuration", "list"]


@dataclass(frozen=True, slots=True)
class Rates:
    """US dollars for a million tokens of each kind, and how they are known; where prices have tiers, the first."""

    input: Decimal
    output: Decimal
    cached_input: Decimal
    cache_write: Decimal
    source: _Source


@dataclass(frozen=True, slots=True)
class Sound:
    """Whether audio that a model hears, in a prompt, or speaks, in an answer, has a price of its own."""

    hears: bool
    speaks: bool


_SILENT = Sound(hears=False, speaks=False)


class PriceBook:
    """Prices of the models served by one upstream: the operator's own, else their list price per token.

    `own` names all models of the configuration, with their prices where it has some; that of "*" holds for models which
    neither it nor the list names. A list price can depend on the day and the time of day: it is the one of now, or of
    the time `at`.
    """

    def __init__(
        self,
        upstream_url: str,
        own: Mapping[str, PriceSettings | None] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._url = upstream_url
        self._own = own or {}
        self._clock = clock
        # A caller chooses the model's name, so what is remembered of names is bounded.
        self._found = lru_cache(maxsize=1024)(self._look_up)

    def load(self, models: Iterable[str]) -> None:
        """Look the models up now: the first look-up reads the price list, which takes a quarter of a second."""
        for model in models:
            self._of(model)

    def canonical(self, model: str | None) -> str | None:
        """Return the name under which the model is priced, the same for all its aliases and dates.

        Of one that the price of "*" holds for, None: under that name it would be one with all others.
        """
        found = self._of(model)
        return found.name if found else None

    def cost(self, model: str | None, usage: Usage, at: float | None = None) -> Decimal | None:
        """Return the cost in USD, each kind of token at its own price; None where the model's are unknown."""
        found = self._of(model, at)
        return found.cost(usage) if found else None

    def cost_nano(self, model: str | None, usage: Usage, at: float | None = None) -> int | None:
        """Return the cost in nano-USD, rounded up, so that sums are never below what is charged."""
        usd = self.cost(model, usage, at)
        return None if usd is None else nano_of(usd)

    def dearest_nano(self, model: str | None, prompt: int, completion: int, audio: bool = True) -> int | None:
        """Return the most that so many tokens can cost in nano-USD: as if all were of the dearest kind.

        Where prices change with the time also by those of the next quarter of an hour. `audio`: some may be audio.
        """
        found = self._of(model)
        if found is None:
            return None
        nano = found.dearest_nano(prompt, completion, audio)
        if found.varies and (soon := self._of(model, self._clock() + _QUARTER_S)) is not None:
            return max(nano, soon.dearest_nano(prompt, completion, audio))
        return nano

    def sound(self, model: str | None) -> Sound:
        """Return what of the model's audio has a price of its own."""
        found = self._of(model)
        return _SILENT if found is None else found.sound

    def rates(self, model: str | None) -> Rates | None:
        """Return the model's prices, None where they are unknown."""
        found = self._of(model)
        return found.shown() if found else None

    def _of(self, model: str | None, at: float | None = None) -> "_Priced | None":
        found = self._found(model, None)
        if found is None or not found.varies:
            return found
        return self._found(model, int((self._clock() if at is None else at) // _QUARTER_S))

    def _look_up(self, model: str | None, quarter: int | None) -> "_Priced | None":
        if not model:
            return None
        if (own := self._own.get(model)) is not None:
            return _Priced.of(model, "configuration", (_own_line(own),))
        found = self._listed(model, None if quarter is None else datetime.fromtimestamp(quarter * _QUARTER_S, UTC))
        if found is None and model not in self._own and (every := self._own.get(ANY_MODEL)) is not None:
            return _Priced.of(None, "configuration", (_own_line(every),))
        return found

    def _listed(self, model: str, at: datetime | None) -> "_Priced | None":
        probe = genai_prices.Usage(input_tokens=1)
        # By its name alone an embedding model of OpenAI's isn't known as theirs.
        maker = "openai" if model.startswith("text-embedding-") else None
        for where in ({"provider_api_url": self._url}, {"provider_id": maker}):
            try:
                found = genai_prices.calc_price(probe, model, genai_request_timestamp=at, **where)
            except (LookupError, ValueError):
                continue
            starts, price = _starts(found.model_price), found.model_price
            lines = tuple(_line(_flat(price, start)) for start in (-1, *starts))
            return _Priced.of(found.model.id, "list", lines, starts, isinstance(found.model.prices, list))
        return None


@dataclass(frozen=True, slots=True)
class _Line:
    """Prices of a token of each kind, and of the request; those of audio too."""

    fresh: Decimal
    cached: Decimal
    stored: Decimal
    output: Decimal
    audio: Decimal
    audio_cached: Decimal
    audio_stored: Decimal
    audio_output: Decimal
    request: Decimal = Decimal(0)

    def cost(self, usage: Usage) -> Decimal:
        """Return the cost."""
        read, written = _of_cache(usage)
        prompt = (usage.prompt - read - written) * self.fresh + read * self.cached + written * self.stored
        text = self.request + prompt + usage.completion * self.output
        return text + self._more(usage) if usage.audio_prompt or usage.audio_completion else text

    def _more(self, usage: Usage) -> Decimal:
        """Return what audio costs more than as much text."""
        fresh, read, written = _of_audio(usage)
        return (
            fresh * (self.audio - self.fresh)
            + read * (self.audio_cached - self.cached)
            + written * (self.audio_stored - self.stored)
            + min(usage.audio_completion, usage.completion) * (self.audio_output - self.output)
        )

    def most(self, audio: bool) -> "_Most":
        """Return the dearest that a token can be."""
        prompt, completion = [self.fresh, self.cached, self.stored], [self.output]
        if audio:
            prompt += [self.audio, self.audio_cached, self.audio_stored]
            completion.append(self.audio_output)
        return _Most(*(nano_of(price * _ATTO_A_NANO) for price in (max(prompt), max(completion), self.request)))


class _Most(NamedTuple):
    """The dearest token of a prompt, one of an answer, a request: in whole billionths of nano-USD, rounded up."""

    prompt: int
    completion: int
    request: int

    def nano(self, prompt: int, completion: int) -> int:
        """Return what so many cost in nano-USD, rounded up."""
        return -(-(prompt * self.prompt + completion * self.completion + self.request) // _ATTO_A_NANO)


@dataclass(frozen=True, slots=True)
class _Priced:
    """A model's prices: the first line, or that after the last of `starts` which the prompt is longer than.

    `most` has the dearest of each line, of text alone and with audio; `varies`: another time can have others.
    """

    name: str | None
    source: _Source
    lines: tuple[_Line, ...]
    most: tuple[tuple[_Most, _Most], ...]
    starts: tuple[int, ...]
    varies: bool
    sound: Sound

    @classmethod
    def of(
        cls,
        name: str | None,
        source: _Source,
        lines: tuple[_Line, ...],
        starts: tuple[int, ...] = (),
        varies: bool = False,
    ) -> "_Priced":
        """Make them."""
        most = tuple((line.most(False), line.most(True)) for line in lines)
        sound = Sound(lines[0].audio != lines[0].fresh, lines[0].audio_output != lines[0].output)
        return cls(name, source, lines, most, starts, varies, sound)

    def cost(self, usage: Usage) -> Decimal:
        """Return the cost."""
        return self.lines[bisect_left(self.starts, usage.prompt)].cost(usage)

    def dearest_nano(self, prompt: int, completion: int, audio: bool) -> int:
        """Return the most that up to so many tokens can cost in nano-USD."""
        nano = self.most[0][audio].nano(prompt, completion)
        if not self.starts:
            return nano
        longer = self.most[1 : bisect_left(self.starts, prompt) + 1]
        return max(nano, *(most[audio].nano(prompt, completion) for most in longer)) if longer else nano

    def shown(self) -> Rates:
        """Return the prices, by those of a short request: a tier of long ones would be another's."""
        first = self.lines[0]
        fresh, output, cached, stored = (
            price * _MILLION for price in (first.fresh, first.output, first.cached, first.stored)
        )
        return Rates(fresh, output, cached, stored, self.source)


def _starts(price: ModelPrice) -> tuple[int, ...]:
    """Return the lengths of a prompt beyond which it has other prices."""
    tiered = (value for value in vars(price).values() if isinstance(value, TieredPrices))
    return tuple(sorted({tier.start for value in tiered for tier in value.tiers}))


def _flat(price: ModelPrice, start: int) -> ModelPrice:
    """Return the prices of prompts just longer than that."""
    return ModelPrice(**{name: _at(value, start) for name, value in vars(price).items()})


def _at(value: Decimal | TieredPrices | None, start: int) -> Decimal | None:
    if not isinstance(value, TieredPrices):
        return value
    return next((tier.price for tier in reversed(value.tiers) if tier.start <= start), value.base)


def _line(price: ModelPrice) -> _Line:
    """Return what the library computes for a token of each kind: by that it is done a hundred times faster."""

    def exact(usage: Usage) -> Decimal:
        read, written = _of_cache(usage)
        _, audio_read, audio_written = _of_audio(usage)
        tokens = genai_prices.Usage(
            input_tokens=usage.prompt,
            cache_read_tokens=read,
            cache_write_tokens=written,
            output_tokens=usage.completion,
            input_audio_tokens=usage.audio_prompt,
            cache_audio_read_tokens=audio_read,
            cache_audio_write_tokens=audio_written,
            output_audio_tokens=usage.audio_completion,
        )
        return Decimal(price.calc_price(tokens)["total_price"])

    request = exact(Usage(0, 0))
    fresh, cached, stored, output, audio, audio_cached, audio_stored, audio_output = (
        (exact(probe) - request) / _MILLION
        for probe in (
            Usage(_MILLION, 0),
            Usage(_MILLION, 0, cached=_MILLION),
            Usage(_MILLION, 0, cache_written=_MILLION),
            Usage(0, _MILLION),
            Usage(_MILLION, 0, audio_prompt=_MILLION),
            Usage(_MILLION, 0, audio_prompt=_MILLION, cached=_MILLION),
            Usage(_MILLION, 0, audio_prompt=_MILLION, cache_written=_MILLION),
            Usage(0, _MILLION, audio_completion=_MILLION),
        )
    )
    return _Line(fresh, cached, stored, output, audio, audio_cached, audio_stored, audio_output, request)


def _own_line(price: PriceSettings) -> _Line:
    fresh, output = (Decimal(str(value)) / _MILLION for value in (price.input, price.output))
    cached, stored = (
        fresh if value is None else Decimal(str(value)) / _MILLION for value in (price.cached_input, price.cache_write)
    )
    return _Line(fresh, cached, stored, output, fresh, cached, stored, output)


def _of_cache(usage: Usage) -> tuple[int, int]:
    """Return the tokens read from a cache and written to one, which can't be more than the prompt has."""
    read = min(usage.cached, usage.prompt)
    return read, min(usage.cache_written, usage.prompt - read)


def _of_audio(usage: Usage) -> tuple[int, int, int]:
    """Return the prompt's tokens of audio: new ones, read from a cache, written to one.

    Usages don't tell which part of what was cached is audio: as little as can be, since that is the dearest.
    """
    read, written = _of_cache(usage)
    audio = min(usage.audio_prompt, usage.prompt)
    fresh = min(audio, usage.prompt - read - written)
    audio_read = min(audio - fresh, read)
    return fresh, audio_read, audio - fresh - audio_read


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
