import json
import sys
import threading
from types import FrameType
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.budgets.worst_case import Weighing, WorstCase, may_hold_audio, worst_case
from gateway.policies import Route
from gateway.request import ApiRequest, parse_request
from gateway.windowing.conversation import read
from gateway.windowing.counting import tally
from retrieval.tokens import counter_for
from retrieval.types import Deadline

IMAGE = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
FRAMES = 64


async def worst(
    body: dict[str, Any] | bytes, route: Route = Route.CHAT, counted: int | None = None, answer: int = 1000
) -> WorstCase:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return worst_case(await parse_request(raw), raw, counted, route, answer)


def parsed(body: bytes) -> ApiRequest:
    return ApiRequest(body, "m", stream=False, usage_asked=False, stream_options_sent=False)


def counted_by_windowing(body: bytes) -> int | None:
    conversation = read(body)
    if conversation is None:
        return None
    return tally(conversation, counter_for(conversation.model), Deadline.after(60)).total


def billed(chat: dict[str, Any]) -> int:
    """Return the tokens of all that a model can be given of a chat: every string in it, and what frames messages."""
    count = counter_for(chat.get("model")).count
    messages: list[dict[str, Any]] = chat["messages"]
    rest = {name: value for name, value in chat.items() if name not in ("messages", "model")}
    text = sum(count(found) for message in messages for found in _strings(message))
    return text + sum(3 + ("name" in message) for message in messages) + 3 + (count(json.dumps(rest)) if rest else 0)


def _strings(value: object) -> list[str]:
    if isinstance(value, dict):
        names = [] if "type" in value or "role" in value else list(value)
        return [*names, *(found for name, v in value.items() if name != "type" for found in _strings(v))]
    if isinstance(value, list):
        return [found for item in value for found in _strings(item)]
    return [value] if isinstance(value, str) else []


texts = (
    st.text(max_size=60)
    | st.text('漢字かな한글ไทย🜁😀é\n\t "\\<|>', max_size=80)
    | st.sampled_from(["The quick brown fox. " * 30, '{"a": [1, 2]}' * 20, "x" * 500, " " * 300, "0123456789" * 40])
)
parts = st.one_of(
    texts.map(lambda text: {"type": "text", "text": text}),
    texts.map(lambda text: {"type": "text", "text": text, "cache_control": {"type": "ephemeral"}}),
    texts.map(lambda text: {"type": "thinking", "thinking": text}),
    texts.map(lambda text: {"type": "input_text", "text": text}),
    texts.map(lambda text: {"type": "file", "file": {"file_data": text}}),
    texts.map(lambda text: {"type": "refusal", "refusal": text}),
    texts.map(lambda text: {"text": text}),
)  # fmt: skip
calls = st.lists(
    st.builds(lambda name, said: {"id": "c", "function": {"name": name, "arguments": said}}, texts, texts), max_size=2
)
messages = st.fixed_dictionaries(
    {
        "role": st.sampled_from(["system", "user", "assistant", "tool", "critic"]),
        "content": texts | st.lists(parts, max_size=3) | st.none(),
    },
    optional={"name": texts, "reasoning_content": texts, "tool_calls": calls | st.just("none"), "refusal": texts},
)
chats = st.fixed_dictionaries(
    {"model": st.sampled_from(["gpt-4o", "gpt-4", "llama-3"]), "messages": st.lists(messages, min_size=1, max_size=5)},
    optional={
        "tools": st.lists(st.builds(lambda text: {"type": "function", "function": {"description": text}}, texts)),
        "response_format": st.builds(lambda text: {"type": "json_schema", "json_schema": {"name": text}}, texts),
    },
)


@given(chats, st.booleans(), st.booleans())
@example({"messages": [{"role": "user", "content": ""}]}, False, False)
@example({"messages": [{"role": "user", "content": "a"}] * 500}, False, True)
@example({"messages": [{"role": "user", "content": [{"type": "x", "x": "not counted by anybody " * 99}]}]}, False, True)
@example({"messages": [{"role": "critic", "content": "of no known role " * 99}]}, False, True)
async def test_no_chat_is_billed_more(chat: dict[str, Any], ascii_only: bool, count: bool) -> None:
    body = json.dumps(chat, ensure_ascii=ascii_only).encode()
    counted = counted_by_windowing(body) if count else None
    assert (await worst(body, counted=counted)).prompt >= billed(chat)


