"""The stage before forwarding: a request reserves its worst case on all its limits at once, or is refused."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgspec

from gateway.budgets.limits import Limit, Spender, Unit, limits_of
from gateway.budgets.outage import Outage
from gateway.budgets.periods import Calendar
from gateway.budgets.standing import Standings, amount, described
from gateway.budgets.worst_case import WorstCase
from gateway.config import Settings
from gateway.errors import GatewayError, InsufficientQuotaError, NotAllowedError, RateLimitError, StoreOutageError
from gateway.policies import TeamPolicy
from gateway.pricing import PriceBook
from gateway.store.contract import Granted, Hold, Refused, Reservation, Standing, Store, StoreUnavailableError
from gateway.store.entries import Entry
from gateway.teams.keys import Caller

_MOST_KNOWN = 4096  # spenders whose limits are remembered


class Application(msgspec.Struct, frozen=True, gc=False):
    """A request that is about to be forwarded; `entry` is its place in the ledger, should its process die."""

    id: str
    caller: Caller
    limits: tuple[Limit, ...]
    worst: WorstCase
    model: str | None
    entry: Entry


class Ticket(msgspec.Struct, frozen=True, gc=False):
    """A request that was let through, with the state of its limits as it was then.

    `local`: the store was away, and nothing is reserved there.
    """

    id: str
    team: str
    limits: tuple[Limit, ...] = ()
    holds: tuple[Hold, ...] = ()
    standings: tuple[Standing, ...] = ()
    local: bool = False


@dataclass(frozen=True, slots=True)
class _Known:
    """The limits of one spender by one policy, which are the same until the first of their periods ends."""

    policy: TeamPolicy
    until: float
    limits: tuple[Limit, ...]


class Admission:
    """Lets requests through, or refuses them; knows which reservations of this process are open."""

    def __init__(
        self,
        store: Store,
        settings: Settings,
        standings: Standings,
        clock: Callable[[], float] = time.time,
        workers: int = 1,
    ) -> None:
        self._store = store
        self._settings = settings
        self._prices: Mapping[str, PriceBook] = {}
        self._standings = standings
        self._clock = clock
        self._calendar = Calendar()
        # A plain dict would look for its first key through all that were deleted before.
        self._known: OrderedDict[tuple[object, ...], _Known] = OrderedDict()
        processes = workers * (settings.redis.replicas if settings.redis else 1)
        self.outage = Outage(settings.on_store_outage, processes, standings)
        self.open: dict[str, set[str]] = {}

    def configure(self, settings: Settings, prices: Mapping[str, PriceBook]) -> None:
        """Let these settings and prices hold from now on."""
        self._settings, self._prices = settings, prices
        self._known.clear()

    def limits(self, caller: Caller, model: str | None, user: str, upstream: str) -> tuple[Limit, ...]:
        """Return the limits on which the caller's request counts."""
        if caller.policy.unlimited:
            return ()
        now, key = self._clock(), (caller.team, caller.key, user, model, upstream)
        known = self._known.get(key)
        if known is None or known.policy is not caller.policy or now >= known.until:
            known = self._known[key] = self._looked_up(caller, model, user, upstream, now)
            if len(self._known) > _MOST_KNOWN:
                self._known.popitem(last=False)
        return known.limits

    def _looked_up(self, caller: Caller, model: str | None, user: str, upstream: str, now: float) -> _Known:
        prices = self._prices.get(upstream)
        priced = (prices.canonical(model) if prices else None) or model or ""
        found = limits_of(
            caller.policy, Spender(caller.first or caller.key, user, priced, model or ""), self._calendar, now
        )
        return _Known(caller.policy, min((x.stretch.until for x in found if x.stretch.until), default=math.inf), found)

    def take(self, application: Application) -> Ticket | None:
        """Reserve the request's worst case of what this process may set aside by itself; None: `admit` has to.

        Raises:
            NotAllowedError: a budget in USD, and nobody knows the model's price.
        """
        holds = self._holds(application)
        granted = self._store.take(self._reservation(application, holds))
        return None if granted is None else self._granted(application, holds, granted)

    async def admit(self, application: Application) -> Ticket:
        """Reserve the request's worst case on all its limits.

        Raises:
            InsufficientQuotaError: a budget has no room for it.
            RateLimitError: too much at once.
            NotAllowedError: a budget in USD, and nobody knows the model's price.
            StoreOutageError: the store is away, and the operator has such requests refused.
        """
        limits = application.limits
        if not limits:
            return Ticket(application.id, application.caller.team)
        holds = self._holds(application)
        try:
            answer = await self._store.reserve(self._reservation(application, holds))
        except StoreUnavailableError:
            return self._without_store(application, holds)
        self.outage.over()
        if isinstance(answer, Refused):
            self._standings.heard(application.caller.team, answer.standings)
            wait = self._wait(limits, holds, answer)
            raise _refusal(limits[answer.hold], holds[answer.hold], answer.standings[answer.hold], wait)
        return self._granted(application, holds, answer)

    def _reservation(self, application: Application, holds: tuple[Hold, ...]) -> Reservation:
        expires = self._clock() + self._settings.spending.reservation_s
        return Reservation(application.id, application.caller.team, holds, expires, application.entry)

    def _granted(self, application: Application, holds: tuple[Hold, ...], granted: Granted) -> Ticket:
        team = application.caller.team
        self._standings.heard(team, granted.standings)
        self._keep(team, application.id)
        return Ticket(application.id, team, application.limits, holds, granted.standings)

    def let_go(self, team: str, identity: str) -> None:
        """Renew the request's reservation no more."""
        if own := self.open.get(team):
            own.discard(identity)
            if not own:
                del self.open[team]

    def _holds(self, application: Application) -> tuple[Hold, ...]:
        nano = application.entry.cost_nano
        if nano is None and any(limit.unit is Unit.USD for limit in application.limits):
            raise NotAllowedError(
                f"The price of the model {application.model!r} is not known, so that no budget in USD can pay for it: "
                "the operator can name one in the configuration (models.NAME.price)."
            )
        tokens = application.worst.tokens
        return tuple([limit.hold(nano or 0, tokens) for limit in application.limits])

    def _without_store(self, application: Application, holds: tuple[Hold, ...]) -> Ticket:
        team, limits = application.caller.team, application.limits
        self.outage.began(self._clock())
        if not self.outage.admits(team, limits, holds):
            raise StoreOutageError("The gateway cannot see what is left of this team's budget; please try again.")
        self._keep(team, application.id)  # The store may have taken it, and only its answer got lost.
        return Ticket(application.id, team, limits, holds, local=True)

    def _keep(self, team: str, identity: str) -> None:
        own = self.open.get(team)
        if own is None:
            own = self.open[team] = set()
        own.add(identity)

    def _wait(self, limits: tuple[Limit, ...], holds: tuple[Hold, ...], refused: Refused) -> int | None:
        """Return in how many seconds all limits that have no room begin anew; None where one of the budgets never does.

        How many requests there are at the same time may be others at once.
        """
        full = {refused.hold} | {
            place
            for place, (hold, known) in enumerate(zip(holds, refused.standings, strict=True))
            if known.spent + known.reserved + hold.amount > hold.limit
        }
        ends = [limits[place].stretch.until for place in full if limits[place].unit is not Unit.CONCURRENT]
        if None in ends:
            return None
        return max([1, *(math.ceil(end - self._clock()) for end in ends if end is not None)])


def _refusal(limit: Limit, hold: Hold, standing: Standing, wait: int | None) -> GatewayError:
    if limit.budget is None:
        return RateLimitError(
            f"Rate limit reached: {described(limit)}; used {standing.spent + standing.reserved:,}, "
            f"requested {hold.amount:,}.",
            wait or 1,
        )
    return InsufficientQuotaError(_used_up(limit, hold, standing), wait)


def _used_up(limit: Limit, hold: Hold, standing: Standing) -> str:
    again = f" It begins anew {_span(limit)}." if limit.stretch.until else ""
    return (
        f"No room in the budget: of {described(limit)} {amount(limit.unit, standing.spent)} are spent and "
        f"{amount(limit.unit, standing.reserved)} reserved by requests under way; this request can cost "
        f"{amount(limit.unit, hold.amount)}.{again}"
    )


def _span(limit: Limit) -> str:
    ends = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(limit.stretch.until))
    return f"at {ends}"
