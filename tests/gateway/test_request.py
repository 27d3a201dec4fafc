import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import InvalidJsonError
from gateway.request import (
    OutputAsked,
    UsageRefusals,
    blames_another,
    parse_request,
    with_ends,
    with_model,
    with_usage_asked,
)


async def test_the_head_is_read() -> None:
    chat = await parse_request(b'{"model": "a", "model": "m", "stream": true, "messages": [1e400, 0.70]}')
    assert (chat.model, chat.stream, chat.usage_asked, chat.stream_options_sent) == ("m", True, False, False)


@pytest.mark.parametrize(
    "body",
    [
        b'{"model": NaN}',
        b'{"model": "\\ud800"}',
        b'{"model": 1e999}',
        b"[]",
        b"3",
        b'{"a": ' + b"[" * 9999 + b"]" * 9999 + b"}",
    ],
)
async def test_what_only_a_stricter_parser_refuses_is_accepted(body: bytes) -> None:
    assert (await parse_request(body)).stream is False


@pytest.mark.parametrize("digits", [13, 400, 4301, 100_000])
async def test_integers_of_any_length_are_accepted_and_weigh_as_the_largest(digits: int) -> None:
    number = b"9" * digits
    body = b'{"n":%b,"max_tokens":%b,"max_completion_tokens":-%b,"model":"m","x":[%b]}' % ((number,) * 4)
    asked = await parse_request(body)
    assert (asked.model, asked.answers, asked.output) == ("m", 10**12, OutputAsked(max_tokens=10**12))


async def test_where_json_is_broken_is_said() -> None:
    for body, said in (
        (b'{"a": "\n"}', "invalid control character at line 1, column 8."),
        (b'{"n": ' + b"9" * 5000 + b",}", "at line 1, column 5008."),
        (b'{"a": "\xff"}', "it is not valid UTF-8."),
    ):
        with pytest.raises(InvalidJsonError, match=re.escape(said)):
            await parse_request(body)


async def test_fields_are_read_where_the_stricter_parser_refused() -> None:
    chat = await parse_request(b'{"model": "m", "stream": true, "temperature": NaN}')
    assert (chat.model, chat.stream) == ("m", True)


@pytest.mark.parametrize("body", [b"", b"{", b'{"a": 1,}', b'{"a": 01}', b'{"a": "\xff"}', b"{} x", b"nope"])
async def test_what_python_refuses_too_is_an_error(body: bytes) -> None:
    with pytest.raises(InvalidJsonError):
        await parse_request(body)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(), lambda c: st.lists(c) | st.dictionaries(st.text(), c)
    )
)
async def test_any_json_is_accepted(value: object) -> None:
    body = json.dumps(value).encode()
    assert (await parse_request(body)).body == body


@pytest.mark.parametrize(
    ("body", "asked"),
    [
        (b'{"stream": true}', b'{"stream_options":{"include_usage":true},"stream": true}'),
        (b' {"stream":true, "x": 1e400}', b' {"stream_options":{"include_usage":true},"stream":true, "x": 1e400}'),
        (b'{"stream":true,"stream_options": {}}', b'{"stream":true,"stream_options": {"include_usage":true}}'),
        (
            b'{"stream":true,"stream_options":{ "include_usage" : false }, "t":0.70}',
            b'{"stream":true,"stream_options":{ "include_usage" : true }, "t":0.70}',
        ),
        (
            b'{"stream":true,"stream_options":{"include_obfuscation":false}}',
            b'{"stream":true,"stream_options":{"include_usage":true,"include_obfuscation":false}}',
        ),
        (
            b'{"stream":true,"stream_options": null , "t":0.70}',
            b'{"stream":true,"stream_options": {"include_usage":true} , "t":0.70}',
        ),
        (
            b'{"stream":true,"stream_options":null,"t":NaN}',  # read by the second, more lenient reader
            b'{"stream":true,"stream_options":{"include_usage":true},"t":NaN}',
        ),
        (
            b'{"stream":true,"stream_options":{"include_usage":true},"stream_options":null}',
            b'{"stream":true,"stream_options":{"include_usage":true},"stream_options":{"include_usage":true}}',
        ),
        (
            b'{"stream":true,"stream_options":{"include_usage":null}}',
            b'{"stream":true,"stream_options":{"include_usage":true}}',
        ),
        (b'{"stream":true,"t":NaN}', b'{"stream_options":{"include_usage":true},"stream":true,"t":NaN}'),
        (b'{"stream":true,"stream_options":[1]}', None),
        (b'{"stream":true,"stream_options":false}', None),
        ('{"stream":true}'.encode("utf-16"), None),
        ('{"stream":true}'.encode("utf-16-be"), None),
        ('{"stream":true,"stream_options":{}}'.encode("utf-16"), None),
        ('{"stream":true}'.encode("utf-32"), None),
        (b'\xef\xbb\xbf{"stream":true}', b'\xef\xbb\xbf{"stream_options":{"include_usage":true},"stream":true}'),
    ],
)
async def test_usage_is_asked_for_with_one_splice(body: bytes, asked: bytes | None) -> None:
    read = await parse_request(body)
    assert read.stream
    assert await with_usage_asked(read, body) == asked


@pytest.mark.parametrize(
    "body", ['{"model":"m"}'.encode("utf-16"), '{"model":"m"}'.encode("utf-16-be"), b"\x1f\x8b\xff"]
)
async def test_a_body_that_is_not_utf_8_goes_under_the_name_it_has(body: bytes) -> None:
    assert await with_model(body, "other") == body
    assert await with_model(b'{"model":"m"}', "other") == b'{"model":"other"}'


