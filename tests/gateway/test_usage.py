import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import usage as usages
from gateway.usage import Relayed, Usage, estimated, reported

JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
CHAT = {
    "prompt_tokens": 100,
    "completion_tokens": 20,
    "total_tokens": 120,
    "prompt_tokens_details": {"cached_tokens": 64, "cache_write_tokens": 32, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 12},
}
RESPONSE = {
    "input_tokens": 100,
    "input_tokens_details": {"cached_tokens": 64, "cache_write_tokens": 32},
    "output_tokens": 20,
    "output_tokens_details": {"reasoning_tokens": 12},
    "total_tokens": 120,
}
EVERYTHING = Usage(100, 20, cached=64, reasoning=12, cache_written=32)


def usage_of(usage: object, **more: object) -> Usage | None:
    return reported(json.dumps({"id": "x", **more, "usage": usage}).encode()).usage


@pytest.mark.parametrize("usage", [CHAT, RESPONSE], ids=["chat", "responses"])
def test_every_part_is_read(usage: object) -> None:
    assert usage_of(usage, choices=[{"message": {"content": 'say "usage": {"prompt_tokens": 1}'}}]) == EVERYTHING


def test_of_embeddings_only_the_prompt_is_counted() -> None:
    assert usage_of({"prompt_tokens": 8, "total_tokens": 8}, data=[{"embedding": [0.5]}]) == Usage(8, 0)


@pytest.mark.parametrize("kind", ["response.completed", "response.incomplete", "response.failed"])
def test_the_responses_apis_events_hold_their_usage_in_the_response(kind: str) -> None:
    event = {"type": kind, "sequence_number": 9, "response": {"output": [], "usage": RESPONSE}}
    assert reported(json.dumps(event).encode()).usage == EVERYTHING


def test_an_events_own_usage_goes_before_one_that_is_nested() -> None:
    assert usage_of({"prompt_tokens": 1}, response={"usage": RESPONSE}) == Usage(1, 0)


