"""The counters on which a caller's request counts."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from urllib.parse import quote

from gateway.budgets.periods import Calendar, Stretch
from gateway.policies import BudgetSettings, TeamPolicy
from gateway.pricing import NANO
from gateway.store.contract import Hold

_LONGEST_NAME = 256  # of a user or a model, inside the name of a counter


class Unit(StrEnum):
    """What a counter counts."""

    USD = "usd"
    TOKENS = "tokens"
    REQUESTS = "requests"
    RATE_TOKENS = "tokens_per_minute"
    CONCURRENT = "concurrent"


# Looked up in the class each of them costs a call: this is on the path of every request.
_USD, _TOKENS, _RATE_TOKENS, _CONCURRENT = Unit.USD, Unit.TOKENS, Unit.RATE_TOKENS, Unit.CONCURRENT


@dataclass(frozen=True, slots=True)
class Spender:
    """Whose request it is, as far as budgets tell spenders apart; `model` under the name by which it is priced."""

    key: str
    user: str
    model: str
    asked_model: str


@dataclass(frozen=True, slots=True)
class Limit:
    """One counter on which a request counts; `budget` is None for a rate."""

    counter: str
    unit: Unit
    most: int
    stretch: Stretch
    budget: BudgetSettings | None = None

    def hold(self, nano: int, tokens: int) -> Hold:
        """Return what a request that can cost that much sets aside here."""
        amount = self.amount(nano, tokens)
        lapsed = 0 if self.unit is _CONCURRENT else amount
        return Hold(self.counter, amount, self.most, lapsed, self.stretch.until)

    def amount(self, nano: int, tokens: int) -> int:
        """Return what that much money and that many tokens are in this counter's unit."""
        unit = self.unit
        if unit is _USD:
            return nano
        return tokens if unit is _TOKENS or unit is _RATE_TOKENS else 1


def limits_of(policy: TeamPolicy, spender: Spender, calendar: Calendar, now: float) -> tuple[Limit, ...]:
    """Return the limits that hold for the request, budgets first, no two on one counter."""
    budgets: dict[str, Limit] = {}
    for limit in _budgets(policy, spender, calendar, now):
        # Of two budgets that count the same the tighter one holds; both would count everything twice.
        known = budgets.get(limit.counter)
        if known is None or limit.most < known.most:
            budgets[limit.counter] = limit
    return (*budgets.values(), *_rates(policy, calendar, now))


def _budgets(policy: TeamPolicy, spender: Spender, calendar: Calendar, now: float) -> Iterator[Limit]:
    for budget in policy.budgets:
        if budget.models and spender.model not in budget.models and spender.asked_model not in budget.models:
            continue
        stretch = calendar.stretch(budget.period, budget.time_zone, now)
        unit, most = _most(budget)
        yield Limit(_name(budget, unit, spender, stretch), unit, most, stretch, budget)


def _most(budget: BudgetSettings) -> tuple[Unit, int]:
    if budget.usd is not None:
        return Unit.USD, int(Decimal(str(budget.usd)) * NANO)  # as it is written: 2.01 is a little less as a float
    return Unit.TOKENS, budget.tokens or 0


def _name(budget: BudgetSettings, unit: Unit, spender: Spender, stretch: Stretch) -> str:
    """Return the counter's name: the same as long as the budget counts the same, whatever its limit is changed to."""
    subject = {"team": "", "key": spender.key, "user": spender.user, "model": spender.model}[budget.per]
    models = ",".join(map(_plain, sorted(budget.models)))
    return "|".join((unit, budget.period, budget.time_zone, budget.per, models, _plain(subject), stretch.name))


def _plain(text: str) -> str:
    """Return what a caller or an operator named, as a part of a counter's name: short, and free of its separators."""
    quoted = quote(text, safe="/:@+ ", errors="surrogatepass")
    return quoted if len(quoted) <= _LONGEST_NAME else hashlib.sha256(quoted.encode()).hexdigest()


def _rates(policy: TeamPolicy, calendar: Calendar, now: float) -> Iterator[Limit]:
    rates = policy.limits
    minute = calendar.stretch("minute", "UTC", now)
    if rates.requests_per_minute is not None:
        yield Limit(f"requests|{minute.name}", Unit.REQUESTS, rates.requests_per_minute, minute)
    if rates.tokens_per_minute is not None:
        yield Limit(f"tokens|{minute.name}", Unit.RATE_TOKENS, rates.tokens_per_minute, minute)
    if rates.concurrent is not None:
        yield Limit("concurrent", Unit.CONCURRENT, rates.concurrent, Stretch("now", 0.0, None))
