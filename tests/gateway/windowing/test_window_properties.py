"""What must hold of every window, whatever the conversation: read from outside, body in and body out."""

import json
import random
from collections import Counter
from typing import Any

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from gateway.windowing.types import Reason, WindowPolicy
from tests.gateway.windowing.windows import (
    MADE,
    QUESTION,
    TINY,
    WORDS,
    run,
    runs_of,
    texts_of,
)

IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
SURROGATE = "\ud83d"


@st.composite
def prose(draw: st.DrawFn, most: int = 500) -> str:
    dice = random.Random(draw(st.integers(0, 10**6)))
    size = draw(st.integers(0, most))
    glue = draw(st.sampled_from([" ", " ", "\n", ". ", "\r\n\r\n", ""]))
    extra = draw(st.sampled_from(["", "", '"\\/', "\x00\t", SURROGATE, "[… 3 lines omitted …]"]))
    return glue.join(dice.choice(WORDS) for _ in range(size)) + extra


@st.composite
def result_text(draw: st.DrawFn) -> str:
    if draw(st.booleans()):
        return draw(prose())
    record = {
        "id": draw(st.integers(0, 10**30)),
        "note": draw(prose(20)),
        "deep": {"list": list(range(draw(st.integers(0, 40))))},
    }
    value = draw(
        st.sampled_from([[record] * 12, {"orders": [record] * 9, "n": 1.50}, record, 12.5, None, [draw(prose(400))]])
    )
    return json.dumps(value, indent=draw(st.sampled_from([None, 2])), ensure_ascii=draw(st.booleans()))


@st.composite
def contents(draw: st.DrawFn) -> Any:
    kind = draw(st.integers(0, 9))
    if kind == 0:
        return None
    if kind <= 2:
        parts: list[Any] = [{"type": "text", "text": t} for t in draw(st.lists(prose(), max_size=3))]
        return [*parts, *([IMAGE] if draw(st.integers(0, 5)) == 0 else [])]
    return draw(prose())


@st.composite
def group(draw: st.DrawFn) -> list[dict[str, Any]]:
    ids = draw(st.lists(st.sampled_from(["a", "b", "a1"]), min_size=1, max_size=3))
    calls = [{"id": i, "type": "function", "function": {"name": "find", "arguments": draw(prose(8))}} for i in ids]
    head = {"role": "assistant", "content": draw(st.none() | prose(30)), "tool_calls": calls}
    return [head, *({"role": "tool", "tool_call_id": i, "content": draw(results())} for i in ids)]


@st.composite
def results(draw: st.DrawFn) -> Any:
    if draw(st.integers(0, 3)):
        return draw(result_text())
    return [{"type": "text", "text": t} for t in draw(st.lists(result_text(), max_size=3))]


@st.composite
def conversations(draw: st.DrawFn) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    if draw(st.booleans()):
        messages.append({"role": draw(st.sampled_from(["system", "developer"])), "content": draw(prose(60))})
    for _ in range(draw(st.integers(0, 12))):
        kind = draw(st.integers(0, 9))
        if kind <= 3:
            messages.append({"role": "user", "content": draw(contents())})
        elif kind <= 6:
            messages.append({"role": "assistant", "content": draw(contents())})
        elif kind <= 8:
            messages += draw(group())
        else:
            messages.append({"role": "system", "content": draw(prose(30))})
    messages.append({"role": "user", "content": draw(prose(40)) + "\n\nWhich context manager raises the exception?"})
    return messages + (draw(group()) if draw(st.integers(0, 4)) == 0 else [])


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """A request written in any style of JSON."""
    body = {"model": "gpt-4o-mini", "messages": draw(conversations()), "n": 10**25, "temperature": 0.70}
    text = json.dumps(
        body,
        indent=draw(st.sampled_from([None, 2, "\t"])),
        separators=draw(st.sampled_from([None, (",", ":"), (" , ", " : ")])),
        ensure_ascii=draw(st.booleans()),
    )
    head = draw(
        st.sampled_from(["", '"messages": 7, ', '"messages": [{"role": "user", "content": "other"}], "n": 1e999,'])
    )
    return ("\n{" + head + text[1:] + " ").encode("utf-8", "surrogatepass")


