"""What a follow-up leans on: "why?" is looked for with the question before it and what was answered."""

from collections.abc import Iterator, Sequence

from gateway.windowing.asking import asking_end
from gateway.windowing.conversation import Message
from gateway.windowing.counting import readable
from gateway.windowing.question import split_question

_ASKED = 300  # characters of the question before
_ANSWERED = 300  # characters of the answer to it
_SHORT = 40  # characters of a question that may itself lean on the one before it
_BACK = 3  # questions that may lean on each other
_BREAK = "\n\n"


def leaning_on(messages: Sequence[Message], question: int) -> str:
    """Return what the question would be searched with if it says nothing by itself; nothing where nothing was said."""
    return readable("\n".join(filter(None, _before(messages[:question]))))


def _before(messages: Sequence[Message]) -> Iterator[str]:
    """Yield the questions before, latest first, and the beginning and the offer of the latest answer."""
    for message in [m for m in messages if m.role == "user" and m.length][: -1 - _BACK : -1]:
        asked = split_question(_said(message)).query[:_ASKED]
        yield asked
        if len(asked) > _SHORT:
            break
    answer = next((_said(m) for m in reversed(messages) if m.role == "assistant" and m.length), "")
    yield answer[:_ANSWERED]
    yield asking_end(answer[_ANSWERED:])


def _said(message: Message) -> str:
    return _BREAK.join(text.value for text in message.texts)
