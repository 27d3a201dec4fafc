import pytest
from pydantic import ValidationError

from gateway.policies import BudgetSettings, KeyPolicy, RateSettings, Route, TeamPolicy, TeamSettings, TeamWindowing


def test_a_budget_is_one_several_or_none() -> None:
    one = TeamPolicy.model_validate({"budget": {"usd": 5}})
    two = TeamPolicy.model_validate({"budget": [{"usd": 5}, {"tokens": 100, "period": "day"}]})
    assert [budget.usd for budget in one.budgets] == [5]
    assert [(budget.usd, budget.tokens) for budget in two.budgets] == [(5, None), (None, 100)]
    assert TeamPolicy().budgets == ()


@pytest.mark.parametrize(
    "budget",
    [
        {},
        {"usd": 1, "tokens": 1},
        {"usd": -1},
        {"usd": 1, "period": "year"},
        {"usd": 1, "time_zone": "Mars/Olympus"},
        {"usd": 1, "time_zone": "../etc/passwd"},
        {"usd": 1, "soft": [0]},
        {"usd": 1, "soft": [100]},
        {"usd": 1, "narrow": {"80": 10}},
        {"usd": 1, "per": "planet"},
        {"usd": 1, "colour": "red"},
    ],
)
def test_a_budget_that_makes_no_sense_is_refused(budget: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        BudgetSettings.model_validate(budget)


def test_who_has_no_limit_of_any_kind() -> None:
    assert TeamPolicy().unlimited
    assert TeamPolicy(models=("gpt-4o",), routes=(Route.CHAT,)).unlimited
    assert not TeamPolicy(limits=RateSettings(concurrent=1)).unlimited
    assert not TeamPolicy.model_validate({"budget": {"tokens": 0}}).unlimited


def test_a_key_is_written_plainly_or_with_what_holds_for_it() -> None:
    team = TeamSettings.model_validate({"keys": ["sk-plain-1", {"key": "sk-other-2", "models": ["gpt-4o"]}]})
    assert [key.key.get_secret_value() for key in team.keys] == ["sk-plain-1", "sk-other-2"]
    assert [key.models for key in team.keys] == [(), ("gpt-4o",)]
    assert "sk-plain-1" not in repr(team)
    with pytest.raises(ValidationError):
        TeamSettings.model_validate({"keys": ["short"]})


def test_a_key_expires_at_a_moment_not_at_a_time_of_somewhere() -> None:
    assert KeyPolicy.model_validate({"expires": "2027-01-31T12:00:00Z"}).expires is not None
    with pytest.raises(ValidationError):
        KeyPolicy.model_validate({"expires": "2027-01-31T12:00:00"})


def test_yamls_bare_words_are_modes() -> None:
    assert TeamWindowing.model_validate({"mode": False}).mode == "off"
    assert TeamWindowing.model_validate({"mode": True}).mode == "on"
