from pathlib import Path

import pytest

from gateway.errors import InvalidRequestError
from gateway.policies import BudgetSettings, Route, TeamPolicy
from gateway.teams.fields import fields_of, policy_of
from gateway.yaml_source import ConfigError

TWO = TeamPolicy.model_validate({"budget": [{"usd": 5}, {"tokens": 10, "period": "day"}]})


def test_fields_are_set_by_their_path() -> None:
    policy = policy_of(
        None,
        (
            "budget.usd=5",
            "budget.period=day",
            "budget.soft=[50, 80]",
            "budget.narrow={80: 1000}",
            "limits.concurrent=8",
            "models=[gpt-4o, o3]",
            "routes=[chat]",
            "windowing.mode=off",
        ),
    )
    assert policy.budget == BudgetSettings(usd=5, period="day", soft=(50, 80), narrow={80: 1000})
    assert (policy.limits.concurrent, policy.models, policy.routes) == (8, ("gpt-4o", "o3"), (Route.CHAT,))
    assert policy.windowing.mode == "off"


def test_fields_come_on_top_of_what_held_before() -> None:
    before = policy_of(None, ("budget.usd=5", "budget.period=day", "limits.concurrent=8"))
    after = policy_of(None, ("budget.usd=7", "limits={}"), before)
    assert after.budget == BudgetSettings(usd=7, period="day")
    assert after.limits.concurrent is None
    assert policy_of(None, ("budget=null",), before).budget is None


def test_a_file_is_the_whole_policy_and_fields_come_on_top(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text("budget:\n  - {usd: 5}\n  - {tokens: 10, period: day}\nmodels: ['${MODEL}']\n")
    monkeypatch.setenv("MODEL", "o3")
    policy = policy_of(file, ("limits.concurrent=8",), TeamPolicy(routes=(Route.CHAT,)))
    assert (policy.budgets, policy.models, policy.routes) == (TWO.budgets, ("o3",), None)
    assert policy.limits.concurrent == 8


@pytest.mark.parametrize(
    "field, param, said",
    [
        ("budget", "budget", "expected FIELD=VALUE"),
        ("=5", "=5", "expected FIELD=VALUE"),
        ("budget.usd=", "budget.usd", "expected a valid number"),
        ("budget.usd=much", "budget.usd", "expected a valid number"),
        ("budget.usd=[", "budget.usd", "expected a value such as"),
        ("budget.usd=#", "budget.usd", "expected a value such as"),
        ("models=${MODEL}", "models", "expected a value such as"),
        ("budget.period=day", "budget", "expected either usd or tokens"),
        ("budgets.usd=5", "budgets", "unknown field"),
        ("windowing.mode.on=5", "windowing.mode", "expected 'on', 'shadow' or 'off'"),
    ],
)
def test_what_makes_no_sense_is_named(field: str, param: str, said: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        policy_of(None, (field,))
    assert caught.value.param == param
    assert str(caught.value).startswith(said)


def test_one_of_several_budgets_cannot_be_set_by_its_field() -> None:
    with pytest.raises(InvalidRequestError, match="not a single object"):
        policy_of(None, ("budget.usd=7",), TWO)


@pytest.mark.parametrize(
    "text, said",
    [
        (None, "No such file or directory"),
        (b"\xff", "expected UTF-8 text"),
        (b"- usd: 5", "policy.yaml:1: expected fields"),
        (b"a: [", "policy.yaml:1: not valid YAML"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, text: bytes | None, said: str) -> None:
    file = tmp_path / "policy.yaml"
    if text is not None:
        file.write_bytes(text)
    with pytest.raises(ConfigError) as caught:
        policy_of(file, ())
    assert str(file) in str(caught.value)
    assert said in str(caught.value)


def test_a_policy_is_shown_by_the_fields_that_say_something() -> None:
    assert list(fields_of(TeamPolicy())) == []
    assert list(fields_of(TWO)) == [("budget.0.usd", 5.0), ("budget.1.tokens", 10), ("budget.1.period", "day")]


def test_what_is_shown_of_a_single_budget_can_be_typed() -> None:
    policy = policy_of(None, ("budget.usd=5", "budget.narrow={80: 1000}", "models=[a, b]", "limits.concurrent=8"))
    shown = dict(fields_of(policy))
    assert shown == {"budget.usd": 5.0, "budget.narrow.80": 1000, "models": ["a", "b"], "limits.concurrent": 8}
    assert policy_of(None, [f"{field}={value}" for field, value in shown.items()]) == policy
