"""What goes to Redis in one round trip: commands of several callers, and scripts that carry several operations."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from gateway.store.contract import StoreUnavailableError
from gateway.store.redis_keys import Keys
from gateway.store.redis_records import Answer, Operation, answers, heads
from gateway.store.redis_scripts import Command, scripts

MOST_OPERATIONS = 128  # in one script, which holds up everybody else while it runs

Reply = Any  # bytes, int, None, a list of these, or an exception
_Take = Callable[[Sequence[Reply]], None]


class Batch:
    """Collects what callers ask for; each gets a future, which becomes done whatever happens."""

    def __init__(self, keys: Keys, loop: asyncio.AbstractEventLoop) -> None:
        self._keys = keys
        self._loop = loop
        self._asked: list[tuple[Sequence[Command], asyncio.Future[list[Reply]]]] = []
        self._operations: dict[str, list[tuple[Operation, asyncio.Future[Answer]]]] = {}
        self._takers: list[tuple[int, _Take]] = []
        self.size = 0
        self.asked = 0  # commands, which go out before the scripts

    @property
    def teams(self) -> set[str]:
        """The teams that operations are about."""
        return set(self._operations)

    @property
    def waited_for(self) -> bool:
        """Whether anybody still waits for what comes of it."""
        return not all(future.done() for future in self._futures())

    def commands(self, commands: Sequence[Command]) -> "asyncio.Future[list[Reply]]":
        """Take the caller's commands; return what becomes their replies."""
        future: asyncio.Future[list[Reply]] = self._loop.create_future()
        self._asked.append((commands, future))
        self.size += len(commands)
        self.asked += len(commands)
        return future

    def operation(self, team: str, operation: Operation) -> "asyncio.Future[Answer]":
        """Take the operation; return what becomes its answer."""
        future: asyncio.Future[Answer] = self._loop.create_future()
        self._operations.setdefault(team, []).append((operation, future))
        self.size += 1
        return future

    def rendered(self) -> list[Command]:
        """Return all commands that are to be sent."""
        self._takers = []
        rendered: list[Command] = []
        for commands, future in self._asked:
            rendered += commands
            self._takers.append((len(commands), _takes_commands(future)))
        for team, operations in self._operations.items():
            for start in range(0, len(operations), MOST_OPERATIONS):
                part = operations[start : start + MOST_OPERATIONS]
                rendered.append(self._script(team, [operation for operation, _ in part]))
                self._takers.append((1, _takes_answers([future for _, future in part])))
        return rendered

    def _script(self, team: str, operations: Sequence[Operation]) -> Command:
        stored = (operation.stored for operation in operations)
        base = self._keys.base(team)
        return scripts().operations.call(self._keys.of_scripts(team), base, heads(operations), *stored)

    def answered(self, replies: Sequence[Reply]) -> None:
        """Hand out the replies to the commands that were rendered."""
        start = 0
        for count, take in self._takers:
            take(replies[start : start + count])
            start += count

    def failed(self, why: str) -> None:
        """Tell all who still wait."""
        for future in self._futures():
            _fail(future, why)

    def _futures(self) -> "list[asyncio.Future[Any]]":
        operations = (future for own in self._operations.values() for _, future in own)
        return [*(future for _, future in self._asked), *operations]


def _takes_commands(future: "asyncio.Future[list[Reply]]") -> _Take:
    def take(replies: Sequence[Reply]) -> None:
        if mistake := _mistake(replies):
            _fail(future, mistake)
        elif not future.done():
            future.set_result(list(replies))

    return take


def _takes_answers(futures: "Sequence[asyncio.Future[Answer]]") -> _Take:
    def take(replies: Sequence[Reply]) -> None:
        if mistake := _mistake(replies):
            for future in futures:
                _fail(future, mistake)
            return
        for future, answer in zip(futures, answers(replies[0]), strict=True):
            if not future.done():
                future.set_result(answer)

    return take


def _mistake(replies: Sequence[Reply]) -> str:
    return next((str(reply) or type(reply).__name__ for reply in replies if isinstance(reply, Exception)), "")


def _fail(future: "asyncio.Future[Any]", why: str) -> None:
    if not future.done():
        future.set_exception(StoreUnavailableError(why))
