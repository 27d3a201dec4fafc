"""A roster on a store of its own, which can go away for a while."""

from collections.abc import Mapping
from typing import Any, cast

from gateway.config import Settings
from gateway.store.contract import Kind, Store, StoreUnavailableError
from gateway.teams.roster import Roster


class UnsteadyStore:
    """The documents of a store, as long as it is not `away`; counts how often they were read."""

    def __init__(self) -> None:
        self.away = False
        self.reads = 0
        self._number = 0
        self._held: dict[Kind, dict[str, bytes]] = {kind: {} for kind in Kind}

    async def version(self) -> int:
        self._there()
        return self._number

    async def documents(self, kind: Kind) -> Mapping[str, bytes]:
        self._there()
        self.reads += 1
        return dict(self._held[kind])

    async def put(self, kind: Kind, name: str, document: bytes | None) -> None:
        self._there()
        self._number += 1
        self._held[kind].pop(name, None)
        if document is not None:
            self._held[kind][name] = document

    def _there(self) -> None:
        if self.away:
            raise StoreUnavailableError("no answer within 50 ms")


def settings_of(**teams: object) -> Settings:
    """Return settings with these teams."""
    return Settings.model_validate({"upstreams": {"main": {"base_url": "http://127.0.0.1:1/v1"}}, "teams": teams})


class Replica:
    """One process's roster; what it reported is at hand."""

    def __init__(self, store: UnsteadyStore, **teams: Any) -> None:
        self.reported: list[tuple[str, str]] = []
        self.roster = Roster(settings_of(**teams), cast(Store, store), lambda *said: self.reported.append(said))

    def team_of(self, key: str) -> str:
        """Return the team that the key leads to now."""
        return self.roster.keyring.caller(f"Bearer {key}", 0.0).team
