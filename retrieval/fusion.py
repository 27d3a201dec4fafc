"""Weighs the signals into one score a chunk."""

import numpy as np

from retrieval.signals import Signals, scaled
from retrieval.types import Floats

# Set by hand: good enough to draw the shortlist, and all there is when nothing was learned.
_SHORTLIST = {"words": 1.0, "grams": 0.6, "coverage": 0.5, "heading": 0.5, "recent": 0.15}


def shortlist_score(signals: Signals) -> Floats:
    """Return the score by which chunks are shortlisted for the costly stages, float32[n]."""
    total = sum((weight * scaled(signals[name]) for name, weight in _SHORTLIST.items()), np.float32(0))
    return np.asarray(total, dtype=np.float32)


def fuse(signals: Signals) -> Floats:
    """Return the final score of each chunk from all its signals, float32[n]; an absent dense score is NaN."""
    dense = np.nan_to_num(signals["dense"], nan=0.0) if "dense" in signals else np.float32(0)
    base = shortlist_score(signals) + 0.4 * scaled(signals["hop"]) + dense
    return np.asarray(base, dtype=np.float32)
