import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from gateway.windowing.child import Child, _environment
from gateway.windowing.types import Reason, WindowPolicy
from retrieval.types import Deadline

POLICY = WindowPolicy(1000, 500, 20_000)
BODY = json.dumps({"messages": [{"role": "user", "content": "word " * 5000 + "What is this?"}]}).encode()


@asynccontextmanager
async def running() -> AsyncIterator[tuple[Child, "asyncio.Queue[Child]", "asyncio.Task[None]"]]:
    """A child without a model, the queue it comes to whenever it is free, and the task that runs it."""
    free: asyncio.Queue[Child] = asyncio.Queue()
    child = Child(("/nonexistent",), free.put_nowait)
    task = asyncio.create_task(child.run())
    try:
        yield child, free, task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def pid_of(child: Child) -> int:
    assert child._process
    return child._process.pid


async def test_it_is_free_when_it_counts_and_after_each_job() -> None:
    async with running() as (child, free, _):
        assert not child.counting
        assert await free.get() is child
        assert child.counting
        for _ in range(2):
            assert (await child.window(BODY, POLICY, Deadline.after(20))).reason is Reason.WARMING
            assert await free.get() is child
            assert not child.busy


async def test_a_cancelled_job_frees_it_only_when_the_process_says_so() -> None:
    async with running() as (child, free, _):
        await free.get()
        os.kill(pid_of(child), signal.SIGSTOP)
        task = asyncio.create_task(child.window(BODY, POLICY, Deadline.after(20)))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert child.busy
        os.kill(pid_of(child), signal.SIGCONT)
        assert await asyncio.wait_for(free.get(), 20) is child
        assert not child.busy


async def test_its_end_answers_the_job_and_ends_run() -> None:
    async with running() as (child, free, task):
        await free.get()
        os.kill(pid_of(child), signal.SIGSTOP)
        job = asyncio.create_task(child.window(BODY, POLICY, Deadline.after(20)))
        await asyncio.sleep(0)
        os.kill(pid_of(child), signal.SIGKILL)
        outcome = await job
        assert (outcome.reason, outcome.detail) == (Reason.ERROR, "the windowing process ended")
        await asyncio.wait_for(task, 20)
        assert not child.counting


async def test_a_process_that_cannot_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/nonexistent/python")
    child = Child(("/nonexistent",), lambda _: None)
    await child.run()
    assert not child.counting
    assert child.detail == "a windowing process ended or could not be started (FileNotFoundError)"


async def test_the_environment_of_the_gateway_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    assert _environment()["OMP_WAIT_POLICY"] == "ACTIVE"
    monkeypatch.delenv("OMP_WAIT_POLICY")
    assert _environment()["OMP_WAIT_POLICY"] == "PASSIVE"
