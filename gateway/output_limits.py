"""The most tokens that a model answers with, for requests that name no limit themselves (output_limits.json)."""

import json
from collections.abc import Mapping
from functools import cache, lru_cache
from importlib import resources

# What is taken of a model that the list does not know: as much as most of them can, if not the largest. Who serves
# others names their limit in the configuration.
DEFAULT = 32_768


@lru_cache(maxsize=1024)
def output_limit(model: str | None, unknown: int = DEFAULT) -> int:
    """Return the limit by the longest prefix of the model's name; a maker's name before it ("openai/") is passed over.

    A fine-tuned model ("ft:gpt-4o:...") has that of what it was made from, one that the list does not know `unknown`.
    """
    limits, longest = _limits()
    name = (model or "").rpartition("/")[2].lower().removeprefix("ft:")[:longest]
    prefixes = (name[:end] for end in range(len(name), 0, -1))
    return next((limits[prefix] for prefix in prefixes if prefix in limits), unknown)


@cache
def _limits() -> tuple[Mapping[str, int], int]:
    stored = json.loads(resources.files(__package__).joinpath("output_limits.json").read_text("utf-8"))
    limits = {prefix: limit for family in stored["families"] for prefix, limit in family["limits"].items()}
    return limits, max(map(len, limits))