async def test_large_bodies_are_spliced_alike() -> None:
    body = b'{"stream":true,"stream_options":{},"pad":"' + b"x" * 100_000 + b'"}'
    asked = await with_usage_asked(await parse_request(body), body)
    assert asked == body.replace(b'"stream_options":{}', b'"stream_options":{"include_usage":true}')


def test_refusals_are_remembered_and_bounded() -> None:
    refusals = UsageRefusals()
    for i in range(3000):
        refusals.add("main", str(i))
    assert ("main", "2999") in refusals
    assert ("main", "0") not in refusals
    assert ("other", "2999") not in refusals


async def test_what_a_body_asks_for_beyond_its_model() -> None:
    asked = await parse_request(b'{"user":"u","max_tokens":7,"max_completion_tokens":5,"n":3}')
    assert (asked.user, asked.output, asked.answers, asked.linked) == ("u", OutputAsked(5, 7), 3, False)
    assert (await parse_request(b'{"max_output_tokens":9}')).output == OutputAsked(max_output_tokens=9)


@pytest.mark.parametrize(
    "body", [b'{"previous_response_id":"r"}', b'{"conversation":{"id":"c"}}', b'{"prompt":{"id":"pmpt_1"}}']
)
async def test_what_the_upstream_adds_to_is_linked(body: bytes) -> None:
    assert (await parse_request(body)).linked


async def test_numbers_are_read_as_a_lenient_upstream_reads_them() -> None:
    asked = await parse_request(
        b'{"max_tokens":"4096","max_completion_tokens":"1e3","max_output_tokens":"no","n":" 5 "}'
    )
    assert (asked.output, asked.answers) == (OutputAsked(1000, 4096), 5)


async def test_names_are_short_and_can_be_stored() -> None:
    asked = await parse_request(b'{"user":"\\ud800u","model":"' + b"m" * 10_000 + b'"}')
    assert (asked.user, asked.model) == ("\ufffdu", "m" * 256)
    assert (await parse_request(b'{"model":"m\\udfff"}')).model == "m\ufffd"


async def test_what_is_nested_too_deep_to_be_read_says_so() -> None:
    body = b'{"model":"m","n":100,"x":' + b"[" * 99_999 + b"]" * 99_999 + b"}"
    asked = await parse_request(body)
    assert (asked.readable, asked.model) == (False, None)


@pytest.mark.parametrize(
    ("body", "answers"),
    [
        (b'{"prompt":["a","b"],"n":2}', 4),
        (b'{"prompt":[1,2,3],"best_of":2}', 2),
        (b'{"prompt":[[1],[2]]}', 2),
        (b'{"prompt":[]}', 1),
        (b'{"n":0}', 1),
        (b'{"n":1e400}', 1),
        (b'{"n":true,"best_of":-1}', 1),
    ],
)
async def test_how_many_answers_a_body_asks_for(body: bytes, answers: int) -> None:
    assert (await parse_request(body)).answers == answers


async def test_what_cannot_be_read_is_left_to_the_upstream_where_that_is_asked_for() -> None:
    assert not (await parse_request(b"nope", strict=False)).readable
    assert not (await parse_request(b"\x1f\x8b", compressed=True)).readable
    with pytest.raises(InvalidJsonError):
        await parse_request(b"nope")


@pytest.mark.parametrize(
    ("start", "end", "model"),
    [
        (b'{"model": "m", "input": ["say \\"model\\": \\"x\\"', b'"]}', "m"),
        (b'{"input": ["a', b'b"], "user": "u", "model":"m"}', "m"),
        (b'{"input": ["a', b'b"]}', None),
        (b'{"model": "\xff"', b"", None),
    ],
)
def test_of_a_body_of_which_just_the_ends_are_known_the_model_is_read(
    start: bytes, end: bytes, model: str | None
) -> None:
    found = with_ends(start, end)
    assert (found.model, found.readable) == (model, False)


@pytest.mark.parametrize(
    ("refusal", "blames"),
    [
        (b'{"error": {"message": "too long", "param": "messages", "code": "context_length_exceeded"}}', True),
        (b'{"error": {"message": "odd", "param": "messages[0].content"}}', True),
        (
            b'{"error": {"message": "Unrecognized request argument supplied: stream_options", "param": "messages"}}',
            False,
        ),
        (b'{"error": {"message": "unknown", "param": "stream_options.include_usage"}}', False),
        (b'{"error": {"message": "unknown", "param": null}}', False),
        (b'{"error": {"message": "unknown", "param": "None"}}', False),
        (b'{"error": {"message": "unknown", "param": 7}}', False),
        (b'{"error": "unknown"}', False),
        (b'{"detail": [{"loc": ["body", "messages"]}]}', False),
        (b"\x1f\x8b not JSON", False),
        (b"", False),
    ],
)
def test_whether_a_refusal_is_for_what_the_caller_sent(refusal: bytes, blames: bool) -> None:
    assert blames_another(refusal, b'{"model": "m", "messages": []}') == blames


@pytest.mark.parametrize(("asked", "a_day"), [("24h", True), ("in_memory", False), (None, False), (24, False)])
async def test_how_long_the_provider_is_to_keep_the_prompt(asked: object, a_day: bool) -> None:
    body = json.dumps({"messages": [], "prompt_cache_retention": asked}).encode()
    assert (await parse_request(body)).cached_a_day is a_day