@given(st.lists(texts, min_size=1, max_size=8), st.sampled_from([Route.COMPLETIONS, Route.EMBEDDINGS]))
async def test_no_text_is_billed_more(inputs: list[str], route: Route) -> None:
    body = {"model": "m", ("prompt" if route is Route.COMPLETIONS else "input"): inputs}
    count = counter_for("m").count
    assert (await worst(body, route)).prompt >= sum(map(count, inputs))
    tokens = {"model": "m", "prompt": list(range(300))}
    assert (await worst(tokens, route)).prompt >= 300


async def test_what_was_counted_leaves_more_room() -> None:
    text = "Retrieval finds the passages that a question needs.\n" * 400
    body = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": text}]}).encode()
    counted = counted_by_windowing(body)
    assert counted is not None
    assert (await worst(body)).prompt == len(body) + FRAMES
    assert counted < (await worst(body, counted=counted)).prompt < counted * 1.4 < len(body) / 2


async def test_a_count_never_makes_it_more() -> None:
    body = {"messages": [{"role": "user", "content": "hi"}]}
    assert (await worst(body, counted=10**6)).prompt == (await worst(body)).prompt


async def test_a_short_prompt_has_room_for_its_models_own_frame() -> None:
    # What gpt-oss's template says before the first message is about 70 tokens.
    assert (await worst({"messages": [{"role": "user", "content": "hi"}]})).prompt >= 70 + 8


async def test_tools_have_room_for_what_introduces_them() -> None:
    plain = {"messages": [{"role": "user", "content": "hi"}]}
    with_tools = {**plain, "tools": [{"type": "function", "function": {"name": "f"}}]}
    assert (await worst(with_tools)).prompt - (await worst(plain)).prompt > 500


@pytest.mark.parametrize(
    ("model", "most"),
    [("gpt-4o", 10_000), ("gpt-4o-mini", 36_835), ("gpt-4o-mini-2024-07-18", 36_835), ("openai/gpt-4o-mini", 36_835)],
)
@pytest.mark.parametrize("count", [1, 3])
async def test_images_cost_at_most(model: str, most: int, count: int) -> None:
    body = {"model": model, "messages": [{"role": "user", "content": [IMAGE] * count}]}
    assert (await worst(body)).prompt >= count * most
    assert (await worst(body, counted=10)).prompt >= count * most


async def test_images_of_the_responses_api() -> None:
    image = {"type": "input_image", "image_url": "https://example.com/a.png"}
    assert (await worst({"input": [{"role": "user", "content": [image]}]}, Route.RESPONSES)).prompt >= 10_000


async def test_no_image_hides_behind_escapes() -> None:
    body = json.dumps({"messages": [{"role": "user", "content": [IMAGE]}]}).encode()
    hidden = body.replace(b"image_url", b"\\u0069mage\\u005Furl")
    assert json.loads(hidden) == json.loads(body)
    assert (await worst(hidden)).prompt >= (await worst(body)).prompt


@pytest.mark.parametrize(
    "around",
    [
        b'"\\u00zz\\ud83d\\ude00"',
        b'"\\\\u0041 \\u4e00 \\/ \\n"',
        '"\u00e9\u6f22"'.encode(),
        b'"\\u003cb\\u003E \\u00e9"',
    ],
)
async def test_whatever_else_is_escaped_no_file_hides_behind_it(around: bytes) -> None:
    part = b'{"type": "input_file", "\\u0066ile_\\u0069d": "f"}'
    body = b'{"input": [{"role": "user", "content": [%s, %s, %s]}]}' % (around, part, around)
    assert worst_case(parsed(body), body, None, Route.RESPONSES, 10).prompt > 200_000
    plain = body.replace(b"\\u0066ile_", b"file-")
    assert worst_case(parsed(plain), plain, None, Route.RESPONSES, 10).prompt < 1000


