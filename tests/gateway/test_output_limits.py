import json
from pathlib import Path

import pytest

from gateway import output_limits
from gateway.output_limits import DEFAULT, output_limit

STORED = json.loads((Path(output_limits.__file__).parent / "output_limits.json").read_text("utf-8"))


@pytest.mark.parametrize(
    "model, limit",
    [
        ("gpt-4o", 16384),
        ("gpt-4o-mini-2024-07-18", 16384),
        ("gpt-4o-2024-05-13", 4096),
        ("gpt-4", 8192),
        ("gpt-4-0613", 8192),
        ("gpt-4-turbo-2024-04-09", 4096),
        ("gpt-4.1-nano", 32768),
        ("gpt-3.5-turbo-0125", 4096),
        ("gpt-5-mini", 128000),
        ("gpt-5.6-sol", 128000),
        ("gpt-5-chat-latest", 16384),
        ("o1-2024-12-17", 100000),
        ("o1-mini", 65536),
        ("o4-mini", 100000),
        ("claude-opus-4-1-20250805", 32000),
        ("claude-opus-4-20250514", 32000),
        ("claude-sonnet-4-5-20250929", 64000),
        ("claude-opus-5-5", 128000),
        ("anthropic/claude-sonnet-4.6", 128000),
        ("models/gemini-2.5-pro", 65536),
        ("ft:gpt-4o-mini:acme::x", 16384),
        ("GPT-4o", 16384),
        ("text-embedding-3-small", 0),
    ],
)
def test_the_longest_prefix_decides(model: str, limit: int) -> None:
    assert output_limit(model) == limit


@pytest.mark.parametrize("model", [None, "", "/", "my-own-model", "gpt", "x" * 100_000])
def test_of_an_unknown_model_the_default_is_taken(model: str | None) -> None:
    assert output_limit(model) == DEFAULT
    assert output_limit(model, 77) == 77
    assert output_limit("gpt-4o", 77) == 16384


def test_the_list_names_its_sources_and_no_prefix_twice() -> None:
    families = STORED["families"]
    prefixes = [prefix for family in families for prefix in family["limits"]]
    assert len(set(prefixes)) == len(prefixes)
    assert all(family["source"].startswith("https://") for family in families)
    assert all(prefix == prefix.lower() and 0 <= output_limit(prefix) < 10**6 for prefix in prefixes)
