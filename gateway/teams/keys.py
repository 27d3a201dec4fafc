"""From the caller's Authorization to the team that it belongs to."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gateway.errors import AuthenticationError

DEFAULT_TEAM = "default"


@dataclass(frozen=True, slots=True)
class Keyring:
    """The keys of all teams, held as SHA-256 digests; with none, everybody is the default team."""

    _teams: Mapping[bytes, str]

    @classmethod
    def of(cls, keys: Mapping[str, Sequence[str]]) -> "Keyring":
        """Make the keyring of the teams' keys in clear."""
        return cls({_digest(key): team for team, owned in keys.items() for key in owned})

    @property
    def required(self) -> bool:
        """Tell whether callers need a key of the gateway's."""
        return bool(self._teams)

    def team(self, authorization: str | None) -> str:
        """Return the caller's team.

        Raises:
            AuthenticationError: teams are configured and the key is missing or unknown.
        """
        if not self._teams:
            return DEFAULT_TEAM
        scheme, _, key = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            raise AuthenticationError("You didn't provide an API key: send it as `Authorization: Bearer KEY`.")
        return self._owner(_digest(key.strip()))

    def _owner(self, digest: bytes) -> str:
        # Only digests are compared, so that the time a look-up takes tells nothing about a key.
        team = self._teams.get(digest)
        if team is None:
            raise AuthenticationError("Incorrect API key provided: this gateway has no team with that key.")
        return team


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
