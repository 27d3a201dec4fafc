"""Trains retrieval/confidence.json on the development cases: python -m benchmarks.confidence_train [--check] [--plots].

Every case is looked at through windows of 13 sizes, ranked by trees that never saw its document; what is learned is
the share of its evidence inside, sources weighing the same. With --check nothing is written; printed are the expected
calibration error (by document and by source held out, the source's ranking included), the reliability table, and the
curves of evidence against tokens for fixed and elastic windows. --plots draws both into docs/.
"""

import argparse
import json
from collections import Counter as Tally
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]

import retrieval.confidence
from benchmarks.retrieval_data import kept_share, source_names
from benchmarks.retrieval_train import Example, by_document, held_out_odds, read_examples, smoothed
from retrieval import Floats, Ranking, select
from retrieval.confidence import FEATURES, Calibration, window_features
from retrieval.fusion import FEATURES as SIGNALS

COMMAND = "python -m benchmarks.confidence_train"
TARGET = Path(retrieval.confidence.__file__).with_name("confidence.json")
SIZES = (250, 350, 500, 700, 1000, 1400, 2000, 2800, 4000, 5600, 8000, 11_000, 16_000)
SMALLEST = SIZES.index(500)  # an elastic window begins here, as the gateway's does by default
TARGETS = (0.7, 0.8, 0.85, 0.9, 0.95)
_FOLDS = 4
_BINS = 10
_STRENGTH = 0.03  # of the data against the prior that no feature matters (scikit-learn's C)
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Windows:
    """Cases through windows of SIZES: features [cases, sizes, k], share of evidence kept and tokens [cases, sizes]."""

    features: Floats
    kept: Doubles
    tokens: Doubles


@dataclass(frozen=True, slots=True)
class Point:
    """Elastic windows for one target: means over the trimmed cases, and over all with the others counted whole."""

    target: float
    trimmed: float
    tokens: float
    kept: float
    fixed: float
    tokens_all: float
    kept_all: float
    fixed_all: float


def look(examples: Sequence[Example], odds: Sequence[Floats]) -> Windows:
    """Return the cases through windows of every size, ranked by the given log-odds."""
    rows = [[_window(e, o, size) for size in SIZES] for e, o in zip(examples, odds, strict=True)]
    return Windows(
        np.array([[features for features, _, _ in row] for row in rows], dtype=np.float32),
        np.array([[kept for _, kept, _ in row] for row in rows]),
        np.array([[tokens for _, _, tokens in row] for row in rows]),
    )


def _window(example: Example, odds: Floats, size: int) -> tuple[Floats, float, int]:
    words = example.features[:, SIGNALS.index("query_words")]
    ranking = Ranking(example.chunks, smoothed(odds), {"query_words": words}, odds)
    mask = select(ranking, example.case.budget(size))
    tokens = sum(chunk.tokens for chunk, kept in zip(example.chunks, mask, strict=True) if kept)
    features = window_features(ranking, mask, example.case.share)
    return features, kept_share(example.case, example.chunks, mask), tokens


def fit(features: Floats, kept: Doubles, weights: Doubles) -> Calibration:
    """Return the model of the share kept; features[cases, sizes, k], kept[cases, sizes], weights[cases]."""
    rows = features.reshape(-1, len(FEATURES)).astype(np.float64)
    shares, weight = kept.reshape(-1), np.repeat(weights, kept.shape[1])
    mean, scale = rows.mean(axis=0), rows.std(axis=0) + 1e-9
    scaled = (rows - mean) / scale
    # A share s is s times a success and 1 - s times a failure.
    model = LogisticRegression(C=_STRENGTH, max_iter=1000).fit(
        np.concatenate([scaled, scaled]),
        np.repeat([1, 0], len(rows)),
        sample_weight=np.concatenate([weight * shares, weight * (1 - shares)]) / weight.mean(),
    )
    slopes = model.coef_[0] / scale
    return Calibration(float(model.intercept_[0] - slopes @ mean), slopes.astype(np.float32))


def held_out(learned: Windows, judged: Windows, parts: Sequence[int], weights: Doubles) -> Doubles:
    """Return the estimates [cases, sizes] by models that never saw the case's part."""
    part = np.array(parts)
    estimates = np.zeros_like(judged.kept)
    for one in set(parts):
        model = fit(learned.features[part != one], learned.kept[part != one], weights[part != one])
        estimates[part == one] = model.estimate(judged.features[part == one])
    return estimates


def bins_of(estimates: Doubles, kept: Doubles, weights: Doubles) -> list[tuple[float, float, float]]:
    """Return (mean estimate, mean share kept, share of the weight) of each tenth that holds any."""
    place = np.minimum((estimates * _BINS).astype(int), _BINS - 1)
    return [
        (
            float(np.average(estimates[inside], weights=weights[inside])),
            float(np.average(kept[inside], weights=weights[inside])),
            float(weights[inside].sum() / weights.sum()),
        )
        for inside in (place == i for i in range(_BINS))
        if inside.any()
    ]


def calibration_error(bins: Sequence[tuple[float, float, float]]) -> float:
    """Return the expected calibration error (Naeini et al. 2015)."""
    return sum(share * abs(estimate - kept) for estimate, kept, share in bins)


