import itertools
import json
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sse import EventRelay
from gateway.usage import Relayed, Usage

USAGE = {"prompt_tokens": 7, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 3}}


def event(value: object, end: str = "\n\n") -> bytes:
    return f"data: {json.dumps(value)}{end}".encode()


DELTA = event({"choices": [{"delta": {"content": 'say "usage": {'}}], "usage": None})
EXTRA = event({"choices": [], "usage": USAGE})
DONE = b"data: [DONE]\n\n"
COMPLETED = event(
    {
        "type": "response.completed",
        "response": {"output": [], "usage": {"input_tokens": 7, "output_tokens": 2, "input_tokens_details": {}}},
    }
)
LAST_WITH_CHOICES = event({"choices": [{"delta": {}, "finish_reason": "stop"}], "usage": USAGE})


def relayed(stream: bytes, cuts: list[int], drop: bool) -> tuple[bytes, EventRelay]:
    relay = EventRelay(drop)
    places = [0, *sorted(c % (len(stream) + 1) for c in cuts), len(stream)]
    out = b"".join(relay.feed(stream[a:b]) for a, b in itertools.pairwise(places))
    return out + relay.rest(), relay


@given(
    st.lists(st.integers(0, 10_000)),
    st.sampled_from(["\n\n", "\r\n\r\n", "\r\r", "\n\r\n", "\r\n\n", "\r\n\r", "\n\r"]),
)
def test_wherever_the_bytes_are_cut_the_extra_chunk_is_dropped_and_noted(cuts: list[int], end: str) -> None:
    extra = EXTRA.replace(b"\n\n", end.encode())
    out, relay = relayed(DELTA + extra + DONE, cuts, drop=True)
    assert out == DELTA + DONE
    assert relay.usage == Usage(7, 2, cached=3)


@given(st.lists(st.integers(0, 10_000)))
def test_what_the_client_asked_for_passes_byte_for_byte(cuts: list[int]) -> None:
    stream = b": comment\n\n" + DELTA + EXTRA + DONE + b"data: unfinished"
    out, relay = relayed(stream, cuts, drop=False)
    assert out == stream
    assert relay.usage == Usage(7, 2, cached=3)


@given(st.lists(st.integers(0, 10_000)), st.sampled_from(["\n", "\r\n", "\r"]), st.booleans())
def test_usage_nested_in_a_response_is_noted_and_never_dropped(cuts: list[int], end: str, drop: bool) -> None:
    created = event({"type": "response.created", "response": {"max_output_tokens": 9, "usage": None}})
    delta = b"event: response.output_text.delta\n" + event({"type": "response.output_text.delta", "delta": "abc"})
    stream = (created + delta + b"event: response.completed\n" + COMPLETED).replace(b"\n", end.encode())
    out, relay = relayed(stream, cuts, drop)
    assert out == stream
    assert relay.usage == Usage(7, 2)
    assert relay.relayed == Relayed(1, 3)


@given(st.lists(st.integers(0, 10_000)))
def test_what_has_been_given_back_of_the_answer_is_counted(cuts: list[int]) -> None:
    _, relay = relayed((DELTA * 3 + EXTRA + DONE), cuts, drop=True)
    assert relay.relayed == Relayed(3, 3 * len('say "usage": {'))


def test_half_an_event_is_not_counted_before_its_end_has_come() -> None:
    relay = EventRelay(drop_usage=False)
    relay.feed(DELTA + DELTA[:-1])
    assert relay.relayed.events == 1