def tool_pairs_hold(messages: list[dict[str, Any]]) -> bool:
    called: Counter[str] = Counter()
    for message in messages:
        if message["role"] == "tool":
            if called[message["tool_call_id"]] <= 0:
                return False
            called[message["tool_call_id"]] -= 1
        elif +called:
            return False
        else:
            called = Counter(c["id"] for c in message.get("tool_calls") or [])
    return not +called


def adjacent_roles(messages: list[dict[str, Any]]) -> set[tuple[str, str]]:
    roles = [m["role"] for m in messages if m["role"] not in ("system", "developer")]
    return set(zip(["start", *roles], [*roles, "end"], strict=True))


def parses(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def match(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Pair each forwarded message with the first original after the last pair that it can have come from."""
    rest = iter(old)
    return [(next(o for o in rest if could_be(o, n)), n) for n in new]


def could_be(old: dict[str, Any], new: dict[str, Any]) -> bool:
    """Whether the forwarded message is the original one with less text in it: parts left out, but never all text."""
    if without_texts(old) != without_texts(new) or has_words(old) != has_words(new):
        return False
    rest = iter(texts_of(old))
    return all(any(less(before, after) for before in rest) for after in texts_of(new))


def has_words(message: dict[str, Any]) -> bool:
    return any(text.strip() for text in texts_of(message))


def less(before: str, after: str) -> bool:
    return bool(before) == bool(after) and all(line in before for line in runs_of(after))


def without_texts(message: dict[str, Any]) -> dict[str, Any]:
    content = message.get("content")
    parts = [p for p in content if p["type"] != "text"] if isinstance(content, list) else ""
    return {**message, "content": content if content is None else parts}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(bodies())
def test_any_conversation(body: bytes) -> None:
    outcome = run(body, TINY)
    event(outcome.reason)
    assert outcome.reason in MADE, outcome.detail
    if outcome.body is None:
        assert outcome.reason is not Reason.RELEVANCE
        return
    assert outcome.reason is Reason.RELEVANCE
    assert outcome.tokens_original is not None
    assert outcome.tokens_forwarded is not None
    assert outcome.tokens_forwarded <= 0.9 * outcome.tokens_original
    before, after = json.loads(body), json.loads(outcome.body)
    old, new = before.pop("messages"), after.pop("messages")
    assert before == after
    pairs = match(old, new)
    assert tool_pairs_hold(new) or not tool_pairs_hold(old)
    assert adjacent_roles(new) <= adjacent_roles(old) | {
        ("start", "user"),
        ("tool", "assistant"),
        ("user", "assistant"),
    } | {("assistant", "user") for _ in old}
    for was, now in pairs:
        if was["role"] in ("system", "developer"):
            assert was["content"] in now["content"]
        if was["role"] == "tool" and all(map(parses, texts_of(was))):
            assert all(map(parses, texts_of(now)))
    question = max(i for i, m in enumerate(old) if m["role"] == "user")
    asked = [now for was, now in pairs if was is old[question]]
    assert asked
    assert old[question]["content"] in asked[0]["content"]
    if question and question == len(old) - 1 and old[-2]["role"] in ("user", "assistant"):
        assert old[-2] in new or not texts_of(old[-2]) or len("".join(texts_of(old[-2]))) > 2000


# Anything else

JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=40)
    | st.sampled_from(["user", "tool", "text", "x" * 500]),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(
            st.sampled_from(
                ["role", "content", "type", "text", "tool_calls", "function", "name", "arguments", "id", "tool_call_id"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=30,
)


@settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(st.sampled_from(["messages", "model", "tools", "functions", "stream"]), JUNK), JUNK, st.booleans()
)
def test_wrong_types_everywhere(body: dict[str, Any], messages: Any, ask: bool) -> None:
    last = [{"role": "user", "content": "word " * 300 + QUESTION}] if ask and isinstance(messages, list) else []
    body["messages"] = [*messages, *last] if isinstance(messages, list) else messages
    outcome = run(body, WindowPolicy(10, 10, 1000))
    assert outcome.reason is not Reason.ERROR, outcome.detail
    assert (outcome.body is not None) == (outcome.reason is Reason.RELEVANCE)


@settings(max_examples=100, deadline=None)
@given(st.binary(min_size=11, max_size=200))
def test_any_bytes(body: bytes) -> None:
    assert run(body, WindowPolicy(10, 10, 1000)).reason in (Reason.NOT_TEXT, Reason.SMALL)
