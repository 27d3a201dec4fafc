"""Prompts of a given length: a passage that answers, somewhere in a lot of text that does not."""

from collections.abc import Sequence
from itertools import cycle, islice

from gateway.effective.facts import Fact
from retrieval.tokens import counter_for

_TASK = "Answer the question at the end from these documents. Reply with the answer alone, in a few words."
_FRAME_TOKENS = 64  # the task, the question


class Filler:
    """Paragraphs with their tokens, to hide passages in: Python's language reference, unless others are given."""

    def __init__(self, model: str, text: str | None = None) -> None:
        whole = _reference() if text is None else text
        counter = counter_for(model)
        paragraphs = [paragraph for paragraph in whole.split("\n\n") if paragraph.strip()]
        self._paragraphs = [(paragraph, counter.count(paragraph) + 1) for paragraph in paragraphs]

    def of(self, tokens: int, start: float) -> list[str]:
        """Return paragraphs of about so many tokens together, from that share of the text on; then from its start."""
        paragraphs = islice(cycle(self._paragraphs), int(start * len(self._paragraphs)), None)
        paragraph, size = next(paragraphs)
        found, left = [paragraph], tokens - size
        for paragraph, size in paragraphs:
            if size > left:
                break
            found.append(paragraph)
            left -= size
        return found


def prompt(fact: Fact, others: Sequence[Fact], filler: Filler, tokens: int, depth: float) -> str:
    """Return a prompt of some so many tokens with the fact at that depth, from 0 to 1, and the others elsewhere.

    Each begins at another place of the filler, so that no provider has it in its cache.
    """
    paragraphs = filler.of(max(1, tokens - _FRAME_TOKENS), start=depth)
    passages = [(depth, fact.passage)]
    passages += [((depth + (place + 1) / (len(others) + 1)) % 1, other.passage) for place, other in enumerate(others)]
    for where, passage in sorted(passages, reverse=True):
        paragraphs.insert(round(where * len(paragraphs)), passage)
    return "\n\n".join([_TASK, *paragraphs, f"Question: {fact.question}"])


def _reference() -> str:
    from pydoc_data.topics import topics  # noqa: PLC0415 - half a megabyte that no other command needs

    return "\n\n".join(topics[name] for name in sorted(topics))
