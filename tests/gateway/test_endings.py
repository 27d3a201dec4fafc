"""What ends requests: done together, soon, once, and whatever becomes of one of them."""

import asyncio
import io
import json

import pytest

from gateway import logs
from gateway.endings import Endings


async def test_what_ends_requests_waits_for_a_good_time_or_a_moment() -> None:
    done, endings = list[int](), Endings()
    endings(lambda: done.append(1))
    endings(lambda: done.append(2))
    await asyncio.sleep(0)
    assert done == []
    endings.flush_soon()
    assert done == []  # whose turn it is goes on first
    await asyncio.sleep(0)
    assert done == [1, 2]
    endings(lambda: done.append(3))
    await asyncio.sleep(0.05)
    assert done == [1, 2, 3]


async def test_what_held_something_ends_with_the_next_turn() -> None:
    done, endings = list[int](), Endings()
    endings(lambda: done.append(1))
    endings(lambda: done.append(2), held=True)
    assert done == []
    await asyncio.sleep(0)
    assert done == [1, 2]


async def test_nothing_is_done_twice() -> None:
    done, endings = list[int](), Endings()
    endings.flush_soon()
    endings(lambda: done.append(1))
    endings.flush_soon()
    endings.flush()
    endings.flush()
    await asyncio.sleep(0.05)
    assert done == [1]


async def test_one_that_fails_is_said_to_and_leaves_the_others() -> None:
    def fails() -> None:
        raise ValueError("sk-secret")

    logs.configure(out := io.StringIO())
    done, endings = list[int](), Endings()
    for end in (fails, lambda: done.append(2)):
        endings(end)
    endings.flush()
    line = json.loads(out.getvalue())
    assert (done, line["event"], line["error"]) == ([2], "request_not_recorded", "ValueError")
    assert "sk-secret" not in str(line)


async def test_the_others_end_even_where_that_cannot_be_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr(logs, "event", fails)
    done, endings = list[int](), Endings()
    for end in (fails, lambda: done.append(1), lambda: done.append(2)):
        endings(end)
    with pytest.raises(BrokenPipeError):
        endings.flush()
    assert done == [1, 2]


async def test_who_waits_for_all_to_be_done_lets_those_of_the_same_turn_end_together() -> None:
    done, endings = list[str](), Endings()
    await endings.done()  # nothing waits: at once
    endings(lambda: done.append("first"))

    async def ends(name: str) -> None:
        endings(lambda: done.append(name), held=True)

    waiting = asyncio.create_task(endings.done())
    others = [asyncio.create_task(ends(name)) for name in ("second", "third")]
    await waiting
    assert done == ["first", "second", "third"]
    await asyncio.gather(*others)


async def test_what_is_still_under_way_ends_before_the_request_does() -> None:
    done, endings = list[int](), Endings()
    ready = asyncio.Event()

    async def work() -> None:
        await ready.wait()

    under_way = asyncio.create_task(work())
    endings(lambda: done.append(1), after=under_way)
    endings(lambda: done.append(2), after=None)
    await asyncio.sleep(0)
    endings.flush()
    assert done == [2]
    ready.set()
    await under_way
    endings(lambda: done.append(3), after=under_way)  # it is over
    endings.flush()
    assert done == [2, 1, 3]
    await endings.finish()
    assert done == [2, 1, 3]


async def test_at_the_end_what_takes_long_is_cancelled_and_what_comes_after_it_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gateway.endings._PATIENCE_S", 0.01)
    done, endings = list[str](), Endings()
    ended = asyncio.create_task(asyncio.sleep(0.001))
    late = asyncio.create_task(asyncio.sleep(3600))
    endings(lambda: done.append("ended"), after=ended)
    endings(lambda: done.append("late"), after=late)
    await endings.finish()
    assert done == ["ended", "late"]
    assert late.cancelled()
