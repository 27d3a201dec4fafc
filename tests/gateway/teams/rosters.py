"""A roster on a store of its own, which can go away for a while."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from gateway.config import Settings
from gateway.store.contract import Change, Kind, Store, StoreUnavailableError
from gateway.store.sqlite import SqliteStore
from gateway.teams.roster import Roster


class UnsteadyStore(SqliteStore):
    """A store whose documents can't be reached while it is `away`; counts how often they were read."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "process")
        self.away = False
        self.reads = 0

    async def version(self) -> int:
        self._reach()
        return await super().version()

    async def documents(self, kind: Kind) -> Mapping[str, bytes]:
        self._reach()
        self.reads += 1
        return await super().documents(kind)

    async def change(self, changes: Sequence[Change], version: int) -> bool:
        self._reach()
        return await super().change(changes, version)

    def _reach(self) -> None:
        if self.away:
            raise StoreUnavailableError("no answer within 50 ms")


@asynccontextmanager
async def unsteady_store(folder: Path) -> AsyncIterator[UnsteadyStore]:
    """Open a store in the folder."""
    store = UnsteadyStore(folder / "gateway.db")
    await store.open()
    try:
        yield store
    finally:
        await store.close()


def settings_of(**teams: object) -> Settings:
    """Return settings with these teams."""
    return Settings.model_validate({"upstreams": {"main": {"base_url": "http://127.0.0.1:1/v1"}}, "teams": teams})


class Replica:
    """One process's roster; what it reported is at hand."""

    def __init__(self, store: Store, **teams: Any) -> None:
        self.reported: list[tuple[str, str]] = []
        self.roster = Roster(settings_of(**teams), store, lambda *said: self.reported.append(said))

    def team_of(self, key: str) -> str:
        """Return the team that the key leads to now."""
        return self.roster.keyring.caller(f"Bearer {key}", 0.0).team
