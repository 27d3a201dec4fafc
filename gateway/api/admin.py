"""The operators' API of teams and keys."""

from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response
from fastapi.security import HTTPBearer
from pydantic import BaseModel, Field

from gateway.api.operators import Access, ErrorReply, guarded
from gateway.policies import KeyPolicy, Section, TeamPolicy
from gateway.teams.known import Key, Source, Team
from gateway.teams.roster import Roster

PREFIX = "/admin/"
BASE = "/admin/v1"
# A key is in this reply only, and must not stay anywhere on its way.
_UNKEPT = {"cache-control": "no-store"}


class NewTeam(TeamPolicy):
    """A team to make."""

    name: str = Field(description="1 to 64 letters, digits, dots, dashes, underscores")

    @property
    def policy(self) -> TeamPolicy:
        """What shall hold for it."""
        return TeamPolicy.model_validate(self.model_dump(exclude={"name"}, exclude_unset=True))


class TeamReply(TeamPolicy):
    """A team, with what holds for it."""

    name: str
    source: Source = Field(description="where it was declared; one of the configuration can't be changed here")
    keys: int = Field(description="how many keys it has, expired ones too")

    @classmethod
    def of(cls, team: Team) -> "TeamReply":
        """Return the team as it is shown."""
        return cls.model_validate(team.shown())


class TeamList(BaseModel):
    """Teams by name."""

    data: list[TeamReply]


class KeyReply(BaseModel):
    """A key, as far as it is known."""

    id: str
    team: str
    name: str = Field(description="or its first characters, where it was given none")
    models: tuple[str, ...]
    expires: datetime | None
    expired: bool
    created: datetime | None = Field(description="null for a key of the configuration")
    start: str = Field(description="its first characters")
    source: Source = Field(description="where it was declared; one of the configuration can't be revoked here")

    @classmethod
    def of(cls, key: Key) -> "KeyReply":
        """Return the key as it is shown."""
        return cls.model_validate(key.shown())


class NewKeyReply(KeyReply):
    """A key that was just made."""

    key: str = Field(description="the key itself, which is shown this once")


class KeyList(BaseModel):
    """Keys by team, in the order they were made."""

    data: list[KeyReply]


class Rotation(Section):
    """How a key is replaced."""

    grace_s: int = Field(0, ge=0, le=366 * 86400, description="seconds for which the old key goes on to work")


def router(access: Access) -> APIRouter:
    """Return an empty router of the operators' API, for whom `access` lets in."""
    bearer = HTTPBearer(auto_error=False, description="admin.token of the configuration; to look, admin.read_token")
    errors: dict[int | str, dict[str, object]] = {"4XX": {"model": ErrorReply}, "503": {"model": ErrorReply}}
    return APIRouter(prefix=BASE, route_class=guarded(access), dependencies=[Depends(bearer)], responses=errors)


def routes(roster: Roster, access: Access) -> APIRouter:
    """Return the routes, for whom `access` lets in."""
    found = router(access)
    _add_teams(found, roster)
    _add_keys(found, roster)
    return found


def _add_teams(found: APIRouter, roster: Roster) -> None:
    @found.get("/teams", summary="All teams", tags=["teams"])
    async def list_teams() -> TeamList:
        return TeamList(data=[TeamReply.of(team) for team in await roster.list_teams()])

    @found.post("/teams", summary="Make a team", status_code=201, tags=["teams"])
    async def add_team(new: NewTeam) -> TeamReply:
        return TeamReply.of(await roster.add_team(new.name, new.policy))

    @found.get("/teams/{name}", summary="One team", tags=["teams"])
    async def show_team(name: str) -> TeamReply:
        return TeamReply.of(await roster.show_team(name))

    @found.put("/teams/{name}", summary="Let another policy hold for a team", tags=["teams"])
    async def change_team(name: str, policy: TeamPolicy) -> TeamReply:
        return TeamReply.of(await roster.change_team(name, policy))

    @found.delete("/teams/{name}", summary="Remove a team", status_code=204, tags=["teams"])
    async def remove_team(
        name: str,
        cascade: Annotated[bool, Query(description="revoke its keys too")] = False,
        open_to_all: Annotated[bool, Query(description="even the last one, after which no key is needed")] = False,
    ) -> None:
        await roster.remove_team(name, cascade, open_to_all)


def _add_keys(found: APIRouter, roster: Roster) -> None:
    @found.get("/keys", summary="All keys", tags=["keys"])
    async def list_keys() -> KeyList:
        return KeyList(data=[KeyReply.of(key) for key in await roster.list_keys()])

    @found.get("/teams/{name}/keys", summary="A team's keys", tags=["keys"])
    async def list_keys_of(name: str) -> KeyList:
        return KeyList(data=[KeyReply.of(key) for key in await roster.list_keys(name)])

    @found.post("/teams/{name}/keys", summary="Make a key, shown in this reply only", status_code=201, tags=["keys"])
    async def add_key(name: str, response: Response, policy: KeyPolicy | None = None) -> NewKeyReply:
        response.headers.update(_UNKEPT)
        return _new(*await roster.add_key(name, policy or KeyPolicy()))

    @found.post("/keys/{key_id}/rotate", summary="Replace a key by a new one", status_code=201, tags=["keys"])
    async def rotate_key(key_id: str, response: Response, how: Rotation | None = None) -> NewKeyReply:
        response.headers.update(_UNKEPT)
        grace = timedelta(seconds=how.grace_s if how else 0)
        return _new(*await roster.rotate_key(key_id, grace))

    @found.delete("/keys/{key_id}", summary="Revoke a key", status_code=204, tags=["keys"])
    async def revoke_key(key_id: str) -> None:
        await roster.revoke_key(key_id)


def _new(key: str, made: Key) -> NewKeyReply:
    return NewKeyReply.model_validate({**made.shown(), "key": key})
