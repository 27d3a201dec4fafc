import json
from importlib.resources import files
from itertools import pairwise

import numpy as np
import pytest

from retrieval import Chunk, Document, Query, Retriever, counter_for
from retrieval.confidence import FEATURES, confidence, load_calibration, parse_calibration, window_features
from retrieval.selection import select
from retrieval.types import Deadline, Ranking

TEXT = "\n\n".join(
    f"The {name} is kept in hall {n}. It was built in {1900 + n} and carries {n * 7} people on a good day."
    for n, name in enumerate(["ferry", "tram", "balloon", "canoe", "lorry", "glider", "sledge", "kayak"] * 30)
)


def ranking(*odds: float) -> Ranking:
    values = np.array(odds, dtype=np.float32)
    chunks = tuple(Chunk(0, i, i + 1, 100) for i in range(len(odds)))
    return Ranking(chunks, values, {"query_words": np.ones_like(values)}, values)


def mask(*kept: int, of: int) -> np.ndarray:
    found = np.zeros(of, dtype=np.bool_)
    found[list(kept)] = True
    return found


def test_nothing_left_out_is_certain() -> None:
    assert confidence(ranking(-1.0, 2.0), mask(0, 1, of=2)) == 1.0
    assert confidence(ranking(), mask(of=0)) == 1.0


def test_keeping_the_chunk_that_stands_out_is_surer_than_leaving_it_out() -> None:
    clear = ranking(4.0, -4.0, -4.0, -4.0)
    assert confidence(clear, mask(0, of=4)) > 0.5 + confidence(clear, mask(1, of=4))


def test_many_chunks_alike_leave_more_doubt_than_one_that_stands_out() -> None:
    assert confidence(ranking(4.0, *[-4.0] * 40), mask(0, of=41)) > confidence(ranking(*[0.0] * 41), mask(0, of=41))


def test_a_larger_window_over_the_same_ranking_is_never_less_sure() -> None:
    found = Retriever(None).rank(
        [Document(TEXT, "user", 0)], Query("Where is the balloon kept?"), counter_for(None), Deadline.after(30)
    )
    estimates = [confidence(found, select(found, tokens)) for tokens in (200, 400, 800, 1600, 3200)]
    assert all(smaller <= larger + 0.01 for smaller, larger in pairwise(estimates))
    assert 0 < estimates[0] < estimates[-1] < 1


def test_the_stored_model_is_readable_and_made_for_these_features() -> None:
    data = json.loads(files("retrieval").joinpath("confidence.json").read_text(encoding="utf-8"))
    assert tuple(data["features"]) == FEATURES
    assert data["command"].startswith("python -m benchmarks.")
    assert len(load_calibration().weights) == len(FEATURES)


def test_the_estimate_is_the_logistic_function_of_the_features() -> None:
    model = parse_calibration({"bias": 1.0, "weights": [0.5] + [0.0] * (len(FEATURES) - 1)})
    row = np.zeros((1, len(FEATURES)), dtype=np.float32)
    row[0, 0] = 2.0
    assert model.estimate(row)[0] == pytest.approx(1 / (1 + np.exp(-2.0)))


def test_features_of_one_window_by_hand() -> None:
    found = dict(zip(FEATURES, window_features(ranking(0.0, 0.0, -1.0), mask(0, of=3), 0.5).tolist(), strict=True))
    assert found["best dropped"] == 0.0
    assert found["next dropped"] == pytest.approx(-0.5)
    assert found["probable dropped"] == pytest.approx(np.log1p(0.5 + 1 / (1 + np.e)), rel=1e-5)
    assert found["kept tokens"] == pytest.approx(np.log1p(100))
    assert found["free share"] == 0.5
