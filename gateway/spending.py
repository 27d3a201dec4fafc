"""The stages around forwarding that concern a caller's means: who calls, may it, is there room, what did it cost."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from msgspec.structs import replace

from gateway import headers, logs
from gateway.budgets.admission import Admission, Application, Ticket
from gateway.budgets.limits import Limit, Unit
from gateway.budgets.settling import Settling
from gateway.budgets.standing import Standings
from gateway.budgets.worst_case import Weighing, WorstCase, may_hold_audio, worst_case
from gateway.config import Settings
from gateway.endings import Endings
from gateway.errors import (
    GatewayError,
    InsufficientQuotaError,
    InvalidRequestError,
    NotAllowedError,
    RateLimitError,
)
from gateway.exchange import Exchange
from gateway.output_limits import DEFAULT, output_limit
from gateway.policies import Route
from gateway.pricing import PriceBook
from gateway.record import RequestRecord
from gateway.request import ApiRequest
from gateway.routes import COUNTED, may_use, name_of, of_a_response
from gateway.store.entries import Entry, State
from gateway.teams.keys import Caller, Keyring
from gateway.trace import Trace
from gateway.upstreams.candidates import ANY_MODEL, Candidates
from gateway.upstreams.upstream import Headers

_KINDS = {Unit.REQUESTS: "requests", Unit.RATE_TOKENS: "tokens"}


class Roster(Protocol):
    """Knows the teams' keys of this moment."""

    @property
    def keyring(self) -> Keyring:
        """The current keys."""


