"""What the upstream charges for: a reply that was given whole, or what was produced of a stream that ended early."""

import json
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Bill:
    """One request's tokens. `cached` and `cache_written` are part of input, `reasoning` is part of output."""

    path: str
    model: str
    input: int
    output: int
    cached: int = 0
    cache_written: int = 0
    reasoning: int = 0
    completed: bool = True


class Meter:
    """Runs along one reply."""

    def __init__(self, path: str, model: str, usage: Json) -> None:
        self._bill = Bill(
            path,
            model,
            input=_count(usage, "prompt_tokens", "input_tokens"),
            output=_count(usage, "completion_tokens", "output_tokens"),
            cached=_detail(usage, "cached_tokens"),
            cache_written=_detail(usage, "cache_write_tokens"),
            reasoning=_detail(usage, "reasoning_tokens"),
        )
        self._characters = 0

    def produced(self, event: bytes) -> None:
        """Take an event that goes out."""
        _, found, data = event.partition(b"data: ")
        self._characters += _characters(json.loads(data)) if found and data.startswith(b"{") else 0

    def bill(self, completed: bool) -> Bill:
        """Return the bill, of a reply that was completed or one that ended early."""
        whole = self._bill
        if completed:
            return whole
        # Reasoning comes before the text, so that it has been done in any case.
        output = min(whole.output, whole.reasoning + tokens_of("x" * self._characters))
        return Bill(
            whole.path, whole.model, whole.input, output, whole.cached, whole.cache_written, whole.reasoning, False
        )


def tokens_of(text: str) -> int:
    """Return the upstream's count of a text: four characters a token."""
    return -(-len(text) // 4)


def _count(usage: Json, *names: str) -> int:
    return sum(usage.get(name, 0) for name in names)


def _detail(usage: Json, name: str) -> int:
    return sum(group.get(name, 0) for group in usage.values() if isinstance(group, dict))


def _characters(event: Json) -> int:
    if isinstance(event.get("delta"), str):
        return len(event["delta"])
    return sum(_of_choice(choice) for choice in event.get("choices", ()))


def _of_choice(choice: Json) -> int:
    delta = choice.get("delta") or {}
    arguments = [call["function"].get("arguments") or "" for call in delta.get("tool_calls") or ()]
    return len("".join((choice.get("text") or "", delta.get("content") or "", *arguments)))