async def test_escaped_text_is_weighed_without_a_call_for_each_letter() -> None:
    body = b'{"messages": [{"role": "user", "content": "%s"}]}' % (b"\\u0041" * 10_000)
    asked, calls = parsed(body), 0

    def count(_frame: FrameType, _event: str, _argument: object) -> None:
        nonlocal calls
        calls += 1

    sys.setprofile(count)
    try:
        worst_case(asked, body, None, Route.CHAT, 10)
    finally:
        sys.setprofile(None)
    assert calls < 1000


async def test_text_about_images_is_no_image() -> None:
    body = {"messages": [{"role": "user", "content": json.dumps([IMAGE])}]}
    assert (await worst(body)).prompt == len(json.dumps(body)) + FRAMES


@pytest.mark.parametrize("key", ["messages", "input"])
async def test_an_image_in_the_body_counts_by_its_size_not_as_text(key: str) -> None:
    url = "data:image/png;base64," + "A" * 1_000_000
    part = {"type": "input_image", "image_url": url} if key == "input" else {**IMAGE, "image_url": {"url": url}}
    body = {key: [{"role": "user", "content": [part]}]}
    assert 10_000 <= (await worst(body)).prompt < 12_000
    assert 10_000 <= (await worst(body, counted=10)).prompt < 12_000


async def test_an_image_whose_slashes_are_escaped_is_one_too() -> None:
    url = "data:image/png;base64," + "A" * 100_000
    body = json.dumps({"messages": [{"role": "user", "content": [{**IMAGE, "image_url": {"url": url}}]}]}).encode()
    assert (await worst(body.replace(b"/", b"\\/"))).prompt < 12_000


@pytest.mark.parametrize(
    "body",
    [
        {"messages": [{"role": "user", "content": "data:image/png;base64," + "A" * 50_000}, {"content": [IMAGE]}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "data:image/" + "A" * 50_000}, IMAGE]}]},
        {"tools": {"type": "image_url", "image_url": "data:image/" + "A" * 50_000}},
    ],
)
async def test_text_that_looks_like_an_image_counts_as_text(body: dict[str, Any]) -> None:
    assert (await worst(body)).prompt > 50_000


@pytest.mark.parametrize(
    "extra",
    [
        {"previous_response_id": "r"},
        {"conversation": "c"},
        {"prompt": {"id": "pmpt_1"}},
        {"tools": [{"type": "file_search", "vector_store_ids": ["v"]}]},
        {"tools": [{"type": "web_search_preview"}]},
        {"tools": [{"type": "mcp", "server_url": "https://example.com"}]},
        {"web_search_options": {}},
        {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}]},
        {"input": [{"role": "user", "content": [{"type": "input_file", "file_url": "https://example.com"}]}]},
        {"input": [{"role": "user", "content": [{"type": "input_file", "file_data": "data:application/pdf;base64,"}]}]},
        {"input": [{"type": "item_reference", "id": "i"}]},
    ],
)
async def test_what_the_upstream_adds_is_allowed_for(extra: dict[str, Any]) -> None:
    linked = await worst({"model": "m"} | extra, Route.RESPONSES)
    assert linked.prompt > 200_000
    assert linked.completion == 1000


