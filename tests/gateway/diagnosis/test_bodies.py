import pytest

from gateway.destinations import UpstreamSettings
from gateway.diagnosis.bodies import TooLongError, body_of
from gateway.errors import UpstreamUnreachableError
from gateway.upstreams.upstream import Upstream as Client
from gateway.upstreams.upstream import UpstreamRequest
from tests.upstreams import Upstream


async def asked(upstream: Upstream, behaviour: str, most: int) -> bytes:
    headers = [(b"x-behaviour", behaviour.encode())]
    async with Client("main", UpstreamSettings(base_url=upstream.url)) as client:
        body = await body_of(await client.send(UpstreamRequest("GET", "/models", headers, None)), most)
        assert client.busy == 0
        return body


async def test_a_body_is_read_whole_up_to_a_bound(upstream: Upstream) -> None:
    body = await asked(upstream, "", 10_000)
    assert body.startswith(b"{")
    assert body.endswith(b"}")
    assert await asked(upstream, "", len(body)) == body
    with pytest.raises(TooLongError):
        await asked(upstream, "", len(body) - 1)
    with pytest.raises(TooLongError):
        await asked(upstream, "endless", 100)


async def test_a_body_whose_end_does_not_come_is_an_error(upstream: Upstream) -> None:
    with pytest.raises(UpstreamUnreachableError):
        await asked(upstream, "truncated", 10_000)
