"""Chooses the chunks that fill a window."""

import heapq
from collections.abc import Iterator, Sequence

import numpy as np

from retrieval.types import Floats, Mask, Ranking

_REPEATED = 0.1  # what is left of the score of a text that stands elsewhere in the request too
_LEAST = 12  # tokens; shorter texts (a brace, a greeting) repeat by nature and cost little


def demote_repeats(scores: Floats, texts: Sequence[str], tokens: Sequence[int]) -> Floats:
    """Return the scores with every repeat of the same text put behind its best copy (the latest of equals).

    The same tool result in every turn, or a passage pasted over and over, must not fill the window.
    """
    best: dict[str, int] = {}
    demoted = scores.copy()
    latest_first = len(scores) - 1 - np.argsort(-scores[::-1], kind="stable")
    for chunk in latest_first.tolist():
        text = texts[chunk].strip()
        if tokens[chunk] >= _LEAST and best.setdefault(text, chunk) != chunk:
            demoted[chunk] *= _REPEATED
    return demoted


def select(ranking: Ranking, window_tokens: int) -> Mask:
    """Return which chunks to keep, bool[n]: best scores first, as many as fit, never more than window_tokens.

    A chunk that no longer fits is passed over for smaller ones after it, so the window is spent. Cheap: call it again
    with another window on the same ranking.
    """
    keep = np.zeros(len(ranking.chunks), dtype=np.bool_)
    left = window_tokens
    for i in np.argsort(-ranking.scores, kind="stable"):
        tokens = ranking.chunks[i].tokens
        if tokens <= left:
            keep[i] = True
            left -= tokens
            if left <= 0:
                break
    return keep


def surrounded(ranking: Ranking, keep: Mask, tokens: int) -> Mask:
    """Return the selection with the best neighbours of what it holds, bool[n], of up to that many tokens more.

    Evidence seldom ends where a chunk does.
    """
    grown, left = keep.copy(), tokens
    waiting = [
        (-float(ranking.scores[j]), j) for i in np.flatnonzero(keep).tolist() for j in _beside(ranking, i, grown)
    ]
    heapq.heapify(waiting)
    while waiting:
        _, at = heapq.heappop(waiting)
        if grown[at] or ranking.chunks[at].tokens > left:
            continue
        grown[at] = True
        left -= ranking.chunks[at].tokens
        for beyond in _beside(ranking, at, grown):
            heapq.heappush(waiting, (-float(ranking.scores[beyond]), beyond))
    return grown


def _beside(ranking: Ranking, at: int, keep: Mask) -> Iterator[int]:
    """Yield the places of the chunks directly before and after in the same document that are not kept."""
    for other in (at - 1, at + 1):
        inside = 0 <= other < len(ranking.chunks) and not keep[other]
        if inside and ranking.chunks[other].document == ranking.chunks[at].document:
            yield other
