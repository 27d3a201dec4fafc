"""A difference that the gateway would make is seen, and said."""

from dataclasses import replace
from typing import Any

import pytest

from tests.sdks.cases import CASES, NEEDLE, STATUSES, Case, long_prompt
from tests.sdks.comparing import DIFFERENT, SAME, TRIMMED, UNSUPPORTED, WHOLE, WRONG, Seen, difference, judged
from tests.upstreams import Recorded
from tests.upstreams.replies import CANNED

BY_NAME = {case.name: case for case in CASES}
CHAT, CANCELLED, OVERSIZED, ERROR = (BY_NAME[name] for name in ("chat", "cancelled", "oversized", "error"))


def asked(body: bytes) -> Recorded:
    return Recorded(b"POST /v1/chat/completions HTTP/1.1\r\n\r\n", (), body)


def seen(*answers: dict[str, Any], gone: int = 0, tokens: int = 0, bodies: tuple[bytes, ...] = (b'{"a": 1}',)) -> Seen:
    return Seen(answers, tuple(map(asked, bodies)), gone, tokens)


RIGHT = seen({"text": CANNED, "usage": [7, 12]})
LEFT = seen({"taken": ["a", "b", "c"]}, gone=1)
FOUND = seen({"text": NEEDLE}, {"text": NEEDLE}, tokens=20_000)


@pytest.mark.parametrize(
    "case, direct, relayed, outcome",
    [
        (CHAT, RIGHT, RIGHT, SAME),
        (CHAT, RIGHT, seen({"text": CANNED, "usage": [7, 13]}), DIFFERENT),
        (CHAT, RIGHT, seen({"error": {"class": "InternalServerError"}}), DIFFERENT),
        (CHAT, seen({"text": "?"}), seen({"text": "?"}), WRONG),
        (CHAT, RIGHT, replace(RIGHT, requests=(asked(b'{"a": 2}'),)), DIFFERENT),
        (CHAT, RIGHT, replace(RIGHT, requests=RIGHT.requests * 2), DIFFERENT),
        (CHAT, seen({"unsupported": "no such thing"}), RIGHT, UNSUPPORTED),
        (CANCELLED, LEFT, LEFT, SAME),
        (CANCELLED, LEFT, replace(LEFT, gone=0), DIFFERENT),
        (CANCELLED, replace(LEFT, gone=0), LEFT, UNSUPPORTED),
        (OVERSIZED, FOUND, replace(FOUND, prompt_tokens=3000), TRIMMED),
        (OVERSIZED, FOUND, FOUND, WHOLE),
        (OVERSIZED, FOUND, replace(FOUND, answers=({"text": NEEDLE}, {"text": "?"}), prompt_tokens=3000), DIFFERENT),
        (ERROR, seen({"text": CANNED}), seen({"text": CANNED}), WRONG),
    ],
)
def test_what_is_made_of_two_results(case: Case, direct: Seen, relayed: Seen, outcome: str) -> None:
    assert judged(case, direct, relayed)[0] == outcome


def test_asking_for_a_streams_usage_is_no_difference() -> None:
    plain, more = b'{"stream": true}', b'{"stream": true, "stream_options": {"include_usage": true}}'
    assert judged(CHAT, replace(RIGHT, requests=(asked(plain),)), replace(RIGHT, requests=(asked(more),)))[0] == SAME
    again = replace(RIGHT, requests=(asked(more), asked(plain)))
    assert judged(CHAT, replace(RIGHT, requests=(asked(plain),)), again)[0] == SAME


def test_errors_are_right_with_every_status_in_whole_replies_and_streams() -> None:
    answers = [{"error": {"status": status}} for status in STATUSES for _ in range(2)]
    assert judged(ERROR, seen(*answers), seen(*answers))[0] == SAME
    assert len(ERROR.asks) == len(answers)


def test_a_difference_is_named_by_its_place() -> None:
    assert difference({"a": [1, {"b": "x"}]}, {"a": [1, {"b": "x"}]}) == ""
    assert difference({"a": [1, {"b": "x"}]}, {"a": [1, {"b": "y"}]}) == 'a[1].b: "x" / "y"'
    assert difference([1], [1, 2], "events") == "events: [1] / [1, 2]"
    assert difference({}, {"a": 0}) == "a: null / 0"


def test_the_oversized_prompts_hold_the_sentence_once() -> None:
    assert [long_prompt(pages).count(NEEDLE) for pages in (1, 2)] == [1, 1]
    assert long_prompt(1) != long_prompt(2)
