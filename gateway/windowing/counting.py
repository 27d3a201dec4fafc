"""How many tokens a request is, by what a model reads of it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.windowing.conversation import Conversation, Message
from retrieval.types import Counter, Deadline

# What OpenAI's chat format adds: three tokens and the role for each message, one more beside a name, and three
# that begin the reply.
_PER_MESSAGE = 4
_PER_NAME = 1
_REPLY = 3
_BATCH = 400_000

_surrogates = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Tally:
    """Tokens of a request: `texts[i]` those of each text of message i, `fixed[i]` the rest of that message."""

    texts: tuple[tuple[int, ...], ...]
    fixed: tuple[int, ...]
    frame: int

    @property
    def total(self) -> int:
        """All tokens of the request."""
        return self.frame + sum(map(sum, self.texts)) + sum(self.fixed)

    def message(self, index: int) -> int:
        """All tokens of one message."""
        return sum(self.texts[index]) + self.fixed[index]


def readable(text: str) -> str:
    """Return the text with lone surrogates, which no tokenizer takes, as U+FFFD: character for character."""
    return text if text.isascii() else _surrogates.sub("\ufffd", text)


def tally(conversation: Conversation, counter: Counter, deadline: Deadline) -> Tally:
    """Count every message; raises DeadlineExceededError."""
    messages = conversation.messages
    counts = iter(
        _count([text for m in messages for text in (*(t.value for t in m.texts), *m.fixed)], counter, deadline)
    )
    texts: list[tuple[int, ...]] = []
    fixed: list[int] = []
    for message in messages:
        texts.append(tuple(next(counts) for _ in message.texts))
        fixed.append(_overhead(message) + sum(next(counts) for _ in message.fixed))
    return Tally(tuple(texts), tuple(fixed), _REPLY + sum(_count(conversation.tools, counter, deadline)))


def count_texts(texts: Sequence[str], counter: Counter) -> list[int]:
    """Return the tokens of each text."""
    return counter.count_many([readable(text) for text in texts])


def _overhead(message: Message) -> int:
    return _PER_MESSAGE + (_PER_NAME if message.name else 0)


def _count(texts: Sequence[str], counter: Counter, deadline: Deadline) -> list[int]:
    """Count in batches, so that the deadline is looked at in between."""
    counts: list[int] = []
    start = size = 0
    for at, text in enumerate(texts):
        size += len(text)
        if size >= _BATCH:
            counts += count_texts(texts[start : at + 1], counter)
            start, size = at + 1, 0
            deadline.check()
    return counts + count_texts(texts[start:], counter)
