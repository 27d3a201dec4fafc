"""A window's strip drawn: what was protected, what was scored how, what was kept.

Made on the request's path, and so in one pass over numbers that are there already.
"""

from collections.abc import Sequence
from itertools import accumulate

import numpy as np

from gateway.windowing.conversation import Message
from gateway.windowing.counting import readable
from gateway.windowing.keep import Kept
from gateway.windowing.measuring import Measured
from gateway.windowing.protect import Plan, Region
from gateway.windowing.strip import CHUNK, DROPPED, GAP, HIGHEST, KEPT, PROTECTED, Strip
from retrieval.types import Ranking

_QUESTION = 2000  # characters of the question

_Span = tuple[int, int]  # a region's first chunk, and the one after its last


def strip_of(measured: Measured, planned: Plan, ranking: Ranking, spans: Sequence[_Span], kept: Kept) -> Strip:
    """Return the strip; `spans` are the chunks of each region."""
    drawing = _Drawing(measured, planned, ranking, spans, kept)
    drawing.rest(measured.tally.frame, there=True)
    for message in planned.conversation.messages:
        drawing.draw(message)
    return Strip(
        readable(planned.query.text[:_QUESTION]),
        "".join(drawing.kinds),
        tuple(drawing.tokens),
        tuple(drawing.scores),
        "".join(drawing.kept),
    )


class _Drawing:
    """A strip that is being drawn, message by message."""

    def __init__(self, measured: Measured, planned: Plan, ranking: Ranking, spans: Sequence[_Span], kept: Kept) -> None:
        self.kinds: list[str] = []
        self.tokens: list[int] = []
        self.scores: list[int] = []
        self.kept: list[str] = []
        self._tally = measured.tally
        self._messages = kept.messages
        self._sizes = [chunk.tokens for chunk in ranking.chunks]
        self._sums = [0, *accumulate(self._sizes)]
        self._shares = _shares(ranking)
        self._held = [KEPT if held else DROPPED for held in kept.chunks.tolist()]
        self._regions: dict[int, list[tuple[Region, _Span]]] = {}
        for region, span in zip(planned.regions, spans, strict=True):
            self._regions.setdefault(region.text.message, []).append((region, span))

    def draw(self, message: Message) -> None:
        """Add the message's stretches."""
        there, regions = message.index in self._messages, self._regions.get(message.index)
        if regions is None:
            self.rest(self._tally.message(message.index), there)
            return
        sums = self._sums
        rest = max(0, self._tally.message(message.index) - sum(sums[b] - sums[a] for _, (a, b) in regions))
        if len(regions) == 1 and message.length == regions[0][0].end - regions[0][0].start:  # as in most turns
            self.rest(rest, there)
            self._chunks(*regions[0][1], there)
            return
        lengths = _between(message, [region for region, _ in regions])
        total = max(1, sum(lengths))
        for length, (_, span) in zip(lengths, regions, strict=False):
            self.rest(rest * length // total, there)
            self._chunks(*span, there)
        self.rest(rest * lengths[-1] // total, there)

    def rest(self, tokens: int, there: bool) -> None:
        """Add what is in no chunk, to the stretch before where that is of the same kind."""
        kind, held = (PROTECTED, KEPT) if there else (GAP, DROPPED)
        if self.kinds and self.kinds[-1] == kind:
            self.tokens[-1] += tokens
        elif tokens:
            self.kinds.append(kind)
            self.tokens.append(tokens)
            self.scores.append(-1)
            self.kept.append(held)

    def _chunks(self, first: int, last: int, there: bool) -> None:
        self.kinds += CHUNK * (last - first)
        self.tokens += self._sizes[first:last]
        self.scores += self._shares[first:last]
        self.kept += self._held[first:last] if there else DROPPED * (last - first)


def _shares(ranking: Ranking) -> list[int]:
    """Return the scores as thousandths of the way from the lowest to the highest."""
    low, high = float(np.min(ranking.scores)), float(np.max(ranking.scores))
    shares: list[int] = np.rint((ranking.scores - low) * (HIGHEST / max(high - low, 1e-9))).astype(int).tolist()
    return shares


def _between(message: Message, regions: Sequence[Region]) -> list[int]:
    """Return about how many characters stand before each region of the message, and after the last."""
    ends = list(accumulate(len(text.value) for text in message.texts))
    lengths, at = [], 0
    for region in regions:
        base = ends[region.text.place] - len(region.text.value)
        lengths.append(base + region.start - at)
        at = base + region.end
    return [*lengths, max(1, ends[-1] - at)]
