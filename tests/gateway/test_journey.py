import pytest

from gateway.errors import RateLimitError
from gateway.journey import Sampler, timed
from gateway.upstreams.candidates import Candidate
from gateway.upstreams.upstream import UpstreamReply

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01".encode()
ALL, NONE = Sampler(1.0), Sampler(0.0)


def test_a_callers_trace_goes_on_by_the_callers_word() -> None:
    for sampler in (ALL, NONE):
        found = sampler.begin("POST", [(b"traceparent", PARENT), (b"tracestate", b"a=1"), (b"tracestate", b"b=2")])
        assert (found.trace, found.parent, found.sampled, found.state) == (TRACE, SPAN, True, "a=1,b=2")
        assert found.span not in (SPAN, "")
        assert not sampler.begin("POST", [(b"traceparent", PARENT[:-2] + b"00")]).sampled


@pytest.mark.parametrize(
    "wrong",
    [
        b"",
        b"00-1-2-01",
        PARENT.upper(),
        b"ff" + PARENT[2:],
        PARENT + b"-more",
        PARENT.replace(TRACE.encode(), b"0" * 32),
        PARENT.replace(SPAN.encode(), b"0" * 16),
        PARENT + b"\xff",
    ],
)
def test_what_is_no_traceparent_begins_a_trace(wrong: bytes) -> None:
    found = ALL.begin("POST", [(b"traceparent", wrong), (b"tracestate", b"a=1")])
    assert (found.parent, found.state, found.sampled) == ("", "", True)
    assert found.trace != TRACE
    assert ALL.begin("POST", [(b"traceparent", PARENT), (b"traceparent", PARENT)]).parent == ""


def test_a_later_version_may_say_more() -> None:
    assert ALL.begin("POST", [(b"traceparent", b"01" + PARENT[2:] + b"-more")]).trace == TRACE
    assert ALL.begin("POST", [(b"traceparent", PARENT[:-2] + b"ff")]).flags == 3  # bits that nobody knows yet are 0


def test_an_overlong_state_is_left_out() -> None:
    assert ALL.begin("POST", [(b"traceparent", PARENT), (b"tracestate", b"a=" + b"x" * 600)]).state == ""


def test_a_share_of_traces_is_sampled() -> None:
    sampled = sum(Sampler(0.25).begin("POST", []).sampled for _ in range(2000))
    assert 350 < sampled < 650
    assert not any(NONE.begin("POST", []).sampled for _ in range(100))
    assert len({ALL.begin("POST", []).trace for _ in range(100)}) == 100


async def test_stages_are_noted_however_they_end() -> None:
    async def work(error: Exception | None = None) -> int:
        if error:
            raise error
        return 7

    journey = ALL.begin("POST", [])
    assert await timed(journey, "windowing", work()) == 7
    with pytest.raises(RateLimitError):
        await timed(journey, "admission", work(RateLimitError("no", 1)))
    with pytest.raises(KeyError):
        await timed(journey, "other", work(KeyError("no")))
    assert [(found.name, found.error) for found in journey.stretches] == [
        ("windowing", ""),
        ("admission", "rate_limit_exceeded"),
        ("other", "KeyError"),
    ]
    assert all(found.began <= found.ended for found in journey.stretches)
    assert await timed(None, "windowing", work()) == 7


async def test_each_attempt_tells_the_upstream_its_own_place() -> None:
    async def fail() -> UpstreamReply:
        raise OSError

    journey = ALL.begin("POST", [(b"traceparent", PARENT), (b"tracestate", b"a=1")])
    sent = []
    for name in ("first", "second"):
        with pytest.raises(OSError):
            await journey.called(Candidate(name), fail())
        sent.append(journey.headers([(b"traceparent", PARENT), (b"tracestate", b"a=1"), (b"x", b"y")]))
    spans = [call.span for call in journey.calls]
    assert len({*spans, SPAN, journey.span}) == 4
    assert sent == [
        [(b"x", b"y"), (b"traceparent", f"00-{TRACE}-{span}-01".encode()), (b"tracestate", b"a=1")] for span in spans
    ]
    assert [call.status for call in journey.calls] == [None, None]
    assert all(call.began <= call.ended for call in journey.calls)
