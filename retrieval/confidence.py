"""Estimates how likely the evidence is inside a window: a logistic model of what the window holds and leaves out.

Trained on labelled requests and stored as a small readable file (confidence.json, which says how to make it again).
The estimate is of the share of the evidence that is kept, so that 0.9 means: of ten pieces that an answer needs,
nine are expected inside. Method: Platt scaling (1999) of features of the ranking, in place of one classifier score.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

from retrieval.fusion import probabilities
from retrieval.types import Floats, Mask, Ranking

FEATURES = (
    "sharp mass",  # logit of the share of squared probability that is kept: who stands out, counts
    "best dropped",  # log-odds of the best chunk that is left out
    "next dropped",  # mean log-odds of the best eight that are left out
    "probable",  # log of 1 + the sum of all probabilities: how much looks like evidence
    "probable dropped",  # the same of what is left out
    "kept tokens",  # log of 1 + tokens
    "query words",
    "free share",  # of the window that protected text leaves to what is ranked
)
_NEXT = 8
_EDGE = 1e-4  # a share never counts as surer than this


@dataclass(frozen=True, slots=True)
class Calibration:
    """A logistic model over FEATURES: bias and weights, float32[len(FEATURES)]."""

    bias: float
    weights: Floats

    def estimate(self, features: Floats) -> Floats:
        """Return the expected share of the evidence for each row of features[n, len(FEATURES)], float32[n]."""
        return probabilities(np.asarray(features @ self.weights + self.bias, dtype=np.float32))


def window_features(ranking: Ranking, kept: Mask, free_share: float = 1.0) -> Floats:
    """Return FEATURES of one window over a ranking, float32[len(FEATURES)]; `kept` is bool[n]."""
    odds = ranking.odds
    probable = probabilities(odds).astype(np.float64)
    tokens = np.fromiter((chunk.tokens for chunk in ranking.chunks), dtype=np.float64, count=len(odds))
    sharp = probable * probable
    dropped = np.sort(odds[~kept])[-_NEXT:]
    lowest = float(odds.min(initial=0.0)) - 2.0
    values = (
        _logit(float(sharp[kept].sum()) / max(1e-12, float(sharp.sum()))),
        float(dropped[-1]) if len(dropped) else lowest,
        float(dropped.mean()) if len(dropped) else lowest,
        np.log1p(probable.sum()),
        np.log1p(probable[~kept].sum()),
        np.log1p(tokens[kept].sum()),
        float(ranking.signals["query_words"][0]),
        free_share,
    )
    return np.array(values, dtype=np.float32)


def confidence(ranking: Ranking, kept: Mask, free_share: float = 1.0) -> float:
    """Return the estimated share of the evidence inside the window, 0 to 1; 1 where nothing is left out.

    `free_share` is how much of the window protected text leaves to what is ranked.
    """
    if kept.all():
        return 1.0
    return float(load_calibration().estimate(window_features(ranking, kept, free_share)[None])[0])


@cache
def load_calibration() -> Calibration:
    """Load the model that comes with the package; raises ValueError when it was made for other features."""
    data = json.loads(files("retrieval").joinpath("confidence.json").read_text(encoding="utf-8"))
    if tuple(data["features"]) != FEATURES:
        raise ValueError(f"confidence.json was made for other features: {data['command']} makes it anew")
    return parse_calibration(data)


def parse_calibration(data: Mapping[str, Any]) -> Calibration:
    """Return the model of the stored form."""
    return Calibration(float(data["bias"]), np.array(data["weights"], dtype=np.float32))


def _logit(share: float) -> float:
    inside = min(max(share, _EDGE), 1.0 - _EDGE)
    return float(np.log(inside / (1.0 - inside)))
