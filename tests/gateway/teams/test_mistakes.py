import pytest
from pydantic import ValidationError

from gateway.policies import KeyPolicy, TeamPolicy
from gateway.teams.mistakes import first_mistake


@pytest.mark.parametrize(
    "policy, field, said",
    [
        ({"budget": {"usd": -1}}, "budget.usd", "expected greater than or equal to 0"),
        ({"budget": [{"usd": 1}, {"usd": 1, "soft": [120]}]}, "budget.1.soft.0", "expected less than 100"),
        ({"budget": {}}, "budget", "expected either usd or tokens"),
        ({"budget": 3}, "budget", "expected an object with fields"),
        ({"models": "gpt-4o"}, "models", "expected a list"),
        ({"limits": {"per_minute": 1}}, "limits.per_minute", "unknown field"),
        ({"windowing": {"mode": "maybe"}}, "windowing.mode", "expected 'on', 'shadow' or 'off'"),
    ],
)
def test_the_field_and_what_is_expected_are_named(policy: dict[str, object], field: str, said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        TeamPolicy.model_validate(policy)
    assert first_mistake(caught.value.errors()) == (field, said)


def test_where_a_server_found_it_is_no_part_of_the_field() -> None:
    missing = {"loc": ("body", "name"), "msg": "Field required"}
    assert first_mistake([missing]) == ("name", "missing; this field is required")


def test_only_the_first_mistake_counts() -> None:
    with pytest.raises(ValidationError) as caught:
        KeyPolicy.model_validate({"name": 3, "expires": "2027-01-31T12:00:00"})
    assert first_mistake(caught.value.errors())[0] == "name"