@pytest.mark.parametrize(
    "usage, expected",
    [
        # OpenRouter
        ({"prompt_tokens_details": {"cached_tokens": 5, "cache_write_tokens": 90}}, Usage(100, 20, 5, 0, 90)),
        # LiteLLM before an Anthropic model
        (
            {
                "prompt_tokens_details": {"cached_tokens": 5, "cache_creation_tokens": 90},
                "cache_creation_input_tokens": 90,
                "cache_read_input_tokens": 5,
            },
            Usage(100, 20, 5, 0, 90),
        ),
        ({"prompt_tokens_details": {"cached_tokens": 0}, "cache_creation_input_tokens": 90}, Usage(100, 20, 0, 0, 90)),
        # DeepSeek
        ({"prompt_cache_hit_tokens": 60, "prompt_cache_miss_tokens": 40}, Usage(100, 20, 60)),
        # Moonshot
        ({"cached_tokens": 60}, Usage(100, 20, 60)),
        # Anthropic's OpenAI-compatible endpoint
        ({"prompt_tokens_details": None, "completion_tokens_details": None}, Usage(100, 20)),
    ],
)
def test_other_providers_names_are_known(usage: dict[str, Any], expected: Usage) -> None:
    assert usage_of({"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120, **usage}) == expected


def test_reasoning_that_only_the_total_counts_is_output() -> None:
    grok = {
        "prompt_tokens": 10120,
        "completion_tokens": 1499,
        "total_tokens": 14428,
        "completion_tokens_details": {"reasoning_tokens": 2809},
    }
    assert usage_of(grok) == Usage(10120, 1499 + 2809, reasoning=2809)
    assert usage_of({"prompt_tokens": 20, "completion_tokens": 198, "total_tokens": 623}) == Usage(20, 603)


def test_missing_parts_are_none_of_them() -> None:
    assert usage_of({"prompt_tokens": 5, "prompt_tokens_details": None}) == Usage(5, 0)


@pytest.mark.parametrize("count", [True, 5.0, -1, "7", None, [7], {"n": 7}, 10**12, 10**30])
def test_a_count_that_is_none_is_absent(count: object) -> None:
    assert usage_of({"prompt_tokens": count}) is None
    assert usage_of({"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": count}) == Usage(9, 2)
    assert usage_of({"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": count}}) == Usage(9, 0)


@pytest.mark.parametrize("name", ["completion_tokens", "output_tokens"])
@pytest.mark.parametrize("count", [True, 5.5, -5, "7", [7], {"n": 7}, 10**12, 10**30])
def test_an_answer_of_no_count_is_not_one_that_cost_nothing(count: object, name: str) -> None:
    assert usage_of({"prompt_tokens": 9, name: count, "total_tokens": 12}) is None
    assert usage_of({"prompt_tokens": 9, name: None, "prompt_cache_hit_tokens": -1}) == Usage(9, 0)


@pytest.mark.parametrize("read, made", [("prompt", "completion"), ("input", "output")])
def test_audio_is_read_under_either_apis_names(read: str, made: str) -> None:
    usage = {
        f"{read}_tokens": 1000,
        f"{made}_tokens": 500,
        "total_tokens": 1500,
        f"{read}_tokens_details": {"audio_tokens": 900, "text_tokens": 100},
        f"{made}_tokens_details": {"audio_tokens": 400, "text_tokens": 100},
    }
    assert usage_of(usage) == Usage(1000, 500, audio_prompt=900, audio_completion=400)


def test_no_part_is_more_than_the_whole() -> None:
    usage = {
        "prompt_tokens": 100,
        "completion_tokens": 5,
        "prompt_tokens_details": {"cached_tokens": 600, "cache_write_tokens": 9, "audio_tokens": 101},
        "completion_tokens_details": {"reasoning_tokens": 50, "audio_tokens": 6},
    }
    assert usage_of(usage) == Usage(100, 5, cached=100, reasoning=5, audio_prompt=100, audio_completion=5)
    written = {"prompt_tokens": 100, "cached_tokens": 60, "cache_creation_input_tokens": 90}
    assert usage_of(written) == Usage(100, 0, cached=60, cache_written=40)


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"usage": null}',
        b'{"usage": [1]}',
        b'{"response": {"usage": 3}}',
        b'{"response": "usage"}',
        b"\xff",
        b"[" * 9999,
        b'{"usage": {"prompt_tokens": ' + b"[" * 9999,
    ],
)
def test_what_is_no_usage_is_unknown(reply: bytes) -> None:
    assert reported(reply) == (None, None)


@given(st.dictionaries(st.sampled_from([*CHAT, *RESPONSE, "cached_tokens"]), JSON))
def test_no_usage_whatever_is_an_exception(usage: dict[str, object]) -> None:
    found = usage_of(usage)
    assert found is None or min(found.prompt, found.completion, found.cached, found.reasoning, found.cache_written) >= 0


@pytest.mark.parametrize(
    "relayed, tokens",
    [
        (Relayed(), 0),
        (Relayed(events=10, characters=33), 10),  # a token an event
        (Relayed(events=2, characters=33), 9),  # several tokens an event
        (Relayed(events=1, characters=1), 1),
    ],
)
def test_a_cut_off_stream_is_estimated_by_its_events_or_its_length(relayed: Relayed, tokens: int) -> None:
    assert estimated(50, relayed) == Usage(50, tokens)


@pytest.mark.parametrize(
    ("model", "known"),
    [('"gpt-4o-2024"', "gpt-4o-2024"), ("7", None), ("null", None), ('"\udcff"', None), (f'"{"x" * 999}"', "x" * 256)],
)
def test_which_model_answered_is_read_and_never_costs_the_usage(model: str, known: str | None) -> None:
    body = f'{{"model": {model}, "usage": {{"prompt_tokens": 5, "completion_tokens": 2}}}}'
    for said in (body, f'{{"type": "response.completed", "response": {body}}}'):
        assert usages.reported(said.encode(errors="surrogateescape")) == (Usage(5, 2), known)
