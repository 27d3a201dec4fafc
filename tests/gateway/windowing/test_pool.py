"""The pool with real processes; without a model they only count, which is all that most of these need."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from pydoc_data import topics

import pytest

from gateway.windowing.pool import WindowPool
from gateway.windowing.types import Reason, WindowOutcome, WindowPolicy

ROOT = Path(__file__).parents[3]
REFERENCE = "\n\n".join(text for _, text in sorted(topics.topics.items()))
POLICY = WindowPolicy(4000, 2000, 20_000)
NO_MODEL = "/nonexistent"
MODEL = "all-MiniLM-L6-v2"


def body(size: int) -> bytes:
    content = f"{REFERENCE[:size]}\n\nQuestion: What does the with statement do?"
    return json.dumps({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": content}]}).encode()


@asynccontextmanager
async def running(processes: int = 1, queue: int = 8, model: str = NO_MODEL) -> AsyncIterator[WindowPool]:
    pool = WindowPool(processes, queue, model)
    await pool.start()
    try:
        yield pool
    finally:
        await pool.close()


async def until(condition: Callable[[], object], seconds: float = 60) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - the pool tells nobody of these changes
            await asyncio.sleep(0.02)


def children(pool: WindowPool) -> list[int]:
    """The ids of the pool's processes."""
    found = (child._process for child in pool._children if child)
    return [process.pid for process in found if process]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def counting(pool: WindowPool) -> None:
    await until(lambda: all(child and child.counting for child in pool._children))


async def test_a_body_of_few_bytes_needs_nothing_that_is_loaded() -> None:
    pool = WindowPool(1, 1, NO_MODEL)
    assert (await pool.window(b"anything", POLICY)).reason is Reason.SMALL
    assert (await pool.window(body(8000), POLICY)).reason is Reason.WARMING


async def test_a_light_body_needs_no_process() -> None:
    async with running() as pool:
        await until(lambda: pool._counts_here)
        for child in pool._children:
            assert child
            child.counting = False
        outcome = await pool.window(body(8000), POLICY)
        assert (outcome.reason, outcome.tokens_original) == (Reason.SMALL, outcome.tokens_forwarded)
        assert (await pool.window(body(60_000), POLICY)).reason is Reason.WARMING


async def test_a_high_trigger_does_not_make_a_long_body_light() -> None:
    high = WindowPolicy(20_000, 2000, 20_000)
    async with running() as pool:
        await until(lambda: pool._counts_here)
        for child in pool._children:
            assert child
            child.counting = False
        assert (await pool.window(body(60_000), high)).reason is Reason.WARMING
        assert (await pool.window(body(14_000), WindowPolicy(10_000, 2000, 20_000))).reason is Reason.SMALL


async def test_images_do_not_make_a_body_heavy() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "iVBORw0KGgo" * 100_000}}
    text = {"type": "text", "text": "What is on these pictures?"}
    pictures = json.dumps({"messages": [{"role": "user", "content": [image, text, image]}]}).encode()
    async with running() as pool:
        await until(lambda: pool._counts_here)
        assert (await pool.window(pictures, POLICY)).reason is Reason.SMALL
        assert (await pool.window(b'{";base64,' * 3000, POLICY)).reason is Reason.NOT_TEXT


async def test_while_the_model_is_not_there_it_counts_and_is_not_ready() -> None:
    async with running() as pool:
        await counting(pool)
        outcome = await pool.window(body(60_000), POLICY)
        assert outcome.reason is Reason.WARMING
        assert (outcome.tokens_original or 0) > 4000
        assert not pool.ready
        await until(lambda: pool.detail)
        assert "cannot be loaded" in pool.detail


async def test_more_than_the_queue_holds_is_overloaded() -> None:
    async with running(queue=2) as pool:
        await counting(pool)
        outcomes = await asyncio.gather(*(pool.window(body(400_000), POLICY) for _ in range(6)))
        assert [o.reason for o in outcomes].count(Reason.OVERLOADED) == 3
        assert [o.reason for o in outcomes].count(Reason.WARMING) == 3