def elastic(windows: Windows, estimates: Doubles, whole: Doubles, weights: Doubles, target: float) -> Point:
    """Return what elastic windows come to beside fixed ones of the same mean tokens; `whole`: tokens untrimmed."""
    sure = estimates >= target
    sure[:, :SMALLEST] = False
    trimmed = sure.any(axis=1)
    row, size = np.arange(len(sure)), np.argmax(sure, axis=1)
    tokens, kept = windows.tokens[row, size], windows.kept[row, size]
    some, all_ = weights * trimmed, weights
    inside = float(np.average(tokens, weights=some)), float(np.average(kept, weights=some))
    every_tokens = float(np.average(np.where(trimmed, tokens, whole), weights=all_))
    every_kept = float(np.average(np.where(trimmed, kept, 1.0), weights=all_))
    return Point(
        target, float(np.average(trimmed, weights=all_)), *inside, fixed_at(windows, some, inside[0]),
        every_tokens, every_kept, fixed_at(windows, all_, every_tokens),
    )  # fmt: skip


def fixed_at(windows: Windows, weights: Doubles, tokens: float) -> float:
    """Return what a fixed window of that many mean tokens keeps, by interpolation between SIZES."""
    sizes, kept = (np.average(column, axis=0, weights=weights) for column in (windows.tokens, windows.kept))
    return float(np.interp(tokens, sizes, kept))


def needed(windows: Windows, weights: Doubles, share: float) -> float | None:
    """Return the mean tokens at which a fixed window keeps that share of the evidence; None: more than the largest."""
    sizes, kept = (np.average(column, axis=0, weights=weights) for column in (windows.tokens, windows.kept))
    return float(np.interp(share, kept, sizes)) if kept[-1] >= share else None


def source_weights(examples: Sequence[Example]) -> Doubles:
    sizes = Tally(e.case.source for e in examples)
    return np.array([1.0 / sizes[e.case.source] for e in examples])


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--limit", type=int, default=0, help="cases a source (0: all)")
    options.add_argument("--check", action="store_true")
    options.add_argument("--plots", action="store_true")
    chosen = options.parse_args()
    examples = list(read_examples(chosen.limit))
    folds = by_document(examples, _FOLDS)
    windows = look(examples, held_out_odds(examples, folds))
    weights = source_weights(examples)
    if not chosen.check:
        TARGET.write_text(_readable(fit(windows.features, windows.kept, weights)), encoding="utf-8")
        print(f"{TARGET}: trained on {len(examples)} cases")
        return
    check(examples, windows, folds, weights, Path("docs") if chosen.plots else None)


def check(
    examples: Sequence[Example], windows: Windows, folds: Sequence[int], weights: Doubles, plots: Path | None
) -> None:
    """Print calibration and curves, held out by document and by source."""
    names = source_names()
    parts = [names.index(e.case.source) for e in examples]
    strange = look(examples, held_out_odds(examples, parts))
    by_documents = held_out(windows, windows, folds, weights)
    by_sources = held_out(windows, strange, parts, weights)
    whole = np.array([float(e.case.tokens) for e in examples])
    reliability = {}
    for title, seen, estimates in (("document", windows, by_documents), ("source", strange, by_sources)):
        print(f"\nheld out by {title}: expected calibration error")
        for size in (500, 1000, 2000, 4000):
            column = SIZES.index(size)
            found = bins_of(estimates[:, column], seen.kept[:, column], weights)
            print(f"  window {size:5}: {calibration_error(found):.3f}")
        every = bins_of(estimates.ravel(), seen.kept.ravel(), np.repeat(weights, len(SIZES)))
        reliability[title] = every
        print(f"  all sizes   : {calibration_error(every):.3f}")
        print("  estimated " + " ".join(f"{estimate:5.2f}" for estimate, _, _ in every))
        print("  kept      " + " ".join(f"{kept:5.2f}" for _, kept, _ in every))
        points = [elastic(seen, estimates, whole, weights, target) for target in TARGETS]
        _print_points(points)
        _print_needed(seen, weights)
        if plots and title == "document":
            curve = seen, points
    if plots:
        # Imported here: only the plots need it.
        from benchmarks.confidence_plots import draw  # noqa: PLC0415

        draw(plots, reliability, curve[0], curve[1], weights)


def _print_points(points: Sequence[Point]) -> None:
    print("  target  trimmed | of these: tokens  kept  fixed | others counted whole: tokens  kept  fixed")
    for p in points:
        print(
            f"   {p.target:.2f}    {p.trimmed:5.1%} | {p.tokens:16.0f}  {p.kept:.3f} {p.fixed:.3f} |"
            f" {p.tokens_all:28.0f}  {p.kept_all:.3f} {p.fixed_all:.3f}"
        )


def _print_needed(windows: Windows, weights: Doubles) -> None:
    for share in (0.9, 0.95):
        tokens = needed(windows, weights, share)
        print(f"  fixed window that keeps {share:.0%}: " + (f"{tokens:.0f} tokens" if tokens else "over the largest"))


def _readable(model: Calibration) -> str:
    data = {
        "command": COMMAND,
        "features": list(FEATURES),
        "bias": round(model.bias, 5),
        "weights": [round(float(weight), 5) for weight in model.weights],
    }
    return json.dumps(data, indent=1) + "\n"


if __name__ == "__main__":
    main()