@dataclass(frozen=True, slots=True)
class Spending:
    """Identifies callers, holds requests to their limits, and hands finished ones over to be settled."""

    settings: Settings
    roster: Roster
    candidates: Candidates
    prices: Mapping[str, PriceBook]
    admission: Admission
    settling: Settling
    standings: Standings
    endings: Endings
    warnings: Mapping[str, deque[str]] = field(default_factory=dict)  # soft limits that a team's next replies announce
    clock: Callable[[], float] = time.time

    @property
    def keys_required(self) -> bool:
        """Whether callers need a key of the gateway's."""
        return self.roster.keyring.required

    def identify(self, exchange: Exchange, trace: Trace, route: Route) -> Caller:
        """Note and return who calls.

        Raises:
            AuthenticationError: no key, or one that no team has.
            NotAllowedError: the team may not use the route.
        """
        caller = self.roster.keyring.caller(exchange.header(b"authorization"), self.clock())
        trace.caller, trace.ticket = caller, Ticket(trace.id, caller.team)
        if not (may_use(caller, route) or _is_its_own(exchange, caller)):
            raise NotAllowedError(
                f"The team {caller.team!r} may not use {exchange.method} {exchange.raw_path.decode('latin-1')}."
            )
        return caller

    def limits(self, trace: Trace, caller: Caller) -> tuple[Limit, ...]:
        """Return the limits on which the request counts.

        Raises:
            NotAllowedError: team or key may not ask for the model.
            InvalidRequestError: there are limits, and the body can't be read.
        """
        asked = trace.request
        if asked is None:
            return ()
        if caller.restricted and not asked.readable:
            raise InvalidRequestError("This team has limits, which needs bodies that are plain JSON, not compressed.")
        _check_model(caller, asked.model)
        return self.admission.limits(caller, asked.model, asked.user, trace.upstream or "")

    async def admit(self, trace: Trace, limits: tuple[Limit, ...], body: object, route: Route) -> None:
        """Reserve the most that forwarding this body can cost; raises what Admission.admit does."""
        caller, asked = trace.caller, trace.request
        if caller is None or asked is None or not isinstance(body, bytes) or route not in COUNTED:
            return
        counted = trace.windowed.tokens[1] if trace.windowed else None
        trace.worst = weighing = Weighing(partial(self._weighed, asked, body, counted, route), len(body))
        if not limits:
            return
        worst = await weighing.apart() if weighing.long else weighing()
        served = self.candidates.of(asked.model)
        if self.settings.retries.after_sent:  # each attempt may be billed
            worst = worst.times(len(served.all) + self.settings.retries.attempts)
        entry = self._entry(trace, caller, worst, route)
        application = Application(trace.id, caller, limits, worst, asked.model, entry)
        await self.endings.done()
        try:
            trace.ticket = ticket = self.admission.take(application) or await self._admitted(application)
        except GatewayError:
            trace.limits_said = self._said(caller.team, limits) + self._warned(caller.team)
            raise
        trace.limits_said = self._said(ticket.team, limits) + self._warned(ticket.team)

    async def _admitted(self, application: Application) -> Ticket:
        """Admit the request; where there is no room, once more when what has ended here is settled."""
        try:
            return await self.admission.admit(application)
        except (InsufficientQuotaError, RateLimitError):
            self.endings.flush()  # of those that have ended since
            if not self.settling.flush():
                raise
        await asyncio.sleep(0)  # The settlements are on their way before the second reservation.
        return await self.admission.admit(application)

    def settle(self, trace: Trace, record: RequestRecord) -> None:
        """Hand the finished request over; of a caller that nobody knows nothing is kept."""
        # Also of one that was not let through: what the store answered may not have been heard.
        limited = trace.caller is not None and not trace.caller.policy.unlimited
        if trace.ticket is not None and (limited or self.settings.store.ledger == "on"):
            self.settling.settle(trace.ticket, record)

    def _weighed(self, asked: ApiRequest, body: bytes, counted: int | None, route: Route) -> WorstCase:
        answer = self._answer(asked.model)
        try:
            worst = worst_case(asked, body, counted, route, answer)
        except Exception as error:  # noqa: BLE001 - a body that nobody foresaw must not be refused for it
            logs.event("worst_case_failed", error=type(error).__name__, where=logs.place(error))
            worst = WorstCase(len(body), answer * asked.answers)
        return replace(worst, audio=True) if self._audio(asked, body) else worst

    def _audio(self, asked: ApiRequest, body: bytes) -> bool:
        """Whether some of the tokens may be audio that costs more than text: of any answer of a model that speaks."""
        for candidate in self.candidates.of(asked.model).all:
            if (prices := self.prices.get(candidate.upstream)) is not None:
                sound = prices.sound(candidate.model or asked.model)
                if sound.speaks or (sound.hears and may_hold_audio(asked, body)):
                    return True
        return False

    def _answer(self, model: str | None) -> int:
        """Return the most that it answers with: as the operator says, else as is known, else as "*" says."""
        models = self.settings.models
        named, every = models.get(model) if model else None, models.get(ANY_MODEL)
        limit = self.settings.spending.output_tokens or (named and named.max_output_tokens)
        unlisted = every.max_output_tokens if every and not named else None
        return limit or output_limit(model, unlisted or DEFAULT)

    def _entry(self, trace: Trace, caller: Caller, worst: WorstCase, route: Route) -> Entry:
        asked = trace.request
        model = asked.model if asked else None
        return Entry(
            id=trace.id, time=trace.arrived.timestamp(), team=caller.team, key=caller.key,
            user=asked.user if asked else "", model=model or "", upstream=trace.upstream or "", route=name_of(route),
            state=State.UNSETTLED, stream=bool(asked and asked.stream), input=worst.prompt, output=worst.completion,
            cost_nano=self._dearest(model, worst),
        )  # fmt: skip

    def _dearest(self, model: str | None, worst: WorstCase) -> int | None:
        """Return the most that it can cost in nano-USD wherever it may be served; None where a price is not known."""
        most = 0
        for candidate in self.candidates.of(model).all:
            prices = self.prices.get(candidate.upstream)
            if prices is None:
                return None
            nano = prices.dearest_nano(candidate.model or model, worst.prompt, worst.completion, worst.audio)
            if nano is None:
                return None
            most = max(most, nano)
        return most

    def _said(self, team: str, limits: tuple[Limit, ...]) -> Headers:
        """Return what is left of the rates, as the store has just said or was last heard to say."""
        said: Headers = []
        for limit in limits:
            kind = None if limit.budget is not None else _KINDS.get(limit.unit)
            if kind is not None and (known := self.standings.of(team, limit)) is not None:
                left = max(0, limit.most - known.spent - known.reserved)
                resets = max(0.0, (limit.stretch.until or 0.0) - self.clock())
                said += headers.rate_limit(kind, limit.most, left, resets)
        return said

    def _warned(self, team: str) -> Headers:
        waiting = self.warnings.get(team)
        return headers.budget_warning(waiting.popleft()) if waiting else []


def _is_its_own(exchange: Exchange, caller: Caller) -> bool:
    """Whether the caller asks for a response, as it may make them: in the background they can only be had so."""
    return of_a_response(exchange.method, exchange.raw_path) and may_use(caller, Route.RESPONSES)


def _check_model(caller: Caller, model: str | None) -> None:
    if model is not None:
        if not caller.may_use(model):
            raise NotAllowedError(f"This key may not use the model {model!r}.")
    elif caller.models or caller.policy.models:
        # Which model the upstream would take instead is not known here.
        raise NotAllowedError("This key may only use some models, and the request names none.")
