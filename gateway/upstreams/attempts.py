"""Sending a request to one of its candidates, and to the next where that fails.

What can't have been begun is tried again freely: no connection came about, or the upstream itself answered 429 or 5xx
(the latter not where the body was passed on as it came: it is gone).
What was sent whole and got no answer may have been worked on and billed; it is tried again only where the operator
allows it. A reply that has begun is never given up for another.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from gateway.config import RetrySettings
from gateway.errors import (
    UpstreamNotConnectedError,
    UpstreamOpenError,
    UpstreamTimeoutError,
    UpstreamUnreachableError,
)
from gateway.upstreams.breaker import Breaker, Health
from gateway.upstreams.candidates import Candidate, Served, least_busy
from gateway.upstreams.upstream import Upstream, UpstreamReply

_RATE_LIMITED = 429
_RECONNECT_S = 0.1
_TOO_LONG = b"context_length_exceeded"
_LONGEST_ERROR = 1 << 16

Send = Callable[[Candidate], Awaitable[UpstreamReply]]
_Failure = UpstreamReply | UpstreamUnreachableError | UpstreamTimeoutError


class Outcome(StrEnum):
    """How an attempt ended."""

    ANSWERED = "answered"
    RATE_LIMITED = "rate_limited"
    FAILED = "failed"  # a reply of 500 or above
    TOO_LONG = "too_long"
    NOT_CONNECTED = "not_connected"
    BROKEN = "broken"  # sent, and the connection broke before a reply
    TIMED_OUT = "timed_out"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt at one candidate."""

    candidate: Candidate
    outcome: Outcome

    @property
    def uncertain(self) -> bool:
        """Whether the upstream may have worked on it although no reply came."""
        return self.outcome in (Outcome.BROKEN, Outcome.TIMED_OUT)


@dataclass(slots=True)
class Tried:
    """The attempts of one request that are over, of those that were begun.

    `under_way`: the last one that was begun is being made, or its reply is being relayed.
    """

    attempts: list[Attempt] = field(default_factory=list)
    begun: int = 0
    under_way: bool = False

    @property
    def lost(self) -> list[Candidate]:
        """Whose attempts were given up for another although they may have been worked on."""
        if self.begun <= 1:
            return []
        return [attempt.candidate for attempt in self.attempts[: self.begun - 1] if attempt.uncertain]

    @property
    def sent(self) -> bool:
        """Whether the upstream of the last attempt may have worked on it, and did not just say that it failed."""
        return self.under_way or (bool(self.attempts) and self.attempts[-1].uncertain)


class Attempts:
    """Sends requests, by the operator's rules."""

    def __init__(self, settings: RetrySettings, upstreams: Mapping[str, Upstream]) -> None:
        self._settings = settings
        self._upstreams = upstreams
        self.breakers = {
            name: Breaker(found.settings.breaker_failures, found.settings.breaker_open_s)
            for name, found in upstreams.items()
        }

    async def send(self, served: Served, once: Send, tried: Tried, again: bool = True) -> UpstreamReply:
        """Return the first good reply, or the last bad one; `again` is False for a body that can be sent only once.

        Raises:
            UpstreamOpenError: nothing answers there, so that it is not even tried for a while.
            UpstreamNotConnectedError, UpstreamUnreachableError, UpstreamTimeoutError: what the last attempt ran into.
        """
        served = served if again else served.unrenamed
        # Nearly always there is nothing to choose: what is done then must cost next to nothing.
        order = None if self._simple(served) else _Order(self, served, self._settings.attempts)
        candidate = order.first() if order else served.upstreams[0]
        while True:
            failure = await self._try(candidate, once, tried)
            attempt = tried.attempts[-1]
            try:
                if attempt.outcome is Outcome.ANSWERED:
                    if not (served.fallbacks and await _too_long(failure)):
                        return _reply(failure)
                    tried.attempts[-1] = attempt = Attempt(candidate, Outcome.TOO_LONG)
                order = order or _Order.after_the_first(self, served, self._settings.attempts)
                following = order.following(attempt) if self._may_repeat(attempt, again) else None
                pause = None if following is None else self._pause(failure, candidate, following, len(tried.attempts))
            except BaseException:  # cancelled too
                _close(failure)
                raise
            if following is None or pause is None:
                return _reply(failure)
            tried.under_way = False
            _close(failure)
            await asyncio.sleep(pause)
            candidate = following

    def _simple(self, served: Served) -> bool:
        return len(served.upstreams) == 1 and self.breakers[served.upstreams[0].upstream].health is Health.CLOSED

    async def _try(self, candidate: Candidate, once: Send, tried: Tried) -> _Failure:
        breaker = self.breakers[candidate.upstream]
        probe = breaker.enter()
        tried.begun += 1
        tried.under_way = True
        try:
            found = await _found(once(candidate))
        except BaseException:
            breaker.leave(probe)
            raise
        outcome = _outcome(found)
        tried.under_way = outcome is not Outcome.NOT_CONNECTED
        tried.attempts.append(Attempt(candidate, outcome))
        if outcome in (Outcome.ANSWERED, Outcome.RATE_LIMITED):
            breaker.succeeded(probe)
        else:
            breaker.failed(probe, reached=outcome is not Outcome.NOT_CONNECTED)
        return found

    def _may_repeat(self, attempt: Attempt, again: bool) -> bool:
        if attempt.outcome is Outcome.NOT_CONNECTED:  # nothing of the body was taken
            return True
        return again and (not attempt.uncertain or self._settings.after_sent)

    def _pause(self, failure: _Failure, before: Candidate, following: Candidate, attempts: int) -> float | None:
        """Return how long to wait before the next attempt; None: longer than anybody should."""
        if following.upstream != before.upstream:
            return 0.0
        if isinstance(failure, UpstreamNotConnectedError):
            return _RECONNECT_S * attempts
        asked = failure.retry_after if isinstance(failure, UpstreamReply) else None
        if asked is not None:
            return asked if asked <= self._settings.longest_wait_s else None
        if isinstance(failure, UpstreamReply) and failure.header(b"x-should-retry") == "false":
            return None
        most = min(self._settings.backoff_s * 2 ** (attempts - 1), self._settings.longest_wait_s)
        return random.uniform(most / 2, most)  # noqa: S311 - so that those who failed together do not come back together

    def weight(self, name: str) -> float:
        """Return the upstream's weight."""
        return self._upstreams[name].settings.weight

    def busy(self, name: str) -> int:
        """Return how many requests the upstream has."""
        return self._upstreams[name].busy


