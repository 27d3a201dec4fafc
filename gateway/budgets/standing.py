"""What was last heard of the counters, by this process: never asked for on its own account, and soon out of date."""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from gateway.budgets.limits import Limit, Unit
from gateway.pricing import NANO
from gateway.store.contract import Settled, Standing

_MOST = 20_000  # counters that are remembered
_RATES = {
    Unit.REQUESTS: "requests per minute",
    Unit.RATE_TOKENS: "tokens per minute",
    Unit.CONCURRENT: "requests at the same time",
}


@dataclass(frozen=True, slots=True)
class Reached:
    """A soft limit that a team's spending has just passed, said once by whoever's request did it."""

    team: str
    limit: Limit
    percent: int

    @property
    def text(self) -> str:
        """The same in words, for a log line and a header."""
        return f"{self.percent}% of {described(self.limit)} is spent"


class Standings:
    """The latest state of each counter of each team."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, str], Standing] = OrderedDict()
        self._most: OrderedDict[tuple[str, str], int] = OrderedDict()

    def heard(self, team: str, standings: Iterable[Standing]) -> None:
        """Note what a store has just said."""
        for standing in standings:
            self._known[team, standing.counter] = standing
        while len(self._known) > _MOST:
            self._known.popitem(last=False)

    def of(self, team: str, limit: Limit) -> Standing | None:
        """Return what is known of the limit's counter."""
        return self._known.get((team, limit.counter))

    def most_before(self, team: str, limit: Limit) -> int:
        """Return how much the counter's limit was when this was last asked, and note how much it is."""
        key = (team, limit.counter)
        before, self._most[key] = self._most.get(key, limit.most), limit.most
        if len(self._most) > _MOST:
            self._most.popitem(last=False)
        return before

    def narrowest(self, team: str, limits: Sequence[Limit]) -> int | None:
        """Return the largest window that budgets which run out still allow; None: as large as any."""
        narrow = [(limit, limit.budget.narrow) for limit in limits if limit.budget is not None and limit.budget.narrow]
        return min(self._sizes(team, narrow), default=None) if narrow else None

    def _sizes(self, team: str, narrow: Sequence[tuple[Limit, Mapping[int, int]]]) -> Iterator[int]:
        for limit, sizes in narrow:
            if (known := self.of(team, limit)) is not None:
                yield from (size for percent, size in sizes.items() if known.spent * 100 >= percent * limit.most)


def reached(team: str, limits: Sequence[Limit], settled: Settled, standings: Standings) -> Iterator[Reached]:
    """Yield the soft limits that the settlement made the spending pass, or that were lowered below it."""
    if not settled.standings:
        return
    by_counter = {limit.counter: limit for limit in limits}
    for before, after in zip(settled.before, settled.standings, strict=True):
        limit = by_counter.get(after.counter)
        if limit is None or limit.budget is None or not limit.budget.soft:
            continue
        was = standings.most_before(team, limit)
        for percent in sorted(set(limit.budget.soft)):
            if before * 100 < percent * max(was, limit.most) and percent * limit.most <= after.spent * 100:
                yield Reached(team, limit, percent)


def described(limit: Limit) -> str:
    """Return a limit in words: "the $5.00 a month", "the 1,000 tokens a day of each user"."""
    budget = limit.budget
    if budget is None:
        return f"{limit.most:,} {_RATES[limit.unit]}"
    each = "" if budget.per == "team" else f" of each {budget.per}"
    period = {"total": "in total", "hour": "an hour"}.get(budget.period, f"a {budget.period}")
    return f"the {amount(limit.unit, limit.most)} {period}{each}"


def amount(unit: Unit, value: int) -> str:
    """Return an amount of a budget's unit in words; money exactly, since amounts are compared, with cents at least."""
    if unit is not Unit.USD:
        return f"{value:,} tokens"
    dollars, nano = divmod(value, NANO)
    digits = f"{nano:09d}"
    return f"${dollars:,}.{digits[:2]}{digits[2:].rstrip('0')}"
