import itertools
import json
from pydoc_data import topics
from typing import Any

import numpy as np
import pytest

from gateway.windowing.conversation import read
from gateway.windowing.counting import tally
from gateway.windowing.keep import Kept
from gateway.windowing.protect import Plan, plan
from gateway.windowing.rewrite import NoHostError, Rewritten, rewrite
from retrieval.tokens import counter_for
from retrieval.types import Chunk, Deadline

REFERENCE = "\n\n".join(text for _, text in sorted(topics.topics.items()))
# Protected as the message before the question, and so large that none before it is.
LATEST = {"role": "assistant", "content": "Verstanden 文字 " * 140}
QUESTION = {"role": "user", "content": "What does the with statement do?"}
CALL = {"id": "c", "type": "function", "function": {"name": "find", "arguments": "{}"}}
STEP: list[dict[str, Any]] = [
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c", "content": "[1, 2]"},
]


def user(text: str = REFERENCE[:6000]) -> dict[str, Any]:
    return {"role": "user", "content": text}


def assistant(text: str = REFERENCE[6000:12_000]) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def planned(*messages: dict[str, Any], **style: Any) -> Plan:
    conversation = read(json.dumps({"messages": messages}, **style).encode())
    assert conversation is not None
    found = plan(conversation, tally(conversation, counter_for(""), Deadline.after(10)), 0)
    assert found is not None
    return found


def kept_whole(found: Plan, *messages: int) -> Rewritten:
    """Keep these messages, each whole, and what is pinned."""
    documents = found.documents
    chunks = [Chunk(i, 0, len(d.text), 1) for i, d in enumerate(documents)]
    kept = Kept(np.array([True] * len(chunks)), found.pinned | frozenset(messages), 0)
    return rewrite(found, chunks, [(i, i + 1) for i in range(len(chunks))], kept)


def contents(new: Rewritten) -> list[Any]:
    return [m["content"] for m in json.loads(new.body)["messages"]]


def cut(text: str, *spans: tuple[int, int]) -> str:
    """Keep only these spans of a document before a question."""
    found = planned(user(text), LATEST, QUESTION)
    edges = sorted({0, len(text), *(e for s in spans for e in s)})
    chunks = [Chunk(0, a, b, 1) for a, b in itertools.pairwise(edges)]
    held = np.array([(c.start, c.end) in spans for c in chunks])
    new = rewrite(found, chunks, [(0, len(chunks))], Kept(held, frozenset({0, 1, 2}), 0))
    first = contents(new)[0]
    assert isinstance(first, str)
    return first


def test_kept_neighbours_join_and_gaps_are_marked_on_a_line_of_their_own() -> None:
    text = "one\ntwo\nthree\nfour\nfive\nsix\nseven\n"
    assert cut(text, (4, 8), (8, 14), (24, 28)) == (
        "[… 1 line omitted …]\ntwo\nthree\n[… 2 lines omitted …]\nsix\n[… 1 word omitted …]\n"
    )


def test_a_gap_within_a_line_is_marked_in_it() -> None:
    text = "First sentence here. Second sentence here. Third sentence here."
    assert cut(text, (0, 20), (43, 63)) == "First sentence here. [… 3 words omitted …] Third sentence here."


def test_removed_messages_are_announced_in_the_text_before_them() -> None:
    found = planned(user(), assistant(), user(), assistant(), user("Go on."), LATEST, QUESTION)
    assert contents(kept_whole(found, 0, 1, 4))[1] == REFERENCE[6000:12_000] + "\n[… 2 messages omitted …]"


def test_removed_messages_at_the_beginning_are_announced_in_the_text_after_them() -> None:
    found = planned(user(), assistant(), user(), assistant(), user("Go on."), LATEST, QUESTION)
    new = kept_whole(found, 2, 3, 4)
    assert contents(new)[0] == "[… 2 messages omitted …]\n" + REFERENCE[:6000]
    assert new.messages == (2, 3, 4, 5, 6)


def test_removed_messages_with_only_protected_ones_left_are_announced_before_the_question() -> None:
    found = planned({"role": "system", "content": "Be kind."}, user(), assistant(), QUESTION)
    assert contents(kept_whole(found)) == ["Be kind.", "[… 2 messages omitted …]\n" + QUESTION["content"]]


def test_an_agents_removed_steps_are_announced_after_the_question() -> None:
    step = [STEP[0], {**STEP[1], "content": REFERENCE[:4000]}]
    found = planned(QUESTION, *step, *step, *step)
    new = kept_whole(found)
    assert contents(new)[0] == QUESTION["content"] + "\n[… 4 messages omitted …]"
    assert new.messages == (0, 5, 6)


def test_json_results_carry_no_marker_of_other_messages() -> None:
    found = planned(user(), *STEP, user(), assistant(), user("Go on."), LATEST, QUESTION)
    assert contents(kept_whole(found, 0, 1, 2, 5))[2] == "[1, 2]"


def test_a_gap_after_a_json_result_is_announced_in_the_text_after_it() -> None:
    found = planned(user(), *STEP, user(), assistant(), user(), assistant(), user("Go on."), LATEST, QUESTION)
    shown = contents(kept_whole(found, 0, 1, 2, 5, 6, 7))
    assert shown[0] == REFERENCE[:6000]
    assert shown[3] == "[… 2 messages omitted …]\n" + REFERENCE[:6000]


def test_without_a_text_that_may_carry_the_marker_nothing_is_removed() -> None:
    part = {"type": "text", "text": QUESTION["content"], "annotations": []}
    found = planned(user(), assistant(), {"role": "user", "content": [part]})
    with pytest.raises(NoHostError):
        kept_whole(found)


@pytest.mark.parametrize("kept", [(0, 1, 4), (2, 3, 4), (4,)])
@pytest.mark.parametrize("style", [{}, {"indent": 2}, {"separators": (" ,", ": ")}])
def test_one_comma_goes_with_each_message(kept: tuple[int, ...], style: dict[str, Any]) -> None:
    found = planned(user(), assistant(), user(), assistant(), user("Go on."), LATEST, QUESTION, **style)
    new = kept_whole(found, *kept)
    assert len(json.loads(new.body)["messages"]) == len(kept) + 2


def test_a_changed_text_keeps_the_style_of_its_token() -> None:
    text = "Größe\n" * 2000
    for ascii_only, expected in ((True, "Gr\\u00f6\\u00dfe"), (False, "Größe")):
        found = planned(user(text), LATEST, QUESTION, ensure_ascii=ascii_only)
        chunks = [Chunk(0, 0, 600, 1), Chunk(0, 600, len(found.documents[0].text), 1)]
        new = rewrite(found, chunks, [(0, 2)], Kept(np.array([True, False]), frozenset({0, 1, 2}), 0))
        assert expected in new.body
        assert new.body.isascii() is ascii_only
