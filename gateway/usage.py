"""Usage and cost of one reply, as the upstream reports it and as it is priced."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one reply in the upstream's own count; cached is part of prompt, reasoning part of completion."""

    prompt: int
    completion: int
    cached: int = 0
    reasoning: int = 0


@dataclass(frozen=True, slots=True)
class Cost:
    """What one reply cost, in USD, and what windowing saved: net of lost cache discounts and the gateway's own cost.

    Each is None where it is not known: an unknown price is never 0.
    """

    usd: Decimal | None = None
    saved_usd: Decimal | None = None


class _Reply(msgspec.Struct):
    usage: Any = None


_decoder = msgspec.json.Decoder(_Reply)


def usage_of_reply(body: bytes) -> Usage | None:
    """Read the usage of a chat completion, or of one event of its stream; None where there is none."""
    try:
        found = _decoder.decode(body).usage
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None
    return _usage(found)


def _usage(found: object) -> Usage | None:
    if not isinstance(found, dict):
        return None
    prompt, completion = _count(found, "prompt_tokens"), _count(found, "completion_tokens")
    if prompt is None:
        return None
    return Usage(
        prompt=prompt,
        completion=completion or 0,
        cached=_detail(found, "prompt_tokens_details", "cached_tokens"),
        reasoning=_detail(found, "completion_tokens_details", "reasoning_tokens"),
    )


def _count(holder: dict[str, Any], name: str) -> int | None:
    value = holder.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _detail(holder: dict[str, Any], group: str, name: str) -> int:
    details = holder.get(group)
    return (_count(details, name) or 0) if isinstance(details, dict) else 0
