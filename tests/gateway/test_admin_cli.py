import asyncio
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gateway import stores
from gateway.cli import main
from gateway.config import load
from gateway.errors import AuthenticationError
from gateway.teams.keys import Caller, digest
from gateway.teams.roster import Roster

DECLARED = "sk-declared-1234"
CONFIG = f"""
upstreams: {{main: {{base_url: "http://127.0.0.1:1/v1"}}}}
teams: {{declared: {{keys: [{DECLARED}]}}}}
"""


class Shell:
    """A shell beside a configuration file."""

    def __init__(self, folder: Path) -> None:
        self.config = folder / "gateway.yaml"
        self.config.write_text(CONFIG)

    def run(self, *words: str) -> str:
        """Run a command that succeeds, and return what it printed."""
        done = CliRunner().invoke(main, [*words, "--config", str(self.config)])
        assert (done.exit_code, done.stderr) == (0, ""), done.output
        return done.stdout

    def json(self, *words: str) -> Any:
        return json.loads(self.run(*words, "--json"))

    def complaint(self, *words: str) -> str:
        """Run a command that fails, and return what it complained of."""
        done = CliRunner().invoke(main, [*words, "--config", str(self.config)])
        assert (done.exit_code, done.stdout) == (2, "")
        assert done.stderr.count("\n") == 1
        return done.stderr.strip()

    def caller(self, key: str) -> Caller:
        """Return whom a gateway of this configuration sees in the key."""
        return asyncio.run(self._caller(key))

    async def _caller(self, key: str) -> Caller:
        settings = load(self.config)
        async with stores.opened(settings, self.config) as store:
            roster = Roster(settings, store)
            await roster.refresh()
            return roster.keyring.caller(f"Bearer {key}", datetime.now(UTC).timestamp())


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def test_from_nothing_to_a_key_and_back(shell: Shell) -> None:
    assert "team acme is made" in shell.run("teams", "add", "acme", "budget.usd=5", "budget.period=day")
    key = shell.run("keys", "add", "acme", "--quiet").removesuffix("\n")
    assert re.fullmatch(r"sk-cg-[\w-]{32}", key)
    caller = shell.caller(key)
    assert (caller.team, caller.policy.budgets[0].usd) == ("acme", 5)
    assert caller.key in shell.run("keys", "list")
    assert f"{caller.key} is revoked" in shell.run("keys", "revoke", caller.key)
    with pytest.raises(AuthenticationError):
        shell.caller(key)
    assert "team acme is removed" in shell.run("teams", "remove", "acme")
    assert [team["name"] for team in shell.json("teams", "list")] == ["declared"]


def test_a_team_is_shown_by_the_fields_it_was_made_of(shell: Shell) -> None:
    shell.run("teams", "add", "acme", "budget.usd=5", "budget.soft=[50, 80]", "limits.concurrent=8", "models=[o3]")
    rows = {row[0]: row[1] for line in shell.run("teams", "show", "acme").splitlines() if (row := line.split())}
    assert rows == {
        "field": "value",
        "team": "acme",
        "source": "store",
        "keys": "0",
        "budget.usd": "5.0",
        "budget.soft": "[50,80]",
        "limits.concurrent": "8",
        "models": '["o3"]',
    }
    shown = shell.json("teams", "show", "acme")
    assert (shown["name"], shown["budget"]["usd"], shown["limits"]["concurrent"]) == ("acme", 5, 8)


def test_a_change_leaves_what_it_does_not_name(shell: Shell) -> None:
    shell.run("teams", "add", "acme", "budget.usd=5", "limits.concurrent=8")
    shell.run("teams", "change", "acme", "budget.usd=7")
    shown = shell.json("teams", "show", "acme")
    assert (shown["budget"]["usd"], shown["limits"]["concurrent"]) == (7, 8)
    shell.run("teams", "change", "acme", "budget=null")
    assert shell.json("teams", "show", "acme")["budget"] is None