async def test_of_a_file_in_a_chat_every_page_is_allowed_for() -> None:
    file = {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="}}
    body = {"messages": [{"role": "user", "content": [file]}]}
    assert (await worst(body)).prompt > 200_000
    assert (await worst(body, counted=10)).prompt > 200_000


async def test_a_schema_about_files_adds_nothing() -> None:
    schema = {"properties": {name: {"type": "string"} for name in ("file_id", "file_url", "file_data")}}
    body = {"tools": [{"type": "function", "function": {"name": "f", "parameters": schema}}]}
    assert (await worst(body)).prompt < 2000


@pytest.mark.parametrize(
    ("route", "asked", "most"),
    [
        (Route.CHAT, {}, 1000),
        (Route.CHAT, {"max_completion_tokens": 5}, 5),
        (Route.CHAT, {"max_tokens": 5000}, 5000),
        (Route.CHAT, {"max_tokens": 0}, 0),
        (Route.CHAT, {"max_tokens": -1}, 1000),
        (Route.CHAT, {"max_tokens": None}, 1000),
        # An upstream that knows one of the names passes the other over.
        (Route.CHAT, {"max_completion_tokens": 5, "max_tokens": 7}, 7),
        (Route.CHAT, {"max_output_tokens": 5}, 1000),
        (Route.COMPLETIONS, {"max_tokens": 5}, 5),
        (Route.COMPLETIONS, {"max_completion_tokens": 5, "max_tokens": 70}, 70),
        (Route.COMPLETIONS, {"max_completion_tokens": 5}, 1000),
        (Route.RESPONSES, {"max_output_tokens": 5}, 5),
        (Route.RESPONSES, {"max_completion_tokens": 5, "max_tokens": 5}, 1000),
        (Route.EMBEDDINGS, {"max_tokens": 5, "n": 3}, 0),
    ],
)
async def test_the_longest_answer(route: Route, asked: dict[str, Any], most: int) -> None:
    assert (await worst({"model": "m"} | asked, route)).completion == most


@pytest.mark.parametrize(
    ("asked", "answers"),
    [
        ({"n": 3}, 3),
        ({"n": "128"}, 128),
        ({"best_of": 4, "n": 2}, 4),
        ({"best_of": 2, "n": 4}, 4),
        ({"prompt": ["a", "b", "c"]}, 3),
        ({"prompt": ["a", "b"], "n": 2, "best_of": 5}, 10),
        ({"prompt": [1, 2, 3]}, 1),
        ({"prompt": [[1, 2], [3]], "n": 2}, 4),
        ({"prompt": []}, 1),
        ({"prompt": "a"}, 1),
    ],
)
async def test_answers_multiply(asked: dict[str, Any], answers: int) -> None:
    limited = await worst({"max_tokens": 10} | asked, Route.COMPLETIONS)
    assert limited.completion == 10 * answers
    assert (await worst(asked, Route.COMPLETIONS)).completion == 1000 * answers


async def test_no_answer_is_too_large_to_be_counted() -> None:
    asked = {"max_tokens": 10**11, "n": 10**11, "prompt": ["a"] * 100}
    assert (await worst(asked, Route.COMPLETIONS)).completion == 10**12


def test_all_tokens() -> None:
    assert WorstCase(3, 4).tokens == 7
    assert WorstCase(3, 4).times(2) == WorstCase(6, 8)


async def test_a_body_is_weighed_once_when_it_is_first_wanted() -> None:
    threads: list[int] = []

    def weigh() -> WorstCase:
        threads.append(threading.get_ident())
        return WorstCase(3, 4)

    short, long = Weighing(weigh, 1 << 20), Weighing(weigh, (1 << 20) + 1)
    assert (short.long, long.long, threads) == (False, True, [])
    assert [short(), short(), await short.apart()] == [await long.apart(), await long.apart(), long()]
    assert len(threads) == 2
    assert threads[0] == threading.get_ident() != threads[1]


WAV = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}
FILM = {"type": "image_url", "image_url": {"url": "data:video/mp4;base64,AAAA"}}


@pytest.mark.parametrize(
    "body, may",
    [
        ({"messages": [{"role": "user", "content": "Is audio dearer than video?"}]}, False),
        ({"messages": [{"role": "user", "content": [WAV]}]}, True),
        ({"messages": [{"role": "user", "content": [FILM]}]}, True),
        ({"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "f"}}]}]}, True),
        ({"messages": [], "modalities": ["text", "audio"]}, True),
        ({"previous_response_id": "resp_1", "input": "Go on."}, True),
        (b'{"messages": [{"content": [{"type": "inpu\\u0074_audio"}]}]}', True),
    ],
)
async def test_whether_tokens_may_be_audio(body: dict[str, Any] | bytes, may: bool) -> None:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    assert may_hold_audio(await parse_request(raw), raw) is may


def test_several_times_the_same_is_of_the_same_kind() -> None:
    assert WorstCase(3, 4, audio=True).times(2) == WorstCase(6, 8, audio=True)
