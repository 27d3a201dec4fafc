"""Teams and keys as they are known at one moment: those of the configuration, and those in the store."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TypeVar

from pydantic import ValidationError

from gateway.policies import KeyPolicy, KeySettings, Section, TeamPolicy, TeamSettings
from gateway.teams.keys import Caller, Keyring, digest, key_id

_SHOWN = 10
_Found = TypeVar("_Found", bound=Section)


class Source(StrEnum):
    """Where a team or a key was declared."""

    CONFIGURATION = "configuration"
    STORE = "store"


class StoredKey(KeyPolicy):
    """A key as the store keeps it: the digest, never the key itself."""

    digest: str
    team: str
    created: datetime
    start: str
    first: str | None = None

    @classmethod
    def of(cls, key: str, team: str, policy: KeyPolicy, first: str | None = None) -> "StoredKey":
        """Return the stored form of a key that is made now; `first` as Key has it."""
        fields = policy.model_dump()
        return cls(**fields, digest=digest(key), team=team, created=_now(), start=key[:_SHOWN], first=first)

    @property
    def policy(self) -> KeyPolicy:
        """What holds for the key."""
        return KeyPolicy(name=self.name, models=self.models, expires=self.expires)

    def key(self) -> "Key":
        """Return the key as it may be shown."""
        id_ = key_id(self.digest)
        return Key(id_, self.team, self.policy, Source.STORE, self.start, self.created, self.digest, self.first)


@dataclass(frozen=True, slots=True)
class Team:
    """A team; `keys` counts its keys, expired ones too."""

    name: str
    policy: TeamPolicy
    source: Source
    keys: int = 0

    def shown(self) -> dict[str, object]:
        """Return all that there is to show of it."""
        facts = {"name": self.name, "source": self.source, "keys": self.keys}
        return {**facts, **self.policy.model_dump()}


@dataclass(frozen=True, slots=True)
class Key:
    """A key, as it may be shown: `start` holds its first characters.

    `first` is the id of the first of the keys that it follows, each made by rotating the one before: this one counts on
    its budgets. None where it follows none.
    """

    id: str
    team: str
    policy: KeyPolicy
    source: Source
    start: str
    created: datetime | None
    digest: str
    first: str | None = None

    def stored(self, expires: datetime) -> StoredKey:
        """Return the form in which the store keeps it, with another end."""
        fields = {**self.policy.model_dump(), "expires": expires, "created": self.created or _now()}
        return StoredKey(**fields, digest=self.digest, team=self.team, start=self.start, first=self.first)

    @property
    def expired(self) -> bool:
        """Whether it is refused for its age."""
        return self.policy.expires is not None and self.policy.expires <= _now()

    def shown(self) -> dict[str, object]:
        """Return all that may be shown of it."""
        return {
            "id": self.id,
            "team": self.team,
            "name": self.policy.name or self.start,
            "models": self.policy.models,
            "expires": self.policy.expires,
            "expired": self.expired,
            "created": self.created,
            "start": self.start,
            "source": self.source,
        }


@dataclass(frozen=True, slots=True)
class Known:
    """All teams by name, all keys by id, and the keyring of those keys whose team is there.

    `unreadable` names the store's documents that make no sense here, such as those of a newer release; a team or a
    key among them is refused.
    """

    teams: Mapping[str, Team]
    keys: Mapping[str, Key]
    keyring: Keyring
    unreadable: frozenset[str] = frozenset()

    @classmethod
    def of(
        cls,
        declared: Mapping[str, TeamSettings],
        teams: Mapping[str, bytes] | None = None,
        keys: Mapping[str, bytes] | None = None,
        complete: bool = True,
    ) -> "Known":
        """Put the configuration's teams and the store's documents together; of two namesakes the former counts."""
        made, bad_teams = _read(TeamPolicy, teams or {})
        stored, bad_keys = _read(StoredKey, keys or {})
        policies = {name: _policy(found) for name, found in declared.items()}
        found_keys = {key.id: key for key in (*(found.key() for found in stored.values()), *_declared(declared))}
        keys_of = Counter(key.team for key in found_keys.values())
        found_teams = {
            **{name: Team(name, policy, Source.STORE, keys_of[name]) for name, policy in made.items()},
            **{name: Team(name, policy, Source.CONFIGURATION, keys_of[name]) for name, policy in policies.items()},
        }
        callers = {
            key.digest: _caller(key, found_teams[key.team]) for key in found_keys.values() if key.team in found_teams
        }
        # What cannot be read counts: a gateway that does not understand its teams must not be open to everybody.
        required = bool(found_teams or found_keys or bad_teams or bad_keys)
        return cls(found_teams, found_keys, Keyring.of(callers, required, complete), bad_teams | bad_keys)


def _read(kind: type[_Found], documents: Mapping[str, bytes]) -> tuple[dict[str, _Found], frozenset[str]]:
    """Return the documents that can be read, and the names of the others."""
    found = {name: _document(kind, text) for name, text in documents.items()}
    good = {name: document for name, document in found.items() if document is not None}
    return good, frozenset(found.keys() - good.keys())


def _document(kind: type[_Found], text: bytes) -> _Found | None:
    try:
        return kind.model_validate_json(text)
    except ValidationError:
        return None


def _policy(declared: TeamSettings) -> TeamPolicy:
    """Leave the keys out, which are secrets."""
    return TeamPolicy.model_validate(declared.model_dump(exclude={"keys"}, exclude_unset=True))


def _declared(teams: Mapping[str, TeamSettings]) -> Iterator[Key]:
    for team, found in teams.items():
        for declared in found.keys:
            yield _declared_key(team, declared)


def _declared_key(team: str, declared: KeySettings) -> Key:
    key, policy = declared.key.get_secret_value(), KeyPolicy(**declared.model_dump(exclude={"key"}))
    # A declared key may be short, so that its first ten characters could be most of it.
    start = key[: min(_SHOWN, len(key) // 4)]
    found = digest(key)
    return Key(key_id(found), team, policy, Source.CONFIGURATION, start, None, found)


def _caller(key: Key, team: Team) -> Caller:
    models, expires = frozenset(key.policy.models), key.policy.expires
    until = None if expires is None else expires.timestamp()
    return Caller(team.name, key.id, team.policy, models, until, key.first or "")


def _now() -> datetime:
    return datetime.now(UTC)
