"""The walk, step by step: what stands in the documents is typed as it stands there.

Only this is put in its place: the port that is free here, the upstream's address, and the reader's key.
"""

import re
import time
from dataclasses import dataclass, replace

from benchmarks.processes import ServerDiedError, status_of
from tests.walk.documents import blocks, commands, section
from tests.walk.looking import Overview, look
from tests.walk.places import Place
from tests.walk.terminal import Ran, Terminal

README = "README.md"
TEAMS = "docs/teams.md"
CALLERS_KEY = "sk-of-the-walk"
INSTALL = "make install"
LOOK = "open /console"
_SERVE = "context-gateway serve"
_BEHIND = re.compile(r"&\s*(#.*)?$")
_START_S = 60.0
# "Half a second later every worker and replica knows both": the reader's fingers take that long.
_TEAMS = re.compile(r"\b(teams|keys) (add|change)\b")
_KNOWN_S = 0.6


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that the reader did, and where it says so."""

    document: str
    ran: Ran


@dataclass(frozen=True, slots=True)
class Walked:
    """What came of it."""

    steps: tuple[Step, ...]
    overview: Overview

    def printed(self, part: str) -> str:
        """Return what the first command that holds the text printed.

        Raises LookupError when there was none.
        """
        found = [step.ran.output for step in self.steps if part in step.ran.command]
        return found[0]

    @property
    def seconds(self) -> float:
        """How long it took in all, but for reading."""
        return sum(step.ran.seconds for step in self.steps)


class _Reader:
    """Reads sections, does what they say, and remembers how it went."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.steps: list[Step] = []
        self._beside: Terminal | None = None

    def open(self) -> Terminal:
        """Return a new terminal; without a configuration it is the environment that names the upstream."""
        settings = self.place.settings(CONTEXT_GATEWAY_UPSTREAM_URL=self.place.upstream, CONTEXT_GATEWAY_DRAIN_S="0")
        return Terminal(self.place.checkout, settings)

    def read(self, document: str, heading: str, terminal: Terminal) -> None:
        """Type, or keep, what stands beneath the heading."""
        for block in blocks(section(self.place.checkout / document, heading)):
            if block.kind == "python":
                (self.place.checkout / "hello.py").write_text(self._meant(block.code))
            elif block.kind == "sh":
                for command in commands(block.code):
                    self.type(document, command, terminal)

    def type(self, document: str, command: str, terminal: Terminal) -> None:
        """Type one command and wait for its end; for a server, until it answers."""
        if command.startswith(INSTALL) and self.place.installed:
            return
        self.steps.append(Step(document, replace(self._ran(command, terminal), command=command)))
        if _TEAMS.search(command):
            time.sleep(_KNOWN_S)

    def _ran(self, command: str, terminal: Terminal) -> Ran:
        meant = self._meant(command)
        if _SERVE not in command:
            return terminal.run(meant)
        began = time.monotonic()
        if _BEHIND.search(command):
            terminal.run(meant)
        else:
            self._beside = terminal = self.open()
            terminal.type(meant)
        self._wait(terminal)
        return Ran(command, terminal.shown(), 0, time.monotonic() - began)

    def _meant(self, text: str) -> str:
        """Return the text with this place's port, upstream and key."""
        served = text.replace(_SERVE, f"{_SERVE} --port {self.place.port}").replace("sk-...", CALLERS_KEY)
        return served.replace("127.0.0.1:8080", f"127.0.0.1:{self.place.port}").replace(
            "https://api.openai.com/v1", self.place.upstream
        )

    def _wait(self, terminal: Terminal) -> None:
        until = time.monotonic() + _START_S
        while status_of(f"{self.place.url}/healthz") != 200:
            if time.monotonic() > until:
                raise ServerDiedError(terminal.shown()[-2000:])
            time.sleep(0.05)

    def stop(self) -> None:
        """Press Ctrl-C where the server runs."""
        if self._beside is not None:
            self._beside.interrupt()
            self._beside = None

    def look(self, terminal: Terminal) -> Overview:
        """Open the console with the token that the reader has made."""
        token = terminal.run("echo $GATEWAY_ADMIN_TOKEN").output.strip().splitlines()[-1]
        began = time.monotonic()
        overview = look(self.place.url, token)
        self.steps.append(Step(README, Ran(LOOK, overview.text, 0, time.monotonic() - began)))
        return overview


def walk(place: Place) -> Walked:
    """Walk from the checkout to a budget that refuses, by way of the console.

    Raises:
        TerminalError: a command does not end.
        ServerDiedError: a gateway does not come up.
        BrowserMissingError: no browser is there.
    """
    reader = _Reader(place)
    try:
        with reader.open() as terminal:
            reader.read(README, "Point an SDK at it", terminal)
            reader.stop()
            reader.read(README, "Teams, keys, budgets", terminal)
            overview = reader.look(terminal)
        with reader.open() as terminal:
            reader.read(TEAMS, "From nothing to a budget that is refused", terminal)
            spending = next(step.ran.command for step in reader.steps if "curl" in step.ran.command)
            reader.type(TEAMS, spending, terminal)  # once more, now that the limit is another
    finally:
        reader.stop()
    return Walked(tuple(reader.steps), overview)
