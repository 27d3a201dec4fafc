import pytest

from gateway.config import WindowingSettings
from gateway.windowing.decide import decide
from gateway.windowing.types import Decision, Reason

SETTINGS = WindowingSettings(trigger_tokens=100, window_tokens=1000, min_window_tokens=500, max_window_tokens=4000)
BIG = b"x" * 1000


def test_off_is_off_for_everybody() -> None:
    plan = decide(WindowingSettings(mode="off"), BIG, False, None, None)
    assert (plan.decision, plan.reason, plan.policy) == (Decision.OFF, Reason.OPTED_OUT, None)


def test_a_caller_can_opt_out() -> None:
    assert decide(SETTINGS, BIG, False, " OFF ", None).reason is Reason.OPTED_OUT
    assert decide(SETTINGS, BIG, False, "on", None).policy is not None


def test_short_and_compressed_bodies_are_not_looked_into() -> None:
    assert decide(SETTINGS, b"x" * 100, False, None, None).reason is Reason.SMALL
    assert decide(SETTINGS, BIG, True, None, None).reason is Reason.NOT_TEXT


@pytest.mark.parametrize(
    ("size", "window"),
    [(None, 1000), ("2000", 2000), ("1", 500), ("999999999999", 4000), ("-5", 1000), ("many", 1000), ("²", 1000)],
)
def test_a_callers_window_is_clamped(size: str | None, window: int) -> None:
    policy = decide(SETTINGS, BIG, False, None, size).policy
    assert policy is not None
    assert policy.window_tokens == window


def test_shadow_is_windowed_too() -> None:
    plan = decide(WindowingSettings(mode="shadow", trigger_tokens=10), BIG, False, None, None)
    assert plan.decision is Decision.SHADOW
    assert plan.policy is not None
