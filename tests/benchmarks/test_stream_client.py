from collections.abc import AsyncIterator, Iterator

import pytest

from benchmarks.canned_stream import END, HEAD, chunk, event
from benchmarks.processes import free_port, running
from benchmarks.stream_client import Seen, StreamClient, connected, dechunked, request_for


@pytest.fixture(scope="module")
def upstream() -> Iterator[str]:
    port = free_port()
    with running(["-m", "benchmarks.canned_stream", str(port)], port) as server:
        yield server.url


@pytest.fixture
async def client(upstream: str) -> AsyncIterator[StreamClient]:
    found = await connected(upstream)
    yield found
    found.close()


async def test_a_paced_stream_comes_as_it_is_written(upstream: str, client: StreamClient) -> None:
    seen = await client.read(request_for(upstream, events=5, gap_ms=20))
    assert seen.whole(5)
    assert len(seen.delays_ms) == 5
    assert all(0 < delay < 20 for delay in seen.delays_ms)
    assert 20 <= seen.first_ms < 40


async def test_a_connection_serves_one_stream_after_the_other(upstream: str, client: StreamClient) -> None:
    for events in (2000, 1, 30):
        seen = await client.read(request_for(upstream, events, gap_ms=0))
        assert seen.whole(events)
        assert not seen.whole(events + 1)


async def test_usage_is_sent_where_it_is_asked_for(upstream: str, client: StreamClient) -> None:
    plain = await client.read(request_for(upstream, 3, 0))
    plan = b'"metadata": {'
    asked = request_for(upstream, 3, 0).replace(plan, b'"stream_options": {"include_usage": true}, ' + plan)
    length = len(request_for(upstream, 3, 0).partition(b"\r\n\r\n")[2])
    more = asked.replace(b"Length: %d" % length, b"Length: %d" % len(asked.partition(b"\r\n\r\n")[2]))
    counted = await client.read(more)
    assert counted.whole(3)
    assert (b'"completion_tokens":3' in text_of(counted), b'"usage"' in text_of(plain)) == (True, False)


async def test_a_stream_that_does_not_end_in_time_is_not_whole(upstream: str, client: StreamClient) -> None:
    assert not (await client.read(request_for(upstream, 3, 200), timeout_s=0.3)).whole(3)


def text_of(seen: Seen) -> bytes:
    return dechunked(b"".join(data for _, data in seen.pieces).partition(b"\r\n\r\n")[2])


def seen(*events: bytes, ended: bool = True) -> Seen:
    body = b"".join(map(chunk, events))
    return Seen(0, ((1, HEAD), (2, body[:30]), (3, body[30:] + b"0\r\n\r\n")), ended)


def test_only_all_events_in_their_order_are_a_whole_stream() -> None:
    first, second = event(0, 1), event(1, 2)
    assert seen(first, second, END).whole(2)
    assert not seen(second, first, END).whole(2)
    assert not seen(first, second).whole(2)
    assert not seen(first, second[:40], END).whole(2)
    assert not seen(first, second, END, ended=False).whole(2)


def test_events_that_share_chunks_are_found() -> None:
    assert seen(event(0, 1)[:50], event(0, 1)[50:] + event(1, 1) + END).whole(2)
