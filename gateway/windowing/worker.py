"""A windowing process: `python -m gateway.windowing.worker FD MODEL [EMBEDDING_MS]`, where FD is a connected socket.

It takes one job at a time; a second thread reads the socket, so that a job is told when nobody waits for it any
more, and ends the process when the gateway is gone. A third loads the embedding model; until it is there, tokens are
counted and oversized requests answered WARMING. Afterwards it embeds, while no job is there, what jobs lacked.
"""

import ctypes
import gc
import os
import queue
import signal
import socket
import sys
import threading
import time
from dataclasses import dataclass

from gateway.windowing.frames import Cancel, Job, Lookups, Reply, State, packed, receive_frame
from gateway.windowing.measuring import COMMON_MODEL
from gateway.windowing.rehearsal import rehearsed
from gateway.windowing.types import WindowOutcome
from gateway.windowing.window import window
from retrieval.retriever import Retriever
from retrieval.tokens import counter_for
from retrieval.types import Deadline

_NICENESS = 5  # of the process: where cores are short, requests that are only relayed go first
_BACKGROUND = 15  # niceness of the thread that embeds for later


@dataclass(frozen=True, slots=True)
class JobDeadline(Deadline):
    """A deadline that is also past once nobody waits any more."""

    gone: threading.Event

    def left(self) -> float:
        """Return the seconds left; negative once past or gone."""
        return -1.0 if self.gone.is_set() else self.at - time.monotonic()


class Worker:
    """Answers the jobs that come over one socket."""

    def __init__(self, connection: socket.socket, model: str, embedding_ms: int | None) -> None:
        self._connection = connection
        self._model = model
        self._embedding_ms = embedding_ms
        self._sending = threading.Lock()
        self._jobs: queue.SimpleQueue[tuple[Job, JobDeadline]] = queue.SimpleQueue()
        self._events: dict[int, threading.Event] = {}
        self._retriever: Retriever | None = None
        self._idle = threading.Event()

    def run(self) -> None:
        """Answer jobs for ever; the process ends when the other end of the socket does."""
        threading.Thread(target=self._read, name="reader", daemon=True).start()
        counter_for(COMMON_MODEL)
        self._send(State(ready=False))
        threading.Thread(target=self._load, name="loader", daemon=True).start()
        while True:
            job, deadline = self._jobs.get()
            self._idle.clear()
            outcome = window(job.body, job.policy, self._retriever, deadline)
            self._events.pop(job.id, None)
            self._send(self._reply(job, outcome))
            if self._jobs.empty():
                self._idle.set()

    def _warm(self, retriever: Retriever) -> None:
        """Embed, while nobody waits, what the requests so far lacked: the next turn of a conversation finds it done."""
        # Linux gives every thread a priority of its own: a request that comes meanwhile is worked on first.
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _BACKGROUND)
        while True:
            self._idle.wait()
            if not retriever.warm(self._idle.is_set):
                self._idle.clear()
                _give_memory_back()

    def _read(self) -> None:
        while (frame := receive_frame(self._connection)) is not None:
            if isinstance(frame, Job):
                event = self._events[frame.id] = threading.Event()
                self._jobs.put((frame, JobDeadline(time.monotonic() + frame.seconds, event)))
            elif isinstance(frame, Cancel) and (waiting := self._events.get(frame.id)):
                waiting.set()
        # The gateway is gone: nothing that still runs here is of use to anyone.
        os._exit(0)

    def _load(self) -> None:
        try:
            retriever = rehearsed(self._model, self._embedding_ms)
        except Exception as error:  # noqa: BLE001 - a model can fail to load in any library's way; the gateway is told
            self._send(State(ready=False, detail=f"the embedding model cannot be loaded ({type(error).__name__})"))
        else:
            # What is loaded stays: garbage is then collected in milliseconds, not in a third of a second.
            gc.collect()
            gc.freeze()
            self._retriever = retriever
            self._send(State(ready=True))
            self._warm(retriever)

    def _reply(self, job: Job, outcome: WindowOutcome) -> Reply:
        return Reply(
            job.id, outcome.reason, outcome.body, outcome.tokens_original, outcome.tokens_forwarded, outcome.stages,
            outcome.detail, _lookups(self._retriever) if self._retriever else Lookups(), outcome.confidence,
            outcome.skipped, outcome.strip,
        )  # fmt: skip

    def _send(self, frame: State | Reply) -> None:
        with self._sending:
            self._connection.sendall(packed(frame))


def _lookups(retriever: Retriever) -> Lookups:
    vectors, texts = retriever.cache.stats(), retriever.prepared
    return Lookups(vectors.hits, vectors.misses, texts.hits, texts.misses)


def _give_memory_back() -> None:
    """Return what a large request has freed to the system, where the C library keeps it (glibc does)."""
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)


def main() -> None:
    """Run one windowing process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(_NICENESS)
    with socket.socket(fileno=int(sys.argv[1])) as connection:
        Worker(connection, sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else None).run()


if __name__ == "__main__":
    main()
