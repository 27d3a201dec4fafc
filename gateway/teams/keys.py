"""From the caller's Authorization to who calls; of a key only its digest is kept."""

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.errors import AuthenticationError, StoreOutageError
from gateway.policies import TeamPolicy

DEFAULT_TEAM = "default"
_PREFIX = "sk-cg-"
_ID_DIGITS = 12
_MOST_LATEST = 1024
_LONGEST_LATEST = 256  # characters


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: a team by one of its keys. `key` is the key's id, `models` what the key is limited to (none: all).

    `first` is the id of the key that it follows, by which budgets know it; empty where it follows none.
    """

    team: str
    key: str
    policy: TeamPolicy
    models: frozenset[str] = frozenset()
    expires: float | None = None
    first: str = ""

    @property
    def restricted(self) -> bool:
        """Whether there is anything that the caller is held to."""
        return bool(self.models or self.policy.models) or not self.policy.unlimited

    def may_use(self, model: str) -> bool:
        """Tell whether both the team and the key may ask for the model."""
        team = self.policy.models
        return (not team or model in team) and (not self.models or model in self.models)


ANYBODY = Caller(DEFAULT_TEAM, "", TeamPolicy())


@dataclass(frozen=True, slots=True)
class Keyring:
    """The callers of all teams by their keys' SHA-256 digests.

    `required` tells whether callers need a key of the gateway's; `complete` is False as long as only the
    configuration's keys are known, and not yet those in the store.
    """

    _held: Mapping[str, tuple[str, Caller]]
    required: bool
    complete: bool = True
    # Who called with these headers: a digest takes a while, and none outlives the keyring, which changes with any key.
    _latest: dict[str, Caller] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, callers: Mapping[str, Caller], required: bool, complete: bool = True) -> "Keyring":
        """Make the keyring of callers by their keys' digests."""
        return cls({key_id(found): (found, caller) for found, caller in callers.items()}, required, complete)

    def caller(self, authorization: str | None, now: float) -> Caller:
        """Return who calls, at `now` seconds since the epoch.

        Raises:
            AuthenticationError: there are teams, and the key is missing, unknown or expired.
            StoreOutageError: the key may be one of those in the store, which was not reached yet.
        """
        if not self.required and self.complete:
            return ANYBODY
        caller = self._latest.get(authorization or "") or self._looked_up(authorization or "")
        if caller.expires is not None and now >= caller.expires:
            raise AuthenticationError("Incorrect API key provided: this key has expired.")
        return caller

    def _looked_up(self, authorization: str) -> Caller:
        scheme, _, key = authorization.partition(" ")
        key = key.strip()
        if scheme.lower() != "bearer" or not key:
            raise self._missing()
        caller = self._owner(digest(key))
        if len(authorization) <= _LONGEST_LATEST:
            if len(self._latest) >= _MOST_LATEST:
                self._latest.clear()
            self._latest[authorization] = caller
        return caller

    def _owner(self, found: str) -> Caller:
        # An id is no secret. What comes after it is compared in constant time, and only digests are, so that the time
        # this takes tells nothing about a key.
        held = self._held.get(key_id(found))
        if held is None or not hmac.compare_digest(held[0], found):
            raise self._unknown()
        return held[1]

    def _unknown(self) -> Exception:
        if not self.complete:
            return _not_known_yet()
        return AuthenticationError("Incorrect API key provided: this gateway has no team with that key.")

    def _missing(self) -> Exception:
        if not self.required:
            return _not_known_yet()
        return AuthenticationError("You didn't provide an API key: send it as `Authorization: Bearer KEY`.")


def _not_known_yet() -> StoreOutageError:
    return StoreOutageError("The store of teams and keys has not been reached yet; please try again.")


def new_key() -> str:
    """Make a key."""
    return _PREFIX + secrets.token_urlsafe(24)


def digest(key: str) -> str:
    """Return the hex SHA-256 of a key, which is all that is kept of it."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


def key_id(digest: str) -> str:
    """Return the name by which the key with that digest is known to everybody."""
    return "key_" + digest[:_ID_DIGITS]
