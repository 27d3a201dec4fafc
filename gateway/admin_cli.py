"""`context-gateway teams` and `keys`: on the store that the configuration names, with or without a server running."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, TypeVar

import orjson
import typer
from pydantic import ValidationError

from gateway import stores
from gateway.errors import GatewayError
from gateway.policies import KeyPolicy
from gateway.store.contract import StoreUnavailableError
from gateway.teams.fields import fields_of, policy_of
from gateway.teams.known import Key, Team
from gateway.teams.mistakes import first_mistake
from gateway.teams.roster import Roster
from gateway.terminal import ConfigOption, JsonOption, duration, fail, load_or_exit, show_table
from gateway.yaml_source import ConfigError

teams = typer.Typer(help="Make, show, change and remove teams.", no_args_is_help=True)
keys = typer.Typer(help="Make, list, rotate and revoke teams' keys.", no_args_is_help=True)

_LONGEST = timedelta(days=36_500)  # from now on; what is much later is no date

_Result = TypeVar("_Result")

TeamName = Annotated[str, typer.Argument(metavar="TEAM", help="The team's name.")]
KeyId = Annotated[str, typer.Argument(metavar="KEY", help="The key's id, as `keys list` shows it.")]
Fields = Annotated[
    list[str] | None,
    typer.Argument(metavar="FIELD=VALUE", help="As in budget.usd=5 budget.period=day limits.concurrent=8."),
]
PolicyFile = Annotated[Path | None, typer.Option("--policy", help="YAML file with the fields, as under teams.NAME.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print the key alone.")]


@teams.command("add")
def add_team(
    team: TeamName,
    fields: Fields = None,
    policy: PolicyFile = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a team."""
    made = _on_roster(config, lambda roster: roster.add_team(team, policy_of(policy, fields or ())))
    _tell(f"team {made.name} is made; `keys add {made.name}` makes a key for it", made.shown(), as_json)


