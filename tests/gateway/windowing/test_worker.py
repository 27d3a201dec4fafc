import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from pydoc_data import topics
from typing import TypeVar

import pytest

from gateway.windowing.frames import Cancel, Frame, Job, Reply, State, packed, receive_frame
from gateway.windowing.types import Reason, WindowPolicy
from gateway.windowing.worker import JobDeadline
from retrieval.types import DeadlineExceededError

ROOT = Path(__file__).parents[3]
REFERENCE = "\n\n".join(text for _, text in sorted(topics.topics.items()))
POLICY = WindowPolicy(4000, 2000, 1500)
F = TypeVar("F", bound=Frame)


def body(size: int) -> bytes:
    content = f"{REFERENCE[:size]}\n\nQuestion: What does the with statement do?"
    return json.dumps({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": content}]}).encode()


class Process:
    """A worker process and this end of its socket."""

    def __init__(self, process: subprocess.Popen[bytes], connection: socket.socket) -> None:
        self.process = process
        self.connection = connection

    def send(self, frame: Frame) -> None:
        self.connection.sendall(packed(frame))

    def next(self, kind: type[F]) -> F:
        """Return the next frame of a kind; others before it are passed over."""
        while (frame := receive_frame(self.connection)) is not None:
            if isinstance(frame, kind):
                return frame
        pytest.fail("the process ended")


@contextmanager
def running(*model: str) -> Iterator[Process]:
    ours, theirs = socket.socketpair()
    ours.settimeout(120)
    command = [sys.executable, "-m", "gateway.windowing.worker", str(theirs.fileno()), *model]
    with theirs:
        process = subprocess.Popen(command, pass_fds=(theirs.fileno(),), cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        with ours:
            yield Process(process, ours)
        process.wait(10)
    finally:
        process.kill()
        process.wait()


def test_without_its_model_it_counts_and_says_why() -> None:
    with running("no/such/model/anywhere") as worker:
        assert worker.next(State) == State(ready=False)
        worker.send(Job(1, body(1000), POLICY, 10))
        worker.send(Job(2, body(5000), POLICY, 10))
        worker.send(Job(3, body(60_000), POLICY, 10))
        replies = [worker.next(Reply) for _ in range(3)]
        assert [(r.id, r.reason) for r in replies] == [(1, Reason.SMALL), (2, Reason.SMALL), (3, Reason.WARMING)]
        assert (replies[2].tokens_original or 0) > 4000


def test_a_model_that_cannot_be_loaded_is_told() -> None:
    with running("/nonexistent") as worker:
        assert worker.next(State) == State(ready=False)
        state = worker.next(State)
        assert not state.ready
        assert state.detail.startswith("the embedding model cannot be loaded (")


def test_it_ends_with_the_gateway_and_not_with_a_ctrl_c() -> None:
    with running("/nonexistent") as worker:
        worker.next(State)
        os.kill(worker.process.pid, signal.SIGINT)
        worker.send(Job(1, b"{}", POLICY, 10))
        assert worker.next(Reply).reason is Reason.SMALL
        worker.connection.shutdown(socket.SHUT_WR)
        assert worker.process.wait(10) == 0


@pytest.mark.model
def test_with_its_model_it_windows_and_stops_when_told() -> None:
    with running("all-MiniLM-L6-v2") as worker:
        while not worker.next(State).ready:
            pass
        worker.send(Job(1, body(60_000), POLICY, 60))
        reply = worker.next(Reply)
        assert reply.reason is Reason.RELEVANCE
        assert reply.lookups.misses > 0
        worker.send(Job(2, body(400_000), POLICY, 60))
        worker.send(Cancel(2))
        assert worker.next(Reply).reason is Reason.DEADLINE


def test_a_deadline_is_past_when_nobody_waits() -> None:
    gone = threading.Event()
    deadline = JobDeadline(time.monotonic() + 60, gone)
    deadline.check()
    gone.set()
    assert deadline.left() < 0
    with pytest.raises(DeadlineExceededError):
        deadline.check()


@pytest.mark.model
def test_a_cold_text_is_embedded_where_the_operator_gives_time_for_it() -> None:
    with running("all-MiniLM-L6-v2", "5000") as worker:
        while not worker.next(State).ready:
            pass
        worker.send(Job(1, body(60_000), POLICY, 60))
        reply = worker.next(Reply)
        assert (reply.reason, reply.skipped) == (Reason.RELEVANCE, ())
        assert reply.lookups.misses > 2


@pytest.mark.model
def test_a_cold_text_is_ranked_without_vectors_where_no_time_is_given() -> None:
    with running("all-MiniLM-L6-v2", "0") as worker:
        while not worker.next(State).ready:
            pass
        worker.send(Job(1, body(60_000), POLICY, 60))
        reply = worker.next(Reply)
        assert (reply.reason, reply.skipped) == (Reason.RELEVANCE, ("dense",))
