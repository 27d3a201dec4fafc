"""A terminal: one shell, in which commands run one after the other, as typed."""

import contextlib
import os
import re
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self, cast

_PATIENCE_S = 900.0
_END_S = 15.0


class TerminalError(Exception):
    """A command did not end in time, or the shell is gone; the message holds the end of what was printed."""


@dataclass(frozen=True, slots=True)
class Ran:
    """A command, what was printed meanwhile, its exit status, and how long it took."""

    command: str
    output: str
    status: int
    seconds: float


class Terminal:
    """A shell whose output, and that of what it leaves in the background, is one stream, as on a screen."""

    def __init__(self, folder: Path, settings: Mapping[str, str]) -> None:
        self._shell = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],  # noqa: S607
            cwd=folder,
            env=dict(settings),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._shown = b""
        self._news = threading.Condition()
        self._typed = 0
        self._files = tempfile.TemporaryDirectory(prefix="context-gateway-typed-")
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def run(self, command: str, patience_s: float = _PATIENCE_S) -> Ran:
        """Run the command in this shell, which keeps its variables, its folder and its background jobs.

        Raises TerminalError when it does not end in time.
        """
        began, place = time.monotonic(), len(self._shown)
        self.type(command)
        end = re.compile(rb"\x04%d (\d+)\x04" % self._typed)
        with self._news:
            found = self._news.wait_for(lambda: end.search(self._shown, place), patience_s)
        if not found:
            raise TerminalError(f"{command}: no end in {patience_s:g} s:\n{self.shown()[-2000:]}")
        output = self._shown[place : found.start()].decode(errors="replace")
        return Ran(command, output, int(found[1]), time.monotonic() - began)

    def type(self, command: str) -> None:
        """Type the command, and do not wait for its end."""
        self._typed += 1
        # A file of its own, so that a command that reads its input does not read the next command.
        file = Path(self._files.name) / f"{self._typed}.sh"
        file.write_text(command + "\n")
        keyboard = cast(IO[bytes], self._shell.stdin)
        keyboard.write(f"source {file} < /dev/null\nprintf '\\004%d %d\\004' {self._typed} $?\n".encode())
        keyboard.flush()

    def shown(self) -> str:
        """Return all that stands on the screen."""
        return self._shown.decode(errors="replace")

    def interrupt(self) -> None:
        """Press Ctrl-C and go, once what ran here has ended."""
        self._tell(signal.SIGINT)
        self.close()

    def close(self) -> None:
        """End the shell and what runs in it."""
        keyboard = cast(IO[bytes], self._shell.stdin)
        with contextlib.suppress(OSError):
            keyboard.close()
        self._tell(signal.SIGTERM)
        self._reading.join(_END_S)  # the screen is let go by the last process
        self._tell(signal.SIGKILL)
        self._shell.wait()
        self._files.cleanup()

    def _tell(self, wish: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._shell.pid, wish)

    def _read(self) -> None:
        screen = cast(IO[bytes], self._shell.stdout)
        while piece := os.read(screen.fileno(), 65536):
            with self._news:
                self._shown += piece
                self._news.notify_all()
