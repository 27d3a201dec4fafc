import pytest

from gateway.config import WindowingSettings
from gateway.policies import TeamWindowing
from gateway.windowing.decide import decide, held, policy_of, settings_for
from gateway.windowing.types import Api, Decision, Reason

SETTINGS = WindowingSettings(trigger_tokens=100, window_tokens=1000, min_window_tokens=500, max_window_tokens=4000)
BIG = b"x" * 1000


def test_off_is_off_for_everybody() -> None:
    plan = decide(WindowingSettings(mode="off"), BIG, None, None)
    assert (plan.decision, plan.reason, plan.policy) == (Decision.OFF, Reason.OPTED_OUT, None)


def test_a_caller_can_opt_out() -> None:
    assert decide(SETTINGS, BIG, " OFF ", None).reason is Reason.OPTED_OUT
    assert decide(SETTINGS, BIG, "on", None).policy is not None


def test_short_and_compressed_bodies_are_not_looked_into() -> None:
    assert decide(SETTINGS, b"x" * 100, None, None).reason is Reason.SMALL
    assert decide(SETTINGS, None, None, None).reason is Reason.NOT_TEXT


@pytest.mark.parametrize(
    ("size", "window"),
    [(None, 1000), ("2000", 2000), ("1", 500), ("999999999999", 4000), ("-5", 1000), ("many", 1000), ("²", 1000)],
)
def test_a_callers_window_is_clamped(size: str | None, window: int) -> None:
    policy = decide(SETTINGS, BIG, None, size).policy
    assert policy is not None
    assert policy.window_tokens == window


def test_shadow_is_windowed_too() -> None:
    plan = decide(WindowingSettings(mode="shadow", trigger_tokens=10), BIG, None, None)
    assert plan.decision is Decision.SHADOW
    assert plan.policy is not None


def test_the_policy_says_whose_shape_the_body_has() -> None:
    policies = [decide(SETTINGS, BIG, None, None, api).policy for api in Api]
    assert [policy.api if policy else None for policy in policies] == list(Api)


def test_without_wishes_a_team_has_what_all_have() -> None:
    assert settings_for(SETTINGS, TeamWindowing(), None) is SETTINGS


def test_a_team_has_what_was_decided_for_it_and_the_rest_as_all() -> None:
    found = settings_for(SETTINGS, TeamWindowing(mode="shadow", window_tokens=700, target_confidence=0.9), None)
    changed = {"mode": "shadow", "window_tokens": 700, "target_confidence": 0.9}
    assert found == SETTINGS.model_copy(update=changed)


@pytest.mark.parametrize(
    ("team", "widest", "sizes"),
    [
        (TeamWindowing(), 5000, (500, 1000, 4000)),
        (TeamWindowing(), 2000, (500, 1000, 2000)),
        (TeamWindowing(), 700, (500, 700, 700)),
        (TeamWindowing(), 100, (100, 100, 100)),
        (TeamWindowing(max_window_tokens=900), None, (500, 900, 900)),
        (TeamWindowing(max_window_tokens=900), 800, (500, 800, 800)),
        (TeamWindowing(max_window_tokens=800), 900, (500, 800, 800)),
        (TeamWindowing(min_window_tokens=6000), None, (4000, 1000, 4000)),
    ],
)
def test_no_window_is_wider_than_budgets_allow(
    team: TeamWindowing, widest: int | None, sizes: tuple[int, int, int]
) -> None:
    found = settings_for(SETTINGS, team, widest)
    assert (found.min_window_tokens, found.window_tokens, found.max_window_tokens) == sizes
    asked = policy_of(found, "100000")
    assert asked.window_tokens == found.max_window_tokens, "whatever size the caller names"


def test_whoever_names_a_size_gets_it_even_where_it_is_the_usual_one() -> None:
    settings = WindowingSettings(window_tokens=1000, target_confidence=0.9)
    found = [policy_of(settings, size) for size in (None, "1000", "none", "9" * 5000)]
    assert [(policy.window_tokens, policy.target_confidence) for policy in found] == [
        (1000, 0.9),
        (1000, None),
        (1000, 0.9),
        (1000, 0.9),
    ]


def test_a_size_is_held_between_the_bounds() -> None:
    settings = WindowingSettings(min_window_tokens=500, max_window_tokens=900)
    assert [held(settings, size) for size in (1, 500, 700, 900, 10**17)] == [500, 500, 700, 900, 900]