def test_of_usages_that_grow_along_the_stream_the_last_counts() -> None:
    growing = [event({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": n}}) for n in (1, 2, 3)]
    _, relay = relayed(b"".join(growing), [50], drop=False)
    assert relay.usage == Usage(7, 3)


def test_a_last_chunk_with_choices_is_never_dropped() -> None:
    out, relay = relayed(LAST_WITH_CHOICES + DONE, [], drop=True)
    assert out == LAST_WITH_CHOICES + DONE
    assert relay.usage is not None


def test_half_an_event_waits_for_its_end() -> None:
    relay = EventRelay(drop_usage=False)
    assert relay.feed(DELTA[:20]) == b""
    assert relay.feed(DELTA[20:]) == DELTA


@pytest.mark.parametrize("usage", ["null", "{}", '{"prompt_tokens": "x"}', '{"prompt_tokens": -1}', "[1]"])
def test_odd_usage_is_passed_on_and_not_believed(usage: str) -> None:
    stream = f'data: {{"choices": [], "usage": {usage}}}\n\n'.encode()
    out, relay = relayed(stream, [], drop=True)
    assert out == stream
    assert relay.usage is None


ENDS = st.sampled_from([b"\n\n", b"\r\n\r\n", b"\r\r", b"\n\r\n", b"\r\n\n", b"\r\r\n", b"\r\n\r", b"\n\r"])
EVENTS = st.lists(st.tuples(st.sampled_from([b"data: x", b"a\nb", b"a\r\nb", b"a\rb"]), ENDS), max_size=6)


@given(EVENTS, st.integers(1, 9))
def test_events_go_out_as_soon_as_they_are_whole_however_they_are_cut(
    events: list[tuple[bytes, bytes]], n: int
) -> None:
    stream = b"".join(text + end for text, end in events) + b"data: half"
    relay, out = EventRelay(drop_usage=False), b""
    for at in range(0, len(stream), n):
        out += relay.feed(stream[at : at + n])
        # Behind LF CR an LF may still come.
        assert out == b"".join(re.findall(rb"(?s).*?(?:\n\n|\n\r\n|\r\r\n?|\n\r(?=.))", stream[: at + n]))
    assert out + relay.rest() == stream


@pytest.mark.parametrize("drop", [False, True])
@pytest.mark.parametrize("beat", [b":\n", b": ping\r\n", b":\r", b"\n", b"\r\n", b":\n: two\n"])
def test_what_keeps_a_silent_stream_alive_passes_at_once(beat: bytes, drop: bool) -> None:
    relay = EventRelay(drop)
    for _ in range(3):
        assert relay.feed(beat) == beat
    assert relay.feed(b"\n" + DELTA + beat + DELTA[:20]) == b"\n" + DELTA + beat
    assert relay.feed(beat) == b""  # an error could no longer follow half an event
    assert relay.feed(DELTA[20:] + beat) == DELTA[:20] + beat + DELTA[20:] + beat
    assert relay.rest() == b""


def test_half_a_comment_waits_for_its_lines_end() -> None:
    relay = EventRelay(drop_usage=False)
    assert relay.feed(DELTA + b": pi") == DELTA
    assert relay.feed(b"n") == b""
    assert relay.feed(b"g\n" + DELTA[:20]) == b": ping\n"
    assert relay.feed(DELTA[20:]) == DELTA


def test_a_long_comment_is_looked_at_once_in_however_many_pieces_it_comes() -> None:
    comment = b":" + b"x" * 2_000_000 + b"\n"
    relay, began = EventRelay(drop_usage=False), time.process_time()
    assert b"".join(relay.feed(comment[at : at + 200]) for at in range(0, len(comment), 200)) == comment
    assert time.process_time() - began < 1


def test_a_long_event_is_looked_at_once_in_however_many_pieces_it_comes() -> None:
    big = event({"choices": [{"delta": {"content": "x" * 2_000_000}}]})
    relay, began = EventRelay(drop_usage=False), time.process_time()
    assert b"".join(relay.feed(big[at : at + 200]) for at in range(0, len(big), 200)) == big
    assert time.process_time() - began < 1  # of the processor's time; looked at with each piece, it takes several
    assert relay.relayed == Relayed(1, 2_000_000)


def test_behind_a_long_event_half_a_one_waits() -> None:
    relay = EventRelay(drop_usage=True)
    long = event({"choices": [{"delta": {"content": "x" * 4_200_000}}]})
    assert relay.feed(long[:4_000_000]) == b""
    assert relay.feed(long[4_000_000:] + EXTRA[:20]) == long
    assert relay.feed(EXTRA[20:] + DONE) == DONE


def test_an_event_without_an_end_is_not_kept_in_memory() -> None:
    relay = EventRelay(drop_usage=True)
    piece = b"data: " + b"x" * (1 << 20)
    out = b"".join(relay.feed(piece) for _ in range(8))
    assert len(out) >= 4 * len(piece)


def test_the_number_that_follows_is_known_where_events_have_one() -> None:
    relay = EventRelay(drop_usage=False)
    assert relay.next_number is None
    relay.feed(b'data: {"type":"response.created","sequence_number":0,"response":{}}\n\n')
    assert relay.next_number == 1
    both = [b'data: {"type":"x","sequence_number" : %d,"delta":"\\"sequence_number\\":99"}\n\n' % n for n in (8, 9)]
    relay.feed(b"".join(both) + b'data: {"sequence_number":')
    assert relay.next_number == 10
    relay.feed(b'10}\n\n: a comment\n\ndata: {"choices":[]}\n\n')
    assert relay.next_number == 11
    relay.feed(b'data: {"choices":[]}\n\n')
    assert relay.next_number is None
