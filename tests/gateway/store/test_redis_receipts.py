"""Receipts in Redis: how many there are, and what is left of those that are not kept."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from gateway.store.breaker import Breaker
from gateway.store.receipts import Receipt, packed
from gateway.store.redis_keys import Keys
from gateway.store.redis_line import Line, pool_of
from gateway.store.redis_receipts import keep, receipt
from tests.gateway.store.servers import shared_url


@pytest.fixture
async def at() -> AsyncIterator[tuple[Line, Keys]]:
    keys = Keys(f"test-{uuid4().hex}")
    line = Line(pool_of(shared_url()), keys, 5.0, Breaker())
    yield line, keys
    await line.close()


def row(number: int) -> tuple[str, str, bytes]:
    return "acme", f"r{number}", packed(Receipt(id=f"r{number}", team="acme", time=float(number)))


async def test_nothing_is_left_of_those_that_are_not_kept(at: tuple[Line, Keys]) -> None:
    line, keys = at
    await keep(line, keys, [row(number) for number in range(100)], 10)
    assert await line.ask([("HLEN", keys.receipts[0]), ("LLEN", keys.receipts[1])]) == [10, 10]
    assert await receipt(line, keys, "acme", "r89") is None
    assert await receipt(line, keys, "acme", "r90") == Receipt(id="r90", team="acme", time=90.0)
    await keep(line, keys, [row(90), row(91)], 5)
    assert await line.ask([("HLEN", keys.receipts[0]), ("LLEN", keys.receipts[1])]) == [5, 5]