class _Order:
    """The order in which a request's candidates are tried."""

    def __init__(self, attempts: Attempts, served: Served, repeats: int) -> None:
        self._attempts = attempts
        self._served = served
        self._untried = list(served.upstreams)
        self._left = max(len(served.upstreams), 1 + repeats)
        self._reconnects = True  # what was not connected is tried once more, whatever the operator says
        self._fallbacks: Iterator[Candidate] = iter(served.fallbacks)

    @classmethod
    def after_the_first(cls, attempts: Attempts, served: Served, repeats: int) -> "_Order":
        """Return what is left of the order once its only upstream was tried."""
        order = cls(attempts, served, repeats)
        order._untried, order._left = [], order._left - 1
        return order

    def first(self) -> Candidate:
        """Return whom to try first; raises UpstreamOpenError where nobody can be reached."""
        if not any(self._allowed(one) for one in self._served.all):
            self._give_up()
        return self.following(None) or self._served.upstreams[0]

    def following(self, after: Attempt | None) -> Candidate | None:
        """Return whom to try next, or None."""
        if after and after.outcome is Outcome.NOT_CONNECTED and self._reconnects and not self._left:
            self._reconnects = False
            if self._allowed(after.candidate):
                return after.candidate
        if self._left > 0 and not (after and after.outcome is Outcome.TOO_LONG):
            self._left -= 1
            if (found := self._equal()) is not None:
                return found
        self._left = 0
        return next(filter(self._allowed, self._fallbacks), None)

    def _equal(self) -> Candidate | None:
        if not self._untried:
            self._untried = list(self._served.upstreams)
        allowed = [one for one in self._untried if self._allowed(one)]
        if not allowed:
            return None
        chosen = least_busy(allowed, self._attempts.busy, self._attempts.weight)
        self._untried.remove(chosen)
        return chosen

    def _allowed(self, candidate: Candidate) -> bool:
        return self._attempts.breakers[candidate.upstream].health is not Health.OPEN

    def _give_up(self) -> None:
        """Refuse where nothing answers at all; an upstream that answers with errors is asked, if there is no other."""
        breakers = [self._attempts.breakers[one.upstream] for one in self._served.all]
        if not any(breaker.reached for breaker in breakers):
            wait = min(breaker.wait_s for breaker in breakers)
            raise UpstreamOpenError("No upstream of this model can be reached; please try again.", wait)


async def _found(sent: Awaitable[UpstreamReply]) -> _Failure:
    """Return the reply, or the error in place of one."""
    try:
        return await sent
    except (UpstreamUnreachableError, UpstreamTimeoutError) as error:
        return error


def _outcome(found: _Failure) -> Outcome:
    match found:
        case UpstreamNotConnectedError():
            return Outcome.NOT_CONNECTED
        case UpstreamUnreachableError():
            return Outcome.BROKEN
        case UpstreamTimeoutError():
            return Outcome.TIMED_OUT
        case UpstreamReply(status=status) if status == _RATE_LIMITED:
            return Outcome.RATE_LIMITED
        case UpstreamReply(status=status) if status >= 500:
            return Outcome.FAILED
        case _:
            return Outcome.ANSWERED


async def _too_long(found: _Failure) -> bool:
    """Whether the upstream says that the prompt is too long for the model."""
    if not isinstance(found, UpstreamReply) or found.status != 400:
        return False
    return _TOO_LONG in await found.glimpse(_LONGEST_ERROR)


def _close(found: _Failure) -> None:
    if isinstance(found, UpstreamReply):
        found.close()


def _reply(found: _Failure) -> UpstreamReply:
    if isinstance(found, UpstreamReply):
        return found
    raise found
