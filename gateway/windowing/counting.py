"""How many tokens a request is, by what a model reads of it."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gateway.windowing.conversation import Conversation, Message
from retrieval.types import Counter, Deadline

# What OpenAI's chat format adds: three tokens and the role for each message, one more beside a name, and three
# that begin the reply.
_PER_MESSAGE = 4
_PER_NAME = 1
_REPLY = 3
_PIECE = 384_000  # characters after which the deadline is looked at
# Where a line begins with a letter or digit, the vocabularies' patterns always end a token: counts add up exactly.
_cut = re.compile(r"\n(?=[^\W_])")
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
    try:
        text.encode()  # several times faster than looking for one
    except UnicodeEncodeError:
        return _surrogates.sub("\ufffd", text)
    return text


def tally(conversation: Conversation, counter: Counter, deadline: Deadline) -> Tally:
    """Count every message; raises DeadlineExceededError."""
    messages = conversation.messages
    counts = iter(
        count_texts([text for m in messages for text in (*(t.value for t in m.texts), *m.fixed)], counter, deadline)
    )
    texts: list[tuple[int, ...]] = []
    fixed: list[int] = []
    for message in messages:
        texts.append(tuple(next(counts) for _ in message.texts))
        fixed.append(_overhead(message) + sum(next(counts) for _ in message.fixed))
    beside = sum(count_texts((*conversation.tools, conversation.instructions), counter, deadline))
    frame = _REPLY + (_PER_MESSAGE if conversation.instructions else 0)
    return Tally(tuple(texts), tuple(fixed), frame + beside)


def count_texts(texts: Sequence[str], counter: Counter, deadline: Deadline | None = None) -> list[int]:
    """Return the tokens of each text; raises DeadlineExceededError."""
    counts = [0] * len(texts)
    size = 0
    for at, piece in ((at, piece) for at, text in enumerate(texts) for piece in _pieces(readable(text))):
        counts[at] += counter.recall(piece)
        size += len(piece)
        if size >= _PIECE:
            size = 0
            if deadline:
                deadline.check()
    if deadline:
        deadline.check()
    return counts


def _pieces(text: str) -> Iterator[str]:
    start = 0
    while len(text) - start > _PIECE:
        found = _cut.search(text, start + _PIECE // 2, start + _PIECE)
        # A text without such lines is cut anywhere: at most one token more for each piece.
        end = found.end() if found else start + _PIECE
        yield text[start:end]
        start = end
    yield text[start:]


def _overhead(message: Message) -> int:
    return _PER_MESSAGE + (_PER_NAME if message.name else 0)
