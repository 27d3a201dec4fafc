from collections.abc import Iterator

import pytest

from benchmarks.bench_peers_speed import answers
from benchmarks.bench_streams import crowd, delays, poured
from benchmarks.load import run
from benchmarks.process_costs import family
from benchmarks.targets import Target, bare_relay, full_gateway, upstream


@pytest.fixture(scope="module")
def canned() -> Iterator[Target]:
    with upstream("canned") as target:
        yield target


def test_the_bare_relay_answers_as_the_upstream_does(canned: Target) -> None:
    with bare_relay(canned.url) as relay:
        assert (answers(canned), answers(relay)) == ("", "")


def test_an_upstream_that_is_not_there_is_told() -> None:
    with bare_relay("http://127.0.0.1:9") as relay:
        assert answers(relay) == "HTTPError: HTTP Error 500: Internal Server Error"


@pytest.mark.model
def test_the_gateway_keeps_its_books_beside(canned: Target) -> None:
    with full_gateway(canned.url) as gateway:
        assert answers(gateway) == ""
        assert answers(gateway, headers={"Authorization": "Bearer sk-wrong"}).startswith("HTTPError: HTTP Error 401")
        load = run(f"{gateway.url}/v1/chat/completions", b"{}", 1, 1)
        assert load.errors == load.requests > 0  # a request without messages is refused
        assert len(family(gateway.pid)) > 1  # its windowing process


async def test_streams_are_measured_whole() -> None:
    with upstream("canned_stream") as alone, bare_relay(alone.url) as relay:
        found, broken = await delays(relay, 3)
        assert (len(found.first), len(found.each), broken) == (3, 30, 0)
        long = await poured(relay, 4, 100)
        assert (long.broken, long.each) == (0, ())
        assert long.rate > 100
        assert len((await poured(relay, 4, 10, 5)).each) == 40
        many = await crowd(relay, 20, 1)
        assert (many.streams, many.whole, len(many.each)) == (20, 20, 20)
        assert 0 < many.before_mb <= many.most_mb
