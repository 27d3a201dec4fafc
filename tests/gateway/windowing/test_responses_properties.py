"""Requests to the Responses API: what must hold of every window of one."""

import json
from collections import Counter
from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from gateway.windowing.types import Api, Reason, WindowPolicy
from tests.gateway.windowing.items import IMAGE, REASONING, SEARCH, Item, call, output, said, user
from tests.gateway.windowing.test_window_properties import JUNK, parses, prose, result_text
from tests.gateway.windowing.windows import MADE, POLICY, QUESTION, TINY, run, runs_of

RESPONSES = replace(POLICY, api=Api.RESPONSES)
SMALL = replace(TINY, api=Api.RESPONSES)


# Any request


@st.composite
def contents(draw: st.DrawFn, kind: str) -> Any:
    if draw(st.integers(0, 2)):
        return draw(prose())
    extra: Item = draw(st.sampled_from([{}, {"annotations": []}, {"annotations": [], "logprobs": []}, {"x": 1}]))
    parts: list[Any] = [{"type": kind, "text": t, **extra} for t in draw(st.lists(prose(), max_size=3))]
    return [*parts, *([IMAGE] if draw(st.integers(0, 5)) == 0 else [])]


@st.composite
def groups(draw: st.DrawFn) -> list[Item]:
    names = draw(st.lists(st.sampled_from(["a", "b", "a1"]), min_size=1, max_size=3))
    made: list[Item] = [REASONING] if draw(st.integers(0, 2)) == 0 else []
    for number, name in enumerate(names):
        between = draw(st.sampled_from([[], [], [], [said("Let me see.")], [SEARCH]]))
        made += [call(name, draw(prose(8))), *(between if number + 1 < len(names) else [])]
    held = [draw(result_text()) if draw(st.integers(0, 3)) else draw(contents("input_text")) for _ in names]
    return made + [output(name, h) for name, h in zip(draw(st.permutations(names)), held, strict=True)]


@st.composite
def inputs(draw: st.DrawFn) -> Any:
    asked = draw(prose(40)) + "\n\nWhich context manager raises the exception?"
    if draw(st.integers(0, 7)) == 0:
        return f"{draw(prose(2000))}\n\n{asked}"
    items: list[Item] = []
    for _ in range(draw(st.integers(0, 12))):
        kind = draw(st.integers(0, 10))
        if kind <= 3:
            items.append(user(draw(contents("input_text"))))
        elif kind <= 5:
            led = [REASONING] if draw(st.integers(0, 3)) == 0 else []
            items += [*led, {"role": "assistant", "content": draw(contents("output_text"))}]
        elif kind <= 8:
            items += draw(groups())
        else:
            odd = [SEARCH, REASONING, {"type": "item_reference", "id": "x"}, output("z", "lost"), call("y")]
            items.append(draw(st.sampled_from([*odd, {"role": "developer", "content": "Be brief."}])))
    items.append(user(asked))
    return items + (draw(groups()) if draw(st.integers(0, 4)) == 0 else [])


@st.composite
def bodies(draw: st.DrawFn) -> tuple[str, str, str]:
    """A request in any style of JSON: what stands before its input, the input, what stands after it."""
    text = json.dumps(
        draw(inputs()),
        indent=draw(st.sampled_from([None, 2])),
        separators=draw(st.sampled_from([None, (" , ", " : ")])),
        ensure_ascii=draw(st.booleans()),
    )
    head = draw(
        st.sampled_from(['{"input": ', '\n{ "instructions":"Be \\u0062rief.", "input" : ', '{"input":7,"input":'])
    )
    return head, text, draw(st.sampled_from(["}", ' , "seed" : 1e999, "model":"gpt-4o-mini", "n":1.50 }\n']))


def skeleton(item: Any) -> Any:
    """The item without its texts."""
    name = "output" if item.get("type") == "function_call_output" else "content"
    held = item.get(name)
    parts = [{**p, "text": ""} for p in held if p["type"] == "input_image"] if isinstance(held, list) else ""
    return {**item, name: parts} if name in item else item


