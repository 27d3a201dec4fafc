"""What a process may spend while the store is away: nothing, or its share of what was left."""

from collections.abc import Sequence
from typing import Literal

from gateway.budgets.limits import Limit
from gateway.budgets.standing import Standings
from gateway.store.contract import Charge, Hold


class Outage:
    """Counts by itself what requests spend that were let through without the store, until the store has been told."""

    def __init__(self, policy: Literal["closed", "open"], processes: int, standings: Standings) -> None:
        self._open = policy == "open"
        self._processes = processes
        self._standings = standings
        self._taken: dict[tuple[str, str], int] = {}
        self._since: float | None = None

    def began(self, now: float) -> None:
        """Note that the store is away, at `now` at the latest."""
        if self._since is None:
            self._since = now

    def over(self) -> None:
        """Note that the store has answered: what others spent since then is not known the next time it is away."""
        self._since = None

    def admits(self, team: str, limits: Sequence[Limit], holds: Sequence[Hold]) -> bool:
        """Take the holds from this process's share of all the limits, or from none; return whether they fit."""
        if not self._open:
            return False
        taken = [(team, limit.counter) for limit in limits]
        fits = all(
            self._taken.get(key, 0) + hold.amount <= self._share(team, limit)
            for key, limit, hold in zip(taken, limits, holds, strict=True)
        )
        for hold in holds if fits else ():
            self._take(team, hold.counter, hold.amount)
        return fits

    def gives_back(self, team: str, holds: Sequence[Hold], charged: Sequence[int]) -> None:
        """Put back what a request held and did not spend."""
        for hold, amount in zip(holds, charged, strict=True):
            self._take(team, hold.counter, amount - hold.amount)

    def told(self, team: str, charges: Sequence[Charge]) -> None:
        """Forget what the store knows of from here on."""
        for charge in charges:
            self._take(team, charge.counter, -charge.amount)

    def _take(self, team: str, counter: str, amount: int) -> None:
        taken = self._taken.pop((team, counter), 0) + amount
        if taken > 0:
            self._taken[team, counter] = taken

    def _share(self, team: str, limit: Limit) -> int:
        known = self._standings.of(team, limit)
        if known is not None:
            return max(0, limit.most - known.spent - known.reserved) // self._processes
        # Of a period that began meanwhile nobody has spent more than a share; of another one nothing is known.
        fresh = limit.budget is None or (self._since is not None and limit.stretch.start >= self._since)
        return limit.most // self._processes if fresh else 0