async def test_past_its_deadline_and_the_process_is_free_again() -> None:
    async with running() as pool:
        await counting(pool)
        hurried = WindowPolicy(4000, 2000, 1)
        assert (await pool.window(body(400_000), hurried)).reason is Reason.DEADLINE
        assert (await pool.window(body(60_000), POLICY)).reason is Reason.WARMING
        assert pool.stats().restarts == 0


async def test_waiting_counts_against_the_deadline() -> None:
    async with running() as pool:
        await counting(pool)
        first = asyncio.create_task(pool.window(body(460_000), POLICY))
        await asyncio.sleep(0)
        outcome = await pool.window(body(60_000), WindowPolicy(4000, 2000, 1))
        assert outcome.reason is Reason.DEADLINE
        assert (await first).reason is Reason.WARMING


async def test_a_process_that_dies_is_started_again() -> None:
    async with running() as pool:
        await counting(pool)
        (first,) = children(pool)
        os.kill(first, signal.SIGKILL)
        await until(lambda: pool.stats().restarts == 1)
        assert (await pool.window(body(60_000), POLICY)).reason is Reason.WARMING
        await counting(pool)
        assert children(pool) != [first]
        assert (await pool.window(body(60_000), POLICY)).tokens_original is not None


async def test_a_request_whose_process_dies_is_forwarded_as_it_is() -> None:
    async with running() as pool:
        await counting(pool)
        os.kill(children(pool)[0], signal.SIGSTOP)
        task = asyncio.create_task(pool.window(body(60_000), POLICY))
        waiting = asyncio.create_task(pool.window(body(60_000), POLICY))
        await until(lambda: pool.stats().busy and pool.stats().waiting)
        os.kill(children(pool)[0], signal.SIGKILL)
        assert (await task).reason is Reason.ERROR
        assert (await waiting).reason is Reason.WARMING


async def test_a_process_that_hangs_is_ended_and_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.windowing.child.GRACE_SECONDS", 0.1)
    async with running() as pool:
        await counting(pool)
        (first,) = children(pool)
        os.kill(first, signal.SIGSTOP)
        assert (await pool.window(body(60_000), WindowPolicy(4000, 2000, 50))).reason is Reason.DEADLINE
        await until(lambda: pool.stats().restarts == 1)
        assert not alive(first)


async def test_closing_leaves_no_process_and_answers_who_waits() -> None:
    async with running(processes=2) as pool:
        await counting(pool)
        pids = children(pool)
        os.kill(pids[0], signal.SIGSTOP)
        os.kill(pids[1], signal.SIGSTOP)
        tasks = [asyncio.create_task(pool.window(body(60_000), POLICY)) for _ in range(3)]
        await until(lambda: pool.stats().waiting == 1)
    assert not any(map(alive, pids))
    assert {(await t).reason for t in tasks} <= {Reason.ERROR, Reason.WARMING}
    assert (await pool.window(body(60_000), POLICY)).reason is Reason.WARMING


_PARENT = """
import asyncio, sys
from gateway.windowing.pool import WindowPool
async def main():
    pool = WindowPool(1, 1, "/nonexistent")
    await pool.start()
    while not (pool._children[0] and pool._children[0].counting):
        await asyncio.sleep(0.02)
    print(pool._children[0]._process.pid, flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""


def test_no_process_outlives_a_gateway_that_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", _PARENT], cwd=ROOT, stdout=subprocess.PIPE) as parent:
        assert parent.stdout
        pid = int(parent.stdout.readline())
        assert alive(pid)
        parent.kill()
    asyncio.run(until(lambda: not alive(pid), 10))


@pytest.mark.model
async def test_windows_and_stops_when_nobody_waits() -> None:
    async with running(model=MODEL) as pool:
        await until(lambda: pool.ready, 120)
        outcome = await pool.window(body(60_000), POLICY)
        assert isinstance(outcome, WindowOutcome)
        assert outcome.reason is Reason.RELEVANCE
        assert outcome.body is not None
        assert pool.stats().lookups.misses > 0
        task = asyncio.create_task(pool.window(body(460_000), POLICY))
        await until(lambda: pool.stats().busy)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: not pool.stats().busy, 2)
        assert pool.stats().restarts == 0
