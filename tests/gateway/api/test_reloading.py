import os
import signal

import pytest

from gateway.api import reloading
from gateway.config import SUPERVISOR_VARIABLE
from gateway.yaml_source import ConfigError
from tests.gateway.api.operating import ACCESS, BEARER, HERE, app_of
from tests.gateway.asgi import Call


class Office:
    """An operator who asks for a reload."""

    def __init__(self, mistake: str = "") -> None:
        self.reloads = 0
        self._mistake = mistake
        self.app = app_of(reloading.routes(self._reload, ACCESS))

    async def _reload(self) -> None:
        if self._mistake:
            raise ConfigError(self._mistake)
        self.reloads += 1

    async def ask(self, *headers: tuple[bytes, bytes]) -> Call:
        return await Call("POST", "/admin/v1/reload", b"", HERE, *headers).to(self.app)


async def test_it_reloads_for_operators_alone() -> None:
    office = Office()
    assert (await office.ask()).status == 401
    assert office.reloads == 0
    reply = await office.ask(BEARER)
    assert (reply.status, reply.json(), office.reloads) == (200, {"reloaded": True}, 1)


async def test_a_mistake_is_said() -> None:
    reply = await Office("gateway.yaml:3: limits: unknown field").ask(BEARER)
    assert reply.status == 400
    assert reply.json()["error"]["message"] == "gateway.yaml:3: limits: unknown field"


async def test_the_other_workers_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: told.append((pid, number)))
    await Office().ask(BEARER)
    assert told == []
    monkeypatch.setenv(SUPERVISOR_VARIABLE, str(os.getpid()))
    await Office().ask(BEARER)
    assert told == []  # the supervisor has died, and what is our parent now is none
    monkeypatch.setenv(SUPERVISOR_VARIABLE, str(os.getppid()))
    await Office("a mistake").ask(BEARER)
    assert told == []  # they would only find the same mistake
    await Office().ask(BEARER)
    assert told == [(os.getppid(), signal.SIGHUP)]
