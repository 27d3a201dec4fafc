"""Weighs the signals of a chunk into one score: gradient-boosted trees, trained on labelled requests.

The trees are data (fusion.json, which says how to make it again); here they are only evaluated, all chunks and all
trees at once. Features are the signals made comparable between requests: scaled by their best, and by rank.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
import numpy.typing as npt

from retrieval.signals import Ids, Signals, scaled, shifted
from retrieval.types import Floats

Ints = npt.NDArray[np.int32]
_SCALED = ("words", "grams", "rarest", "coverage", "heading", "recent", "recent_rarest", "hop", "first", "phrases",
           "rest", "feedback", "document_best", "heading_best")  # fmt: skip
_RANKED = ("first", "words", "grams", "recent", "hop", "phrases", "rest", "feedback", "document_best")
_AS_IS = ("coverage", "heading_coverage", "heading_named", "bridge", "grams", "tokens", "total", "place", "from_end",
          "messages_from_end",
          "first_of_document", "role_user", "role_assistant", "role_tool", "role_system", "digits", "capitals", "marks",
          "asks", "query_words", "query_found", "query_heading", "tool_share", "documents", "asks_number")  # fmt: skip
_AROUND = (1, -1, 2, -2)  # neighbours whose first picture is looked at one by one
_WINDOWS = (("first", 3), ("first", 8), ("rest", 3), ("feedback", 3), ("recent", 3))  # and the mean up to a distance
_ROWS = 128  # scored at a time: what they need stays in the processor's cache
_DENSE_WEIGHT = 2.0  # log-odds for a cosine of 1 more; 0 to 6 differ by less than 0.01 on 165 development cases
FEATURES = (
    *(f"scaled {name}" for name in _SCALED),
    *(f"rank {name}" for name in _RANKED),
    *_AS_IS,
    *(f"first at {distance:+d}" for distance in _AROUND),
    *(f"{name} around {distance}" for name, distance in _WINDOWS),
)


@dataclass(frozen=True, slots=True)
class Forest:
    """Complete binary trees: `feature` and `threshold` [trees, 2^depth - 1] by level, `value` [trees, 2^depth].

    A value above the threshold goes right.
    """

    feature: Ints
    threshold: Floats
    value: Floats
    base: float

    def score(self, features: Floats) -> Floats:
        """Return the sum of the trees' leaves for each row of features[n, len(FEATURES)]: log-odds, float32[n]."""
        blocks = [self._sums(features[at : at + _ROWS]) for at in range(0, len(features), _ROWS)]
        return np.concatenate(blocks) if blocks else np.empty(0, dtype=np.float32)

    def _sums(self, features: Floats) -> Floats:
        trees, inner = self.feature.shape
        tree = (np.arange(trees, dtype=np.int32) * inner)[None, :]
        row = (np.arange(len(features), dtype=np.int32) * features.shape[1])[:, None]
        node = np.zeros((len(features), trees), dtype=np.int32)
        for _ in range((inner + 1).bit_length() - 1):
            at = tree + node
            # Every index is in range; "clip" spares numpy the look at each of them.
            seen = features.take(row + self.feature.take(at, mode="clip"), mode="clip")
            node = 2 * node + 1 + (seen > self.threshold.take(at, mode="clip"))
        leaf = np.arange(trees, dtype=np.int32) * (inner + 1) + node - inner
        return np.asarray(self.value.take(leaf, mode="clip").sum(axis=1) + self.base, dtype=np.float32)


def feature_matrix(signals: Signals) -> Floats:
    """Return the features of each chunk, float32[n, len(FEATURES)]."""
    first = scaled(signals["first"])
    columns = [scaled(signals[name]) for name in _SCALED]
    columns += [log_rank(signals[name]) for name in _RANKED]
    columns += [signals[name] for name in _AS_IS]
    columns += [shifted(first, distance) for distance in _AROUND]
    columns += [around(scaled(signals[name]), distance) for name, distance in _WINDOWS]
    return np.stack(columns, axis=1).astype(np.float32)


def around(scores: Floats, distance: int) -> Floats:
    """Return the sum of the scores up to that many places before and after each chunk, without its own."""
    sums = np.concatenate(([0.0], np.cumsum(scores, dtype=np.float64)))
    place = np.arange(len(scores))
    last = np.minimum(place + distance + 1, len(scores))
    return (sums[last] - sums[np.maximum(place - distance, 0)] - scores).astype(np.float32)


def log_rank(scores: Floats) -> Floats:
    """Return log(1 + place) of each score, the best one's place being 0."""
    places = np.empty(len(scores), dtype=np.float32)
    places[np.argsort(-scores, kind="stable")] = np.arange(len(scores))
    return np.log1p(places)


def with_dense(odds: Floats, embedded: Ids, cosines: Floats) -> Floats:
    """Return the log-odds with those of the embedded chunks moved by their cosines to the question.

    Only the differences within the shortlist count: a cosine's level says more about the question than the chunk.
    """
    moved = odds.copy()
    moved[embedded] += _DENSE_WEIGHT * (cosines - cosines.mean())
    return moved


def probabilities(odds: Floats) -> Floats:
    """Return log-odds as probabilities."""
    return np.asarray(1.0 / (1.0 + np.exp(-odds)), dtype=np.float32)


@cache
def load_forest() -> Forest:
    """Load the trees that come with the package; raises ValueError when they were made for other features."""
    data = json.loads(files("retrieval").joinpath("fusion.json").read_text(encoding="utf-8"))
    if tuple(data["features"]) != FEATURES:
        raise ValueError(f"fusion.json was made for other features: {data['command']} makes it anew")
    return parse_forest(data)


def parse_forest(data: Mapping[str, Any]) -> Forest:
    """Return the forest of the stored form: trees as {feature, threshold, value}, a threshold of null being endless."""
    trees = data["trees"]
    thresholds = [[np.inf if t is None else t for t in tree["threshold"]] for tree in trees]
    return Forest(
        feature=np.array([tree["feature"] for tree in trees], dtype=np.int32),
        threshold=np.array(thresholds, dtype=np.float32),
        value=np.array([tree["value"] for tree in trees], dtype=np.float32),
        base=float(data["base"]),
    )
