"""What goes out together, and who gets which reply."""

import asyncio

import msgspec
import pytest

from gateway.store.contract import StoreUnavailableError
from gateway.store.redis_batch import MOST_OPERATIONS, Batch
from gateway.store.redis_keys import Keys
from gateway.store.redis_records import reserving, settling
from tests.gateway.store.cases import hold, reservation, settlement


@pytest.fixture
async def batch() -> Batch:
    return Batch(Keys("cg"), asyncio.get_running_loop())


def replied(*answers: list[int]) -> bytes:
    return msgspec.msgpack.encode(answers)


async def test_operations_of_a_team_share_a_script_and_replies_find_their_callers(batch: Batch) -> None:
    first = batch.operation("a", reserving(reservation("r1", hold())))
    asked = batch.commands([("GET", "x"), ("GET", "y")])
    other = batch.operation("b", settling(settlement("r2")))
    second = batch.operation("a", settling(settlement("r3")))
    rendered = batch.rendered()
    assert [command[0] for command in rendered] == ["GET", "GET", "EVALSHA", "EVALSHA"]
    assert [command[3] for command in rendered[2:]] == ["cg:{a}:r", "cg:{b}:r"]
    assert (batch.teams, batch.size) == ({"a", "b"}, 5)
    batch.answered([b"1", None, replied([0, 0, 10], [1]), replied([0])])
    assert [await first, await second, await other] == [[0, 0, 10], [1], [0]]
    assert await asked == [b"1", None]


async def test_a_script_carries_so_many_operations_and_no_more(batch: Batch) -> None:
    futures = [batch.operation("a", settling(settlement(f"r{n}"))) for n in range(MOST_OPERATIONS + 1)]
    assert len(batch.rendered()) == 2
    batch.answered([replied(*([n] for n in range(MOST_OPERATIONS))), replied([-1])])
    assert [answer[0] for answer in await asyncio.gather(*futures)] == [*range(MOST_OPERATIONS), -1]


async def test_it_can_be_rendered_again(batch: Batch) -> None:
    future = batch.operation("a", settling(settlement("r1")))
    assert batch.rendered() == batch.rendered()
    batch.answered([replied([1])])
    assert await future == [1]


async def test_a_mistake_is_told_to_those_who_asked_and_to_no_other(batch: Batch) -> None:
    bad, good = batch.commands([("GET", "x"), ("NONSENSE",)]), batch.commands([("GET", "y")])
    failed = batch.operation("a", settling(settlement("r1")))
    batch.rendered()
    batch.answered([b"1", ValueError("no such command"), b"2", OSError()])
    assert await good == [b"2"]
    with pytest.raises(StoreUnavailableError, match="no such command"):
        await bad
    with pytest.raises(StoreUnavailableError, match="OSError"):
        await failed


async def test_failing_tells_all_who_still_wait(batch: Batch) -> None:
    futures = [batch.operation("a", settling(settlement("r1"))), batch.commands([("GET", "x")])]
    gone = batch.commands([("GET", "y")])
    gone.cancel()
    assert batch.waited_for
    batch.failed("away")
    assert not batch.waited_for
    for future in futures:
        with pytest.raises(StoreUnavailableError, match="away"):
            await future
    batch.rendered()
    batch.answered([b"1", b"2", replied([1])])  # too late, and no mistake
    assert gone.cancelled()
