"""Teams and keys while the gateway runs: kept up with the store, and changed there."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from gateway.config import Settings
from gateway.errors import GatewayError, InvalidRequestError
from gateway.policies import TEAM_NAME, KeyPolicy, TeamPolicy, TeamSettings
from gateway.store.contract import Change, Kind, Store, StoreUnavailableError
from gateway.teams.keys import Keyring, new_key
from gateway.teams.known import Key, Known, Source, StoredKey, Team

POLL_S = 0.4
_TRIES = 100  # of each, another process changed something


_Made = TypeVar("_Made")
Report = Callable[[str, str], None]


class UnknownNameError(GatewayError):
    """There is no such team or key."""

    status, type, code = 404, "invalid_request_error", "not_found"


class ConflictError(GatewayError):
    """What is asked for does not go together with what is there."""

    status, type, code = 409, "invalid_request_error", "conflict"


class Roster:
    """All teams and keys: current within a poll's period, and what an operator does with them.

    Operations raise UnknownNameError, ConflictError, InvalidRequestError, and StoreUnavailableError while the store is
    away. They are durable when they return; this process knows of them at once, every other one with its next poll.
    """

    def __init__(self, settings: Settings, store: Store, report: Report | None = None) -> None:
        """Know the configuration's teams; `report` is told an event's name and its detail, each once."""
        self._declared: Mapping[str, TeamSettings] = settings.teams
        self._store = store
        self._report = report or (lambda _event, _detail: None)
        self._known = Known.of(settings.teams, complete=False)
        self._documents: tuple[Mapping[str, bytes], Mapping[str, bytes]] | None = None
        self._version: int | None = None
        self._reading = asyncio.Lock()
        self._changing = asyncio.Lock()
        self._away = False

    def declare(self, teams: Mapping[str, TeamSettings]) -> None:
        """Let other teams of the configuration hold from now on."""
        if teams != self._declared:
            self._declared = teams
            read = self._documents
            self._known = Known.of(teams, *read) if read else Known.of(teams, complete=False)

    @property
    def keyring(self) -> Keyring:
        """The keys as they are known now."""
        return self._known.keyring

    def policy(self, team: str) -> TeamPolicy | None:
        """Return what holds for the team, as it is known now."""
        found = self._known.teams.get(team)
        return found.policy if found else None

    def counted_as(self, key: str) -> str:
        """Return the id by which budgets know the key with that id: that of the first one which it follows."""
        found = self._known.keys.get(key)
        return (found.first if found else None) or key

    async def run(self, period_s: float = POLL_S) -> None:
        """Keep up with the store until cancelled; while it is away, what was known last holds."""
        while True:
            await self._poll()
            await asyncio.sleep(period_s)

    async def _poll(self) -> None:
        try:
            await self.refresh()
        except Exception as error:  # noqa: BLE001 - were this to end, revoked keys would live on for ever
            self._tell_of_outage(str(error) or type(error).__name__)
        else:
            self._tell_of_return()

    def _tell_of_outage(self, why: str) -> None:
        if not self._away:
            self._report("teams_not_refreshed", why)
        self._away = True

    def _tell_of_return(self) -> None:
        if self._away:
            self._report("teams_refreshed", "")
        self._away = False

    async def refresh(self) -> None:
        """Read teams and keys again if any changed.

        Raises:
            StoreUnavailableError: what was known until now holds.
        """
        async with self._reading:
            # The version comes first: a change between it and the documents is seen again by the next look.
            version = await self._store.version()
            if not version and self._version:
                version = await self._written_again()
            if version != self._version:
                self._take(await self._store.documents(Kind.TEAM), await self._store.documents(Kind.KEY))
                self._version = version

    async def _written_again(self) -> int:
        """Write what is known to a store that has lost its data: without teams all might call; return its version."""
        documents = zip(Kind, self._documents or ({}, {}), strict=True)
        changes = [Change(kind, name, document) for kind, own in documents for name, document in own.items()]
        if changes and await self._store.change(changes, 0):
            self._report("teams_written_again", "the store had lost them, and with them what budgets have spent")
        return await self._store.version()

    def _take(self, teams: Mapping[str, bytes], keys: Mapping[str, bytes]) -> None:
        self._documents = (teams, keys)
        before, self._known = self._known, Known.of(self._declared, teams, keys)
        for name in sorted(self._known.unreadable - before.unreadable):
            self._report("document_unreadable", name)

    async def list_teams(self) -> tuple[Team, ...]:
        """Return all teams by name."""
        await self.refresh()
        return tuple(team for _, team in sorted(self._known.teams.items()))

    async def show_team(self, name: str) -> Team:
        """Return the team."""
        await self.refresh()
        return self._team(name)

    async def add_team(self, name: str, policy: TeamPolicy) -> Team:
        """Make a team; keys that a former team of that name left behind are its own."""

        def plan() -> tuple[Team, list[Change]]:
            if not TEAM_NAME.fullmatch(name):
                raise InvalidRequestError(
                    "expected a name of 1 to 64 letters, digits, dots, dashes, underscores", "name"
                )
            if name in self._known.teams:
                raise ConflictError(f"There is a team {name} already.")
            return self._with_policy(name, policy)

        return await self._change(plan)

    async def change_team(self, name: str, policy: TeamPolicy) -> Team:
        """Let another policy hold for the team from now on."""
        return await self.edit_team(name, lambda _: policy)

    async def edit_team(self, name: str, edit: Callable[[TeamPolicy], TeamPolicy]) -> Team:
        """Let what `edit` makes of the team's policy hold from now on; it is asked again where others were quicker."""

        def plan() -> tuple[Team, list[Change]]:
            team = self._team(name)
            _changeable(team)
            return self._with_policy(name, edit(team.policy))

        return await self._change(plan)

    def _with_policy(self, name: str, policy: TeamPolicy) -> tuple[Team, list[Change]]:
        # What was not said stays unsaid, so that an earlier release, too, can read what it knows of.
        document = policy.model_dump_json(exclude_unset=True).encode()
        keys = len(self._keys_of(name))
        return Team(name, policy, Source.STORE, keys), [Change(Kind.TEAM, name, document)]

    async def remove_team(self, name: str, cascade: bool = False, open_to_all: bool = False) -> None:
        """Remove a team that has no keys, or with `cascade` its keys too; the last team only if `open_to_all`."""

        def plan() -> tuple[None, list[Change]]:
            team = self._team(name)
            _changeable(team)
            if team.keys and not cascade:
                raise ConflictError(f"Team {name} has {team.keys} key(s): revoke them first, or ask for cascade.")
            if len(self._known.teams) == 1 and not open_to_all:
                raise ConflictError(
                    f"{name} is the last team: without teams everybody may call without a key. "
                    "Make another one first, or ask for open_to_all."
                )
            gone = [Change(Kind.KEY, key.id, None) for key in self._keys_of(name)]
            return None, [*gone, Change(Kind.TEAM, name, None)]

        await self._change(plan)

    async def list_keys(self, team: str | None = None) -> tuple[Key, ...]:
        """Return all keys, or the team's, by team and in the order they were made."""
        await self.refresh()
        if team is not None:
            self._team(team)
        return self._keys_of(team)

    async def show_key(self, identity: str) -> Key:
        """Return the key, wherever it was made."""
        await self.refresh()
        return self._key(identity)

    async def add_key(self, team: str, policy: KeyPolicy) -> tuple[str, Key]:
        """Make a key; it is returned here, as the only time that it is known, with what is kept of it."""

        def plan() -> tuple[tuple[str, Key], list[Change]]:
            self._team(team)
            key, stored = _new_key(team, policy)
            return (key, stored.key()), [_keeping(stored)]

        return await self._change(plan)

    async def rotate_key(self, identity: str, grace: timedelta = timedelta(0)) -> tuple[str, Key]:
        """Make a key that follows this one, with all that holds for it, and on the same budgets of each key.

        This one expires after the grace.
        """

        def plan() -> tuple[tuple[str, Key], list[Change]]:
            old = self._made_key(identity)
            self._team(old.team)
            key, stored = _new_key(old.team, old.policy, old.first or old.id)
            return (key, stored.key()), [_keeping(stored), _retiring(old, grace)]

        return await self._change(plan)

    async def revoke_key(self, identity: str) -> None:
        """Let the key be refused from now on."""
        await self._change(lambda: (None, [Change(Kind.KEY, self._made_key(identity).id, None)]))

    async def _change(self, plan: Callable[[], tuple[_Made, Sequence[Change]]]) -> _Made:
        """Make the changes that `plan` finds right by what is known, all or none; return what it says is made.

        Where another process was quicker it is asked again, about what is known then.
        """
        async with self._changing:
            for _ in range(_TRIES):
                await self.refresh()
                made, changes = plan()
                if await self._store.change(changes, self._version or 0):
                    with suppress(StoreUnavailableError):  # It is written; the next poll sees it.
                        await self.refresh()
                    return made
        raise ConflictError("Others change teams and keys all the time; please try again.")

    def _team(self, name: str) -> Team:
        team = self._known.teams.get(name)
        if team is None:
            raise UnknownNameError(f"There is no team {name}.")
        return team

    def _key(self, identity: str) -> Key:
        key = self._known.keys.get(identity)
        if key is None:
            raise UnknownNameError(f"There is no key {identity}.")
        return key

    def _made_key(self, identity: str) -> Key:
        key = self._key(identity)
        if key.source is Source.CONFIGURATION:
            raise ConflictError(f"Key {identity} is declared in the configuration; it can only be taken out there.")
        return key

    def _keys_of(self, team: str | None) -> tuple[Key, ...]:
        keys = (key for key in self._known.keys.values() if team is None or key.team == team)
        return tuple(sorted(keys, key=lambda key: (key.team, key.created.timestamp() if key.created else 0.0, key.id)))


def _changeable(team: Team) -> None:
    if team.source is Source.CONFIGURATION:
        raise ConflictError(f"Team {team.name} is declared in the configuration; it can only be changed there.")


def _new_key(team: str, policy: KeyPolicy, first: str | None = None) -> tuple[str, StoredKey]:
    if policy.expires is not None and policy.expires <= datetime.now(UTC):
        raise InvalidRequestError("expected a time to come", "expires")
    key = new_key()
    return key, StoredKey.of(key, team, policy, first)


def _keeping(stored: StoredKey) -> Change:
    # Without what is not there, so that an earlier release can read what it knows of.
    return Change(Kind.KEY, stored.key().id, stored.model_dump_json(exclude_none=True).encode())


def _retiring(old: Key, grace: timedelta) -> Change:
    if grace <= timedelta(0):
        return Change(Kind.KEY, old.id, None)
    ends = datetime.now(UTC) + grace
    return _keeping(old.stored(min(ends, old.policy.expires) if old.policy.expires else ends))
