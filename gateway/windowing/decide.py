"""Whether a request is windowed at all, from what is known before its prompt is read."""

import re
from functools import lru_cache

import msgspec

from gateway.config import WindowingSettings
from gateway.policies import TeamWindowing
from gateway.windowing.types import Api, Decision, Reason, WindowPolicy

# What is longer is no size, and a number of thousands of digits is slow to read.
_SIZE = re.compile(r"[0-9]{1,18}")


class Plan(msgspec.Struct, frozen=True):
    """What to do with a request: forward it as it came for `reason`, or have it windowed by `policy`."""

    decision: Decision
    reason: Reason | None = None
    policy: WindowPolicy | None = None


def decide(
    settings: WindowingSettings, body: bytes | None, wish: str | None, size: str | None, api: Api = Api.CHAT
) -> Plan:
    """Return the plan for a body of that API, None for one that can't be read (it is compressed, or no JSON).

    `wish` and `size` are the caller's `x-gateway-windowing` and `x-gateway-window-tokens` headers.
    """
    if settings.mode == "off":
        return Plan(Decision.OFF, Reason.OPTED_OUT)
    if wish is not None and wish.strip().lower() == "off":
        return Plan(Decision.BYPASSED, Reason.OPTED_OUT)
    if body is None:
        return Plan(Decision.BYPASSED, Reason.NOT_TEXT)
    # A token is at least one byte of text, so that a body this short can't hold more tokens.
    if len(body) <= settings.trigger_tokens:
        return Plan(Decision.BYPASSED, Reason.SMALL)
    decision = Decision.SHADOW if settings.mode == "shadow" else Decision.APPLIED
    return Plan(decision, policy=policy_of(settings, size, api))


def policy_of(settings: WindowingSettings, size: str | None, api: Api = Api.CHAT) -> WindowPolicy:
    """Return the policy of a request to that API; `size` is the window that its caller names, if any."""
    named = size is not None and _SIZE.fullmatch(size.strip()) is not None  # whoever names a size gets that size
    return WindowPolicy(
        settings.trigger_tokens,
        held(settings, int(size)) if named and size else settings.window_tokens,
        settings.deadline_ms,
        None if named else settings.target_confidence,
        settings.min_window_tokens,
        settings.max_window_tokens,
        api,
    )


def held(settings: WindowingSettings, size: int) -> int:
    """Return the window that a caller gets who names this size."""
    return min(max(size, settings.min_window_tokens), settings.max_window_tokens)


def settings_for(base: WindowingSettings, team: TeamWindowing, widest: int | None) -> WindowingSettings:
    """Return the settings of a team's request; `widest` is the largest window that its budgets still allow."""
    return base if widest is None and not team.model_fields_set else _merged(base, team, widest)


@lru_cache(maxsize=256)
def _merged(base: WindowingSettings, team: TeamWindowing, widest: int | None) -> WindowingSettings:
    own = {name: value for name, value in team if value is not None}
    merged = base.model_copy(update=own)
    most = merged.max_window_tokens if widest is None else min(merged.max_window_tokens, widest)
    return merged.model_copy(
        update={
            "max_window_tokens": most,
            "window_tokens": min(merged.window_tokens, most),
            "min_window_tokens": min(merged.min_window_tokens, most),
        }
    )
