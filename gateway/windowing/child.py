"""One windowing process as the gateway sees it: started, given one job at a time, ended when it hangs."""

import asyncio
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

from gateway.windowing.frames import Cancel, Frame, Job, Lookups, Reply, State, packed, read_frame
from gateway.windowing.types import Reason, WindowOutcome, WindowPolicy
from retrieval.types import Deadline

# After a job's deadline or cancellation, for the process to come to a point where it looks. Long: on a busy machine one
# batch of embeddings can take seconds, and a new process is without its model for longer than that.
GRACE_SECONDS = 15.0
_CLOSE_SECONDS = 2.0
_MAX_FRAME = 1 << 20  # of the stream reader's buffer, not of a frame
_ROOT = Path(__file__).parents[2]


class Child:
    """A windowing process, from its start to its end."""

    def __init__(self, model: tuple[str, ...], free: Callable[["Child"], None]) -> None:
        """`model` is what the process is told of its model; `free` is called whenever it could take a job."""
        self._model = model
        self._free = free
        self._process: asyncio.subprocess.Process | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._last = 0
        self._job: int | None = None
        self._waiter: asyncio.Future[WindowOutcome] | None = None
        self.counting = False
        self.ready = False
        self.detail = ""
        self.lookups = Lookups()

    @property
    def busy(self) -> bool:
        """Whether it works on a job."""
        return self._job is not None

    async def run(self) -> None:
        """Start the process and listen to it until it ends; cancelling ends it."""
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                self._process = await self._start(theirs.fileno())
            reader, self._writer = await asyncio.open_connection(sock=ours, limit=_MAX_FRAME)
            while True:
                self._take(await read_frame(reader))
        except (asyncio.IncompleteReadError, OSError) as error:
            self.detail = f"a windowing process ended or could not be started ({type(error).__name__})"
        finally:
            await self._end()
            ours.close()

    async def _start(self, descriptor: int) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "gateway.windowing.worker",
            str(descriptor),
            *self._model,
            pass_fds=(descriptor,),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            env=_environment(),
            start_new_session=True,  # a Ctrl-C at the terminal is the gateway's to handle
        )

    async def window(self, body: bytes, policy: WindowPolicy, deadline: Deadline) -> WindowOutcome:
        """Let the process window the body; it must be free."""
        self._last += 1
        number = self._job = self._last
        waiter: asyncio.Future[WindowOutcome] = asyncio.get_running_loop().create_future()
        self._waiter = waiter
        try:
            self._send(Job(number, body, policy, deadline.left()))
            async with asyncio.timeout(deadline.left()):
                return await waiter
        except TimeoutError:
            self._abandon(number)
            return WindowOutcome(Reason.DEADLINE)
        except asyncio.CancelledError:
            self._abandon(number)
            raise

    def _abandon(self, number: int) -> None:
        """Tell the process that nobody waits; it is ended if it does not listen."""
        if self._job != number:
            return
        self._send(Cancel(number))
        asyncio.get_running_loop().call_later(GRACE_SECONDS, self._kill_hanging, number)

    def _kill_hanging(self, number: int) -> None:
        if self._job == number:
            self._kill()

    def _take(self, frame: Frame) -> None:
        if isinstance(frame, State):
            first = not self.counting
            self.counting, self.ready, self.detail = True, frame.ready, frame.detail
            if first:
                self._free(self)
        elif isinstance(frame, Reply):
            self.lookups = frame.lookups
            self._settle(frame.outcome())
            self._free(self)

    def _settle(self, outcome: WindowOutcome) -> None:
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(outcome)
        self._job = self._waiter = None

    def _send(self, frame: Frame) -> None:
        if self._writer and not self._writer.is_closing():
            self._writer.write(packed(frame))

    def _kill(self) -> None:
        if self._process and self._process.returncode is None:
            self._process.kill()

    async def _end(self) -> None:
        """Close the connection, which ends the process, and see that it does."""
        self.counting = self.ready = False
        self._settle(WindowOutcome(Reason.ERROR, detail="the windowing process ended"))
        if self._writer:
            self._writer.close()
        if self._process:
            try:
                await asyncio.wait_for(self._process.wait(), _CLOSE_SECONDS)
            except TimeoutError:
                self._kill()
                await self._process.wait()


def _environment() -> dict[str, str]:
    """Return the process's environment: it finds the same packages as the gateway."""
    path = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH", ""))))
    # OpenMP's threads spin while they wait for each other: with other work on the cores that makes embedding five
    # times slower (measured), and takes the cores from the relay.
    defaults = {"OMP_WAIT_POLICY": "PASSIVE", "TOKENIZERS_PARALLELISM": "false"}
    return {**defaults, **os.environ, "PYTHONPATH": path}
