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
