import json
from typing import Any

import numpy as np
import pytest

from gateway.windowing.conversation import read
from gateway.windowing.counting import tally
from gateway.windowing.keep import Keeper, Kept
from gateway.windowing.protect import plan
from gateway.windowing.reading import read as read_as
from gateway.windowing.types import Api
from retrieval.prepared import Prepared
from retrieval.tokens import counter_for
from retrieval.types import Deadline, Ranking

COUNTER = counter_for("gpt-4o-mini")
LONG = " ".join(f"Sentence number {n} is about something else." for n in range(150))
CALL = {"id": "c", "type": "function", "function": {"name": "find", "arguments": "{}"}}
CLOSING = [{"role": "assistant", "content": "x" * 1990}, {"role": "user", "content": "What now?"}]


def user(text: str = LONG) -> dict[str, Any]:
    return {"role": "user", "content": text}


def assistant(text: str = LONG) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def step(text: str = LONG) -> list[dict[str, Any]]:
    head = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    return [head, {"role": "tool", "tool_call_id": "c", "content": text}]


def close(messages: list[dict[str, Any]], *chosen: int) -> tuple[Kept, Keeper, Ranking]:
    """Close the selection of the first chunk of each chosen message."""
    conversation = read(json.dumps({"model": "gpt-4o-mini", "messages": [*messages, *CLOSING]}).encode())
    assert conversation is not None
    tokens = tally(conversation, COUNTER, Deadline.after(10))
    planned = plan(conversation, tokens, 0)
    assert planned is not None
    chunks = Prepared(1 << 20).read(planned.documents, COUNTER, Deadline.after(10)).chunks
    scores = np.linspace(1, 0, len(chunks), dtype=np.float32)
    ranking = Ranking(chunks, scores)
    homes = [planned.documents[c.document].message for c in chunks]
    selected = np.zeros(len(chunks), dtype=np.bool_)
    selected[[homes.index(message) for message in chosen]] = True
    keeper = Keeper(planned, ranking, tokens.fixed)
    return keeper.close(selected), keeper, ranking


@pytest.mark.parametrize(
    "messages, chosen, expected",
    [
        ([user(), assistant(), user(), assistant()], [2], {2, 3}),
        ([user(), assistant(), user(), assistant()], [3], {2, 3}),
        ([user(), user(), assistant()], [2], {0, 2}),
        ([user(), *step(), assistant()], [0], {0, 3}),
        ([user(), *step(), assistant()], [2], {0, 1, 2, 3}),
        ([user(), *step(), *step()], [0], {0, 1, 2}),
        ([user(), *step(), *step()], [4], {0, 3, 4}),
        ([user(), assistant(), *step(), assistant()], [1], {0, 1}),
        ([assistant(), user(), assistant()], [2], {1, 2}),
        ([assistant(), user(), assistant()], [0], {0}),
    ],
)
def test_roles_still_follow_each_other(messages: list[dict[str, Any]], chosen: list[int], expected: set[int]) -> None:
    # The turn of the protected end has a user message of its own, which stays too.
    kept, _, _ = close([*messages, user("Go on.")], *chosen)
    assert kept.messages - {len(messages), len(messages) + 1, len(messages) + 2} == expected


def test_a_kept_message_has_its_best_chunk_at_least() -> None:
    kept, keeper, _ = close([user(), assistant(), user("Go on.")], 1)
    first, last = keeper.spans[0]
    assert np.flatnonzero(kept.chunks[first:last]).tolist() == [0]


def test_a_small_message_of_a_kept_turn_is_kept_whole() -> None:
    kept, keeper, _ = close([user("Tell me. " * 5), assistant(), user("Go on.")], 1)
    assert kept.chunks[slice(*keeper.spans[0])].all()


def test_the_cost_covers_chunks_and_messages() -> None:
    kept, _, ranking = close([user(), assistant(), user("Go on.")], 0)
    chunks = sum(c.tokens for c, k in zip(ranking.chunks, kept.chunks, strict=True) if k)
    assert kept.tokens >= chunks > 0


def test_what_says_which_record_is_kept_stays() -> None:
    record = {"id": "r-17", "log": [f"entry {n} of this log" for n in range(200)]}
    kept, keeper, _ = close(
        [user("Load."), *step(json.dumps({"records": [record, {**record, "id": "r-18"}]})), user("Go on.")], 2
    )
    first, last = keeper.spans[1]
    assert kept.chunks[first]
    assert 0 < kept.chunks[first:last].sum() < last - first


def test_what_stays_for_what_leads_to_it_is_owed() -> None:
    def kept(*items: dict[str, Any]) -> tuple[int, Kept]:
        body = {"input": [user(), *items, *CLOSING]}
        conversation = read_as(json.dumps(body).encode(), Api.RESPONSES)
        assert conversation is not None
        tokens = tally(conversation, COUNTER, Deadline.after(10))
        planned = plan(conversation, tokens, 0)
        assert planned is not None
        chunks = Prepared(1 << 20).read(planned.documents, COUNTER, Deadline.after(10)).chunks
        keeper = Keeper(planned, Ranking(chunks, np.linspace(1, 0, len(chunks), dtype=np.float32)), tokens.fixed)
        return keeper.owed, keeper.close(np.zeros(len(chunks), dtype=np.bool_))

    call = {"type": "function_call", "call_id": "c", "name": "find", "arguments": "{}"}
    step = [call, {"type": "function_call_output", "call_id": "c", "output": LONG}]
    owed, bare = kept(*step)
    assert owed == 0
    assert bare.messages.isdisjoint({1, 2})
    owed, led = kept({"type": "reasoning", "id": "r", "summary": []}, *step)
    assert led.messages >= {1, 2, 3}
    assert 0 < owed == led.tokens < COUNTER.count(LONG) / 2