def texts_of(item: Any) -> list[str]:
    held = item.get("content") or item.get("output") or ""
    return [held] if isinstance(held, str) else [p["text"] for p in held if "text" in p]


def could_be(old: Any, new: Any) -> bool:
    if skeleton(old) != skeleton(new) or any(map(str.strip, texts_of(old))) != any(map(str.strip, texts_of(new))):
        return False
    rest = iter(texts_of(old))
    return all(any(all(line in before for line in runs_of(after)) for before in rest) for after in texts_of(new))


def pairs_of(items: list[Any]) -> Counter[tuple[str, str]]:
    return Counter((i["type"], i["call_id"]) for i in items if "call_id" in i)


def is_odd(item: Any) -> bool:
    return item.get("type") in ("reasoning", "web_search_call", "item_reference")


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(bodies())
def test_any_request(body: tuple[str, str, str]) -> None:
    head, given, tail = body
    outcome = run("".join(body).encode("utf-8", "surrogatepass"), SMALL)
    event(outcome.reason)
    assert outcome.reason in MADE, outcome.detail
    assert (outcome.body is not None) == (outcome.reason is Reason.RELEVANCE)
    if outcome.body is None:
        return
    text = outcome.body.decode("utf-8", "surrogatepass")
    assert text.startswith(head)
    assert text.endswith(tail)
    old, new = json.loads(given), json.loads(text[len(head) : -len(tail)])
    if isinstance(old, str):
        assert all(line in old for line in runs_of(new))
        assert new.endswith("Which context manager raises the exception?")
        return
    assert_less(old, new)


def assert_less(old: list[Any], new: list[Any]) -> None:
    """Assert that the new items are the old ones with whole items and parts of texts left out, rightly."""
    rest = iter(enumerate(old))
    sources = [next(i for i, o in rest if could_be(o, n)) for n in new]
    assert [i for i in old if is_odd(i)] == [i for i in new if is_odd(i)]
    gone = pairs_of(old) - pairs_of(new)
    assert {(kind, name): n for (kind, name), n in gone.items() if kind == "function_call"} == {
        ("function_call", name): n for (kind, name), n in gone.items() if kind == "function_call_output"
    }
    for at, source in zip(range(len(new) - 1), sources, strict=False):
        follower = old[source + 1]
        if is_odd(old[source]) and follower.get("type") in ("function_call", "message"):
            assert could_be(follower, new[at + 1])
    for source, item in zip(sources, new, strict=True):
        if "output" in item and all(map(parses, texts_of(old[source]))):
            assert all(map(parses, texts_of(item)))
    question = max(i for i, item in enumerate(old) if item.get("role") == "user")
    asked = next(item for i, item in zip(sources, new, strict=True) if i == question)
    assert old[question]["content"] in asked["content"]
    assert all(item in new for item in old if item.get("role") == "developer")


@settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(st.sampled_from(["input", "model", "tools", "instructions", "conversation", "prompt"]), JUNK),
    JUNK,
    st.booleans(),
)
def test_wrong_types_everywhere(body: Item, held: Any, ask: bool) -> None:
    last = [user("word " * 300 + QUESTION)] if ask and isinstance(held, list) else []
    kinds = ["message", "reasoning", "function_call", "function_call_output"]
    items = [{**i, "type": kinds[n % 4]} if isinstance(i, dict) else i for n, i in enumerate(held)] if last else held
    body["input"] = [*items, *last] if isinstance(items, list) else items
    outcome = run(body, WindowPolicy(10, 10, 1000, api=Api.RESPONSES))
    assert outcome.reason is not Reason.ERROR, outcome.detail
    assert (outcome.body is not None) == (outcome.reason is Reason.RELEVANCE)


@settings(max_examples=50, deadline=None)
@given(st.binary(min_size=11, max_size=200))
def test_any_bytes(body: bytes) -> None:
    policy = WindowPolicy(10, 10, 1000, api=Api.RESPONSES)
    assert run(body, policy).reason in (Reason.NOT_TEXT, Reason.SMALL)
