import json
from importlib.resources import files

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from benchmarks.retrieval_data import Case
from benchmarks.retrieval_train import Example, train
from retrieval import Chunk, Query
from retrieval.fusion import (
    FEATURES,
    around,
    feature_matrix,
    load_forest,
    log_rank,
    parse_forest,
    probabilities,
    with_dense,
)
from retrieval.signals import Signals

COLUMN = FEATURES.index("coverage")


def stump(threshold: float | None, low: float, high: float) -> dict[str, object]:
    return {
        "features": list(FEATURES),
        "base": 0.5,
        "trees": [{"feature": [COLUMN], "threshold": [threshold], "value": [low, high]}],
    }


def rows(*coverage: float) -> np.ndarray:
    features = np.zeros((len(coverage), len(FEATURES)), dtype=np.float32)
    features[:, COLUMN] = coverage
    return features


def test_a_value_above_the_threshold_goes_right() -> None:
    assert parse_forest(stump(0.3, -1.0, 1.0)).score(rows(0.2, 0.3, 0.4)).tolist() == [-0.5, -0.5, 1.5]


def test_an_endless_threshold_always_goes_left() -> None:
    assert parse_forest(stump(None, 7.0, 0.0)).score(rows(1e9)).tolist() == [7.5]


def test_cosines_move_only_what_was_embedded_and_only_by_their_differences() -> None:
    odds = np.zeros(4, dtype=np.float32)
    moved = with_dense(odds, np.array([2, 0]), np.array([0.7, 0.3], dtype=np.float32))
    assert moved[2] > 0 > moved[0]
    assert moved[[1, 3]].tolist() == [0, 0]
    assert not odds.any()
    assert np.allclose(with_dense(odds, np.array([1, 2]), np.full(2, 0.9, dtype=np.float32)), 0)


def test_sums_around_leave_out_the_chunk_itself() -> None:
    assert around(np.array([1, 2, 4, 8], dtype=np.float32), 1).tolist() == [2, 5, 10, 4]
    assert around(np.array([3], dtype=np.float32), 8).tolist() == [0]


def reference_score(tree: dict[str, list[float]], row: list[float]) -> float:
    """Walk one tree by hand."""
    node = 0
    while node < len(tree["feature"]):
        threshold = tree["threshold"][node]
        seen = row[int(tree["feature"][node])]
        node = 2 * node + 1 + int(threshold is not None and seen > np.float32(threshold))
    return tree["value"][node - len(tree["feature"])]


@given(arrays(np.float32, (3, len(FEATURES)), elements=st.floats(-10, 10, width=32)))
def test_the_shipped_trees_agree_with_a_walk_by_hand(features: np.ndarray) -> None:
    data = json.loads(files("retrieval").joinpath("fusion.json").read_text())
    scores = load_forest().score(features)
    for row, score in zip(features, scores, strict=True):
        assert np.isclose(data["base"] + sum(reference_score(t, row.tolist()) for t in data["trees"]), score, atol=1e-3)


def test_probabilities_and_ranks() -> None:
    assert probabilities(np.zeros(1, dtype=np.float32)).tolist() == [0.5]
    assert np.allclose(log_rank(np.array([0.1, 0.9, 0.5], dtype=np.float32)), np.log1p([2, 0, 1]))


def test_features_have_their_names_and_stay_finite_without_any_match() -> None:
    names = {
        name.removeprefix("scaled ").removeprefix("rank ")
        for name in FEATURES
        if not name.startswith("first at") and " around " not in name
    }
    signals: Signals = {name: np.zeros(4, dtype=np.float32) for name in names}
    matrix = feature_matrix(signals)
    assert matrix.shape == (4, len(FEATURES))
    assert np.isfinite(matrix).all()


def test_training_stores_thresholds_of_the_features_themselves() -> None:
    dice = np.random.default_rng(0)
    features = rows(*dice.integers(0, 40, 12_000))
    evidence = features[:, COLUMN] > 30
    case = Case("made", "1", "1", 0, (), Query("?"), (), (), 1.0)
    chunks = tuple(Chunk(0, i, i + 1, 1) for i in range(len(features)))
    forest = parse_forest(train([Example(case, chunks, features, evidence.astype(np.float32))]))
    scores = forest.score(features)
    assert scores[evidence].min() > scores[~evidence].max()