def test_a_policy_can_come_from_a_file(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text("budget: [{usd: 5}, {tokens: 1000, period: hour, per: user}]\n")
    shell.run("teams", "add", "acme", "--policy", str(file), "models=[o3]")
    shown = shell.json("teams", "show", "acme")
    assert [(one["usd"], one["tokens"]) for one in shown["budget"]] == [(5, None), (None, 1000)]
    assert "budget.1.per=user" in " ".join(shell.run("teams", "list").split())


def test_a_key_with_all_that_can_be_said_of_it(shell: Shell) -> None:
    words = ("--name", "ci", "--model", "o3", "--model", "gpt-4o", "--expires", "30d")
    made = shell.json("keys", "add", "declared", *words)
    left = datetime.fromisoformat(made["expires"]) - datetime.now(UTC)
    assert timedelta(days=29, hours=23) < left <= timedelta(days=30)
    assert (made["name"], made["models"], made["team"]) == ("ci", ["o3", "gpt-4o"], "declared")
    assert made["id"] == f"key_{digest(made['key'])[:12]}"
    assert shell.caller(made["key"]).models == {"o3", "gpt-4o"}
    ends = shell.json("keys", "add", "declared", "--expires", "2099-01-31T12:00:00+01:00")["expires"]
    assert datetime.fromisoformat(ends) == datetime(2099, 1, 31, 11, tzinfo=UTC)


def test_a_key_is_shown_when_it_is_made_and_never_again(shell: Shell) -> None:
    said = shell.run("keys", "add", "declared")
    key = said.splitlines()[-1]
    assert said.splitlines()[0] == f"{shell.caller(key).key} of team declared, shown this once:"
    listed = shell.run("keys", "list") + shell.run("keys", "list", "--json")
    assert key not in listed
    assert DECLARED not in listed
    assert {found["source"] for found in shell.json("keys", "list")} == {"configuration", "store"}


def test_one_key_is_shown_by_its_id_wherever_it_was_made(shell: Shell) -> None:
    made = shell.json("keys", "add", "declared", "--name", "ci")
    assert shell.json("keys", "show", made["id"]) == {name: value for name, value in made.items() if name != "key"}
    said = shell.run("keys", "show", made["id"])
    assert "ci" in said
    assert made["key"] not in said
    assert shell.complaint("keys", "show", "key_none") == "There is no key key_none."


def test_keys_are_listed_by_team(shell: Shell) -> None:
    shell.run("teams", "add", "acme")
    shell.run("keys", "add", "acme")
    assert [key["team"] for key in shell.json("keys", "list", "--team", "acme")] == ["acme"]
    assert [key["team"] for key in shell.json("keys", "list")] == ["acme", "declared"]


def test_a_rotated_key_is_followed_by_another(shell: Shell) -> None:
    old = shell.json("keys", "add", "declared", "--name", "ci")
    new = shell.run("keys", "rotate", old["id"], "--grace", "1h", "--quiet").strip()
    assert shell.caller(new).team == shell.caller(old["key"]).team == "declared"
    last = shell.run("keys", "rotate", shell.caller(new).key, "--quiet").strip()
    assert shell.caller(last).team == "declared"
    with pytest.raises(AuthenticationError):
        shell.caller(new)


@pytest.mark.parametrize(
    "words, said",
    [
        ("teams show nobody", "There is no team nobody."),
        ("teams add declared", "There is a team declared already."),
        ("teams add a/b", "name: expected a name"),
        ("teams add acme budget.usd=much", "budget.usd: expected a valid number"),
        ("teams add acme --policy /nowhere/policy.yaml", "/nowhere/policy.yaml: No such file"),
        ("teams change declared budget.usd=5", "Team declared is declared in the configuration"),
        ("teams change declared", "nothing to change"),
        ("teams remove declared --cascade", "Team declared is declared in the configuration"),
        ("keys add nobody", "There is no team nobody."),
        ("keys add declared --expires tomorrow", "--expires tomorrow: expected a time with its zone, such as"),
        ("keys add declared --expires 9999999d", "--expires 9999999d: expected a time with its zone, such as"),
        ("keys add declared --expires 2099-01-31T12:00:00", "expires: expected a time with its zone"),
        ("keys add declared --expires 0s", "expires: expected a time to come"),
        ("keys list --team nobody", "There is no team nobody."),
        ("keys rotate key_none", "There is no key key_none."),
        ("keys add declared --expires 999999w", "--expires 999999w: expected 36500d at most"),
        ("keys rotate key_none --grace soon", "--grace soon: expected a time"),
        ("keys rotate key_none --grace 999999w", "--grace 999999w: expected a time"),
        ("keys revoke key_none", "There is no key key_none."),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(shell: Shell, words: str, said: str) -> None:
    assert shell.complaint(*words.split()).startswith(said)


@pytest.mark.parametrize("value", ["!!bool x", "!!timestamp x", "!!int x", "[" * 3000])
def test_a_value_or_a_file_that_yaml_can_not_read_is_said_in_one_line(shell: Shell, tmp_path: Path, value: str) -> None:
    said = shell.complaint("teams", "add", "b", f"budget.usd={value}")
    assert said.startswith("budget.usd: expected a value such as 5")
    file = tmp_path / "policy.yaml"
    file.write_text(f"budget:\n  usd: {value}\n")
    assert shell.complaint("teams", "add", "b", "--policy", str(file)).startswith(f"{file}:")


def test_the_last_team_and_a_team_with_keys_go_only_when_that_is_meant(shell: Shell) -> None:
    shell.config.write_text("windowing: {mode: 'off'}\n")
    shell.run("teams", "add", "acme")
    shell.run("keys", "add", "acme")
    assert "revoke them first" in shell.complaint("teams", "remove", "acme")
    assert "the last team" in shell.complaint("teams", "remove", "acme", "--cascade")
    shell.run("teams", "remove", "acme", "--cascade", "--open-to-all")
    assert shell.caller("anything").team == "default"


def test_a_store_that_cannot_be_used_is_said_in_one_line(shell: Shell) -> None:
    shell.config.write_text(f"store: {{path: {shell.config}/gateway.db}}\n")
    assert shell.complaint("teams", "list").startswith("the store can't be used: ")


def test_every_command_can_answer_in_json(shell: Shell) -> None:
    assert shell.json("teams", "add", "acme", "limits.concurrent=3")["name"] == "acme"
    assert shell.json("teams", "change", "acme", "limits.concurrent=4")["limits"]["concurrent"] == 4
    made = shell.json("keys", "add", "acme")
    assert shell.json("keys", "revoke", made["id"]) == {"id": made["id"], "revoked": True}
    assert shell.json("teams", "remove", "acme") == {"name": "acme", "removed": True}
