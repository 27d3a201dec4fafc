"""Chooses the chunks that fill a window."""

import numpy as np

from retrieval.types import Mask, Ranking


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
