import numpy as np
import pytest

from benchmarks.confidence_train import SIZES, Windows, bins_of, calibration_error, elastic, fit, fixed_at, needed
from retrieval.confidence import FEATURES

ONE = np.ones(2)


def windows(kept: list[list[float]]) -> Windows:
    tokens = np.array([SIZES] * len(kept), dtype=np.float64)
    return Windows(np.zeros((len(kept), len(SIZES), len(FEATURES)), dtype=np.float32), np.array(kept), tokens)


def test_an_estimate_that_is_always_off_by_a_fifth_has_that_error() -> None:
    estimates, kept = np.array([0.9, 0.5, 0.5]), np.array([0.7, 0.3, 0.3])
    assert calibration_error(bins_of(estimates, kept, np.ones(3))) == pytest.approx(0.2)


def test_errors_within_a_tenth_that_cancel_out_are_none() -> None:
    assert calibration_error(bins_of(np.array([0.55, 0.55]), np.array([0.1, 1.0]), ONE)) == pytest.approx(0.0)


def test_the_model_learns_the_share_from_a_feature_that_tells_it() -> None:
    dice = np.random.default_rng(0)
    features = dice.normal(size=(400, 3, len(FEATURES))).astype(np.float32)
    shares = 1 / (1 + np.exp(-2.0 * features[..., 0].astype(np.float64)))
    estimates = fit(features, shares, np.ones(400)).estimate(features)
    assert np.abs(estimates - shares).mean() < 0.05


def test_elastic_windows_are_compared_with_fixed_ones_of_the_same_mean() -> None:
    easy = [1.0] * len(SIZES)
    hard = [0.0] * (len(SIZES) - 1) + [1.0]
    found = windows([easy, hard])
    point = elastic(found, found.kept, np.full(2, 30_000.0), ONE, 0.9)
    assert point.trimmed == 1.0
    assert point.kept == 1.0
    assert point.tokens == (500 + 16_000) / 2
    assert point.fixed == pytest.approx(fixed_at(found, ONE, point.tokens))
    assert point.fixed < 0.6


def test_a_case_that_never_gets_sure_counts_whole() -> None:
    never = [0.2] * len(SIZES)
    point = elastic(windows([[1.0] * len(SIZES), never]), np.array([[1.0] * len(SIZES), never]), ONE * 9e4, ONE, 0.9)
    assert point.trimmed == 0.5
    assert point.kept_all == 1.0
    assert point.tokens_all == (500 + 90_000) / 2


def test_the_tokens_that_a_share_needs() -> None:
    rising = [list(np.linspace(0.0, 0.92, len(SIZES)))] * 2
    assert needed(windows(rising), ONE, 0.92) == 16_000
    assert needed(windows(rising), ONE, 0.95) is None
