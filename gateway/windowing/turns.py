"""What stays or goes together: a tool call with its results, and a user's turn with all that answers it.

Removing a whole turn, or tool groups from the middle of one, never lets two messages meet whose roles did not meet
before in a way that strict chat templates refuse (two user messages, an answer without a question).
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gateway.windowing.conversation import INSTRUCTING, RESULTS, Call, Message


@dataclass(frozen=True, slots=True)
class Item:
    """Messages first..last-1, which stay or go together; a group is a tool call with its results.

    `paired` is false for a group whose calls and results do not match one to one, or for results without a call.
    """

    first: int
    last: int
    group: bool = False
    paired: bool = True

    @property
    def messages(self) -> range:
        """The indices of its messages."""
        return range(self.first, self.last)


@dataclass(frozen=True, slots=True)
class Turn:
    """A run of user messages and all that follows up to the next one; instructions in between belong to no turn."""

    asks: tuple[Item, ...] = ()
    replies: tuple[Item, ...] = ()

    @property
    def items(self) -> tuple[Item, ...]:
        """Asks and replies, in order."""
        return self.asks + self.replies


def items_of(messages: Sequence[Message]) -> Iterator[Item]:
    """Yield the items, in order; together they are all messages."""
    at = 0
    while at < len(messages):
        head = end = _led(messages, at) if messages[at].leads else at + 1
        calls = [call for message in messages[at:end] for call in message.calls] if end > at + 1 else messages[at].calls
        if calls or messages[at].role in RESULTS:
            while end < len(messages) and messages[end].role in RESULTS:
                end += 1
            yield Item(at, end, True, _match(calls, messages[head:end]))
        else:
            yield Item(at, end)
        at = end


def turns_of(messages: Sequence[Message], items: Sequence[Item]) -> Iterator[Turn]:
    """Yield the turns, in order; the first may have no asks."""
    asks: list[Item] = []
    replies: list[Item] = []
    for item in items:
        role = messages[item.first].role
        if role in INSTRUCTING:
            continue
        if role == "user" and replies:
            yield Turn(tuple(asks), tuple(replies))
            asks, replies = [], []
        (asks if role == "user" else replies).append(item)
    if asks or replies:
        yield Turn(tuple(asks), tuple(replies))


def _led(messages: Sequence[Message], at: int) -> int:
    """Return where the run ends of messages from `at` on that each lead to the next."""
    end = at + 1
    while end < len(messages) and messages[end - 1].leads and messages[end].role == "assistant":
        end += 1
    return end


def _match(calls: Sequence[Call], results: Sequence[Message]) -> bool:
    """Whether each call has its result: by number, and by id where ids are given (they may repeat)."""
    if not calls or len(calls) != len(results):
        return False
    legacy = any(not call.id for call in calls)
    return legacy or Counter(c.id for c in calls) == Counter(r.answers for r in results)