@teams.command("change")
def change_team(
    team: TeamName,
    fields: Fields = None,
    policy: PolicyFile = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Change what holds for a team: the fields named, or all of it with --policy; `budget=null` takes a field back."""
    if not fields and policy is None:
        fail("nothing to change; name a field, as in budget.usd=5, or a file with --policy")
    changed = _on_roster(
        config, lambda roster: roster.edit_team(team, lambda before: policy_of(policy, fields or (), before))
    )
    _tell(f"team {team} is changed", changed.shown(), as_json)


@teams.command("list")
def list_teams(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List all teams."""
    found = _on_roster(config, lambda roster: roster.list_teams())
    if as_json:
        _print_json([team.shown() for team in found])
    else:
        show_table(("team", "source", "keys", "policy"), [_team_row(team) for team in found])


def _team_row(team: Team) -> tuple[str, ...]:
    said = (f"{field}={_text(value)}" for field, value in fields_of(team.policy))
    return team.name, team.source, str(team.keys), " ".join(said)


@teams.command("show")
def show_team(team: TeamName, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show what holds for a team."""
    found = _on_roster(config, lambda roster: roster.show_team(team))
    if as_json:
        _print_json(found.shown())
    else:
        facts = [("team", found.name), ("source", found.source), ("keys", str(found.keys))]
        said = [(field, _text(value)) for field, value in fields_of(found.policy)]
        show_table(("field", "value"), [*facts, *said])


@teams.command("remove")
def remove_team(
    team: TeamName,
    cascade: Annotated[bool, typer.Option("--cascade", help="Revoke its keys too.")] = False,
    open_to_all: Annotated[
        bool, typer.Option("--open-to-all", help="Even the last team: no key is needed then.")
    ] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove a team."""
    _on_roster(config, lambda roster: roster.remove_team(team, cascade, open_to_all))
    _tell(f"team {team} is removed", {"name": team, "removed": True}, as_json)


@keys.command("add")
def add_key(  # noqa: PLR0913, PLR0917 - an option each
    team: TeamName,
    name: Annotated[str, typer.Option(help="What it is shown as; by default its first characters.")] = "",
    model: Annotated[list[str] | None, typer.Option(help="A model it may ask for; may be repeated.")] = None,
    expires: Annotated[str | None, typer.Option(help="A time, 2027-01-31T12:00:00Z, or from now, 90d.")] = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Make a key for a team; it is shown this once."""
    policy = _key_policy(name, model or (), expires)
    _show_new(_on_roster(config, lambda roster: roster.add_key(team, policy)), quiet, as_json)


def _key_policy(name: str, models: Sequence[str], expires: str | None) -> KeyPolicy:
    wait = duration(expires) if expires else None
    if wait is not None and wait > _LONGEST:
        fail(f"--expires {expires}: expected {_LONGEST.days}d at most; without it a key does not expire")
    ends = expires if wait is None else datetime.now(UTC) + wait
    try:
        return KeyPolicy.model_validate({"name": name, "models": models, "expires": ends})
    except ValidationError as error:
        field, said = first_mistake(error.errors())
        if str(error.errors()[0]["type"]).startswith("datetime"):
            fail(f"--expires {expires}: expected a time with its zone, such as 2027-01-31T12:00:00Z, or from now, 90d")
        fail(f"{field or 'expires'}: {said}")


@keys.command("rotate")
def rotate_key(
    key: KeyId,
    grace: Annotated[str, typer.Option(help="How long the old key goes on to work, as in 24h.")] = "0s",
    quiet: QuietOption = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Replace a key by a new one, for which the same holds; it is shown this once."""
    wait = duration(grace)
    if wait is None or wait > _LONGEST:
        fail(f"--grace {grace}: expected a time such as 90s, 15m, 24h or 7d, {_LONGEST.days}d at most")
    _show_new(_on_roster(config, lambda roster: roster.rotate_key(key, wait)), quiet, as_json)


def _show_new(made: tuple[str, Key], quiet: bool, as_json: bool) -> None:
    key, kept = made
    if as_json:
        _print_json({**kept.shown(), "key": key})
    elif quiet:
        typer.echo(key)
    else:
        typer.echo(f"{kept.id} of team {kept.team}, shown this once:\n{key}")


@keys.command("list")
def list_keys(
    team: Annotated[str | None, typer.Option(help="Only this team's.")] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List keys, without what they are."""
    found = _on_roster(config, lambda roster: roster.list_keys(team))
    if as_json:
        _print_json([key.shown() for key in found])
    else:
        show_table(("key", "team", "name", "models", "expires", "source"), [_key_row(key) for key in found])


@keys.command("show")
def show_key(key: KeyId, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show what holds for a key, without what it is."""
    found = _on_roster(config, lambda roster: roster.show_key(key))
    if as_json:
        _print_json(found.shown())
    else:
        show_table(("field", "value"), [(name, _text(value)) for name, value in found.shown().items()])


def _key_row(key: Key) -> tuple[str, ...]:
    ends = key.policy.expires
    expires = "expired" if key.expired else f"{ends:%Y-%m-%d %H:%M %Z}" if ends else "never"
    return (
        key.id,
        key.team,
        key.policy.name or f"{key.start}…",
        ", ".join(key.policy.models) or "all",
        expires,
        key.source,
    )


@keys.command("revoke")
def revoke_key(key: KeyId, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Let a key be refused from now on, by every gateway within a second."""
    _on_roster(config, lambda roster: roster.revoke_key(key))
    _tell(f"{key} is revoked", {"id": key, "revoked": True}, as_json)


def _on_roster(config: Path | None, work: Callable[[Roster], Awaitable[_Result]]) -> _Result:
    """Do the work on the configuration's store, or end the command with what is in its way."""
    settings = load_or_exit(config)

    async def run() -> _Result:
        async with stores.opened(settings, config) as store:
            return await work(Roster(settings, store))

    try:
        return asyncio.run(run())
    except GatewayError as error:
        fail(f"{error.param}: {error}" if error.param else str(error))
    except ConfigError as error:
        fail(str(error))
    except StoreUnavailableError as error:
        fail(f"the store can't be used: {error}")


def _tell(said: str, value: object, as_json: bool) -> None:
    if as_json:
        _print_json(value)
    else:
        typer.echo(said)


def _text(value: object) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _print_json(value: object) -> None:
    options = orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS | orjson.OPT_UTC_Z
    typer.echo(orjson.dumps(value, option=options).decode())
