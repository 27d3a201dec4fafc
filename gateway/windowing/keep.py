"""From the chunks that retrieval selected to all that has to stay with them."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np

from gateway.windowing import jsontext, markers
from gateway.windowing.protect import Plan
from gateway.windowing.turns import Item, Turn
from retrieval.types import Mask, Ranking

GAP_TOKENS = 260  # a gap in a text up to this size, two chunks, is kept: evidence seldom ends where a chunk does
SMALL_TOKENS = 60  # a message of a kept turn up to this size stays whole

Best = Callable[[Item], float]


@dataclass(frozen=True, slots=True)
class Kept:
    """What is forwarded of the trimmable part: chunks (bool[n] of the ranking) and whole messages."""

    chunks: Mask
    messages: frozenset[int]
    tokens: int


class Keeper:
    """Closes selections of one ranking over the rules of the conversation."""

    def __init__(self, plan: Plan, ranking: Ranking, fixed: Sequence[int]) -> None:
        """Take what was planned and ranked; `fixed` are the tokens of each message that are never cut."""
        self._plan = plan
        self._scores = ranking.scores
        self._fixed = fixed
        self._tokens = np.array([c.tokens for c in ranking.chunks], dtype=np.int64)
        self._owners = np.array([c.document for c in ranking.chunks], dtype=np.int64)
        self._homes = np.array([d.message for d in plan.documents], dtype=np.int64)[self._owners]
        edges = np.searchsorted(self._owners, np.arange(len(plan.documents) + 1))
        self.spans = tuple((int(a), int(b)) for a, b in itertools.pairwise(edges))
        self._of_message: dict[int, list[int]] = {}
        for chunk, message in enumerate(self._homes.tolist()):
            self._of_message.setdefault(message, []).append(chunk)

    @property
    def owed(self) -> int:
        """The tokens of what stays though nothing is selected, where messages are kept for what leads to them."""
        if not self._plan.led:
            return 0
        return self.close(np.zeros(len(self._tokens), dtype=np.bool_)).tokens

    def close(self, selected: Mask) -> Kept:
        """Return the selection with all that has to stay with it, and how many of the original's tokens these are."""
        chunks = selected.copy()
        messages = set(self._plan.pinned) | set(self._homes[chunks].tolist())
        for turn in self._plan.turns:
            messages |= set(_with_company(turn, messages, self._best))
        for message in messages:
            self._complete(message, chunks)
        self._fill_all(chunks)
        added = sum(self._fixed[m] for m in messages - self._plan.pinned)
        return Kept(chunks, frozenset(messages), int(self._tokens[chunks].sum()) + added)

    def _fill_all(self, chunks: Mask) -> None:
        sizes = np.bincount(self._owners, minlength=len(self.spans))
        held = np.bincount(self._owners, weights=chunks, minlength=len(self.spans))
        partly = np.flatnonzero((held > 0) & (held < sizes))
        for document in partly.tolist():
            self._fill(*self.spans[document], document, chunks)

    def _best(self, item: Item) -> float:
        scores = [self._scores[c] for m in item.messages for c in self._of_message.get(m, ())]
        return float(max(scores, default=-np.inf))

    def _complete(self, message: int, chunks: Mask) -> None:
        """Keep a small message whole, and of any other at least its best chunk."""
        own = self._of_message.get(message)
        if not own:
            return
        if self._tokens[own].sum() <= SMALL_TOKENS:
            chunks[own] = True
        elif not chunks[own].any():
            chunks[own[int(np.argmax(self._scores[own]))]] = True

    def _fill(self, first: int, last: int, document: int, chunks: Mask) -> None:
        """Add what says which record is kept, and fill short gaps."""
        tree = self._plan.regions[document].tree
        if tree is not None:
            for inside, names in jsontext.identities(tree):
                if chunks[first + inside.start : first + inside.stop].any():
                    chunks[[first + n for n in names]] = True
        most = GAP_TOKENS if tree is None else markers.JSON_COST
        for start, end in _gaps(chunks[first:last]):
            if self._tokens[first + start : first + end].sum() <= most:
                chunks[first + start : first + end] = True


def _with_company(turn: Turn, there: AbstractSet[int], best: Best) -> Iterator[int]:
    """Yield the messages that a partly kept turn needs so that its roles still follow each other."""
    staying = {i for i in turn.items if not there.isdisjoint(i.messages)}
    if not staying:
        return
    for item in staying:
        yield from item.messages
    if turn.asks and staying.isdisjoint(turn.asks):
        yield from max(turn.asks, key=best).messages
    if not turn.replies:
        return
    replies = [i for i in turn.replies if i in staying]
    last = turn.replies[-1]
    if (not replies or replies[-1].group) and not last.group:
        # The turn ended with an answer in words: so it does now.
        yield from last.messages
    elif not replies:
        yield from max(turn.replies, key=best).messages


def _gaps(kept: Mask) -> Iterator[tuple[int, int]]:
    """Yield the runs of what is not kept."""
    edges = np.flatnonzero(np.diff(np.concatenate(([True], kept, [True])).astype(np.int8)))
    yield from ((int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True))
