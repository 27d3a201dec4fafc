"""Trains retrieval/fusion.json on the development cases: python -m benchmarks.retrieval_train [--check].

Every chunk of every case is one example, positive where it holds evidence; sources and cases weigh the same. With
--check nothing is written: the recall is printed on the cases trained on, cross-validated by document, and with each
source left out. The first two must stay close: what lies between them is learned by heart.
"""

import argparse
import json
from collections import Counter as Tally
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import HistGradientBoostingClassifier  # type: ignore[import-untyped]

import retrieval.fusion
from benchmarks.retrieval_data import Case, kept_share, load_cases, source_names
from retrieval import Chunk, Deadline, Floats, Ranking, counter_for, select
from retrieval.fusion import FEATURES, feature_matrix, parse_forest, probabilities
from retrieval.prepared import Prepared
from retrieval.retriever import SMOOTHING
from retrieval.signals import cheap_signals, neighbours

COMMAND = "python -m benchmarks.retrieval_train"
TARGET = Path(retrieval.fusion.__file__).with_name("fusion.json")
# Few positive examples (2,000) are easily learned by heart: shallow trees, large leaves, coarse thresholds, strong l2.
DEPTH = 4
TREES = 45
SEEDS = (0, 1, 2, 3)  # forests that are averaged: what one learns by chance the others do not
BINS = 64  # values a feature is told apart by
NEGATIVES = 3.0  # weight of all negative examples against all positive ones
SAMPLE = 0.5  # of the negative examples are looked at
WINDOWS = (500, 1000, 2000)
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Example:
    """A case with the features of its chunks, float32[n, k], and their share of the evidence, float32[n]."""

    case: Case
    chunks: tuple[Chunk, ...]
    features: Floats
    labels: Floats


def read_examples(limit: int, seed: int = 1) -> Iterator[Example]:
    counter, prepared = counter_for(None), Prepared(64 << 20)
    for case in (case for source in source_names() for case in load_cases(source, limit, seed)):
        passages = prepared.read(case.documents, counter, Deadline.after(600))
        signals = cheap_signals(passages, case.query, Deadline.after(600))
        yield Example(case, passages.chunks, feature_matrix(signals), label(case, passages.chunks))


def label(case: Case, chunks: Sequence[Chunk]) -> Floats:
    """Return for each chunk 1 where evidence stands in it, 1/m where it stands in m places."""
    labels = np.zeros(len(chunks), dtype=np.float32)
    for evidence, protected in zip(case.evidence, case.protected, strict=True):
        spots = [] if protected else list(_spots(case, evidence))
        for document, start, end in spots:
            for i, chunk in enumerate(chunks):
                if chunk.document == document and chunk.start < end and chunk.end > start:
                    labels[i] = max(labels[i], 1.0 / len(spots))
    return labels


def _spots(case: Case, evidence: str) -> Iterator[tuple[int, int, int]]:
    for number, document in enumerate(case.documents):
        at = document.text.find(evidence)
        while at >= 0:
            yield number, at, at + len(evidence)
            at = document.text.find(evidence, at + len(evidence))


def train(examples: Sequence[Example]) -> dict[str, Any]:
    """Return the trees in their stored form: forests from several seeds as one, which scores as their mean."""
    forests = [_forest(examples, seed) for seed in SEEDS]
    for tree in (tree for _, trees in forests for tree in trees):
        tree["value"] = [round(value / len(SEEDS), 5) for value in tree["value"]]
    base = sum(base for base, _ in forests) / len(SEEDS)
    trees = [tree for _, trees in forests for tree in trees]
    return {"command": COMMAND, "features": list(FEATURES), "base": round(base, 6), "trees": trees}


def _forest(examples: Sequence[Example], seed: int) -> tuple[float, list[dict[str, list[Any]]]]:
    """Return one forest: its log-odds before any tree, and its trees."""
    dice = np.random.default_rng(seed)
    sizes = Tally(e.case.source for e in examples)
    parts = [_weighted(e, 1.0 / sizes[e.case.source], dice) for e in examples]
    rows, positive, weight = (np.concatenate(column) for column in zip(*parts, strict=True))
    weight[positive] /= weight[positive].sum()
    weight[~positive] *= NEGATIVES / weight[~positive].sum()
    edges = [_edges(column, weight) for column in rows.T]
    binned = [np.searchsorted(edge, column) for edge, column in zip(edges, rows.T, strict=True)]
    model = HistGradientBoostingClassifier(
        max_iter=TREES, learning_rate=0.08, max_leaf_nodes=14, max_depth=DEPTH, min_samples_leaf=1000,
        l2_regularization=200.0, max_features=0.15, early_stopping=False, random_state=seed,
    )  # fmt: skip
    model.fit(np.stack(binned, axis=1), positive, sample_weight=weight * len(weight) / weight.sum())
    trees = [_stored(tree.nodes, edges) for (tree,) in model._predictors]
    return float(model._baseline_prediction[0, 0]), trees


def _weighted(example: Example, weight: float, dice: np.random.Generator) -> tuple[Floats, Bools, Floats]:
    labels = example.labels
    share = np.where(labels > 0, labels / max(1e-9, labels.sum()), 1.0 / max(1, (labels == 0).sum()))
    taken = (labels > 0) | (dice.random(len(labels)) < SAMPLE)
    return example.features[taken], labels[taken] > 0, (weight * share[taken]).astype(np.float32)


def _edges(column: Floats, weight: Floats) -> Floats:
    """Return the values that part a feature into at most BINS of about equal weight (scikit-learn takes minutes)."""
    order = np.argsort(column)
    summed = np.cumsum(weight[order], dtype=np.float64)
    at = np.searchsorted(summed, summed[-1] * np.arange(1, BINS) / BINS)
    return np.unique(column[order][np.minimum(at, len(column) - 1)])


def _stored(nodes: npt.NDArray[Any], edges: Sequence[Floats]) -> dict[str, list[Any]]:
    """Return one of scikit-learn's trees as a complete one: what stands under a leaf repeats it.

    Its thresholds lie between the numbers of bins; a value is in a bin above i where it is above the i-th edge.
    """
    inner = (1 << DEPTH) - 1
    feature, threshold, place = [0] * inner, [None] * inner, [0] * (2 * inner + 1)
    for i in range(2 * inner + 1):
        if i:
            above = nodes[place[(i - 1) // 2]]
            place[i] = int(above["left"] if i % 2 else above["right"]) if not above["is_leaf"] else place[(i - 1) // 2]
        node = nodes[place[i]]
        if i < inner and not node["is_leaf"]:
            feature[i] = int(node["feature_idx"])
            edge = edges[feature[i]][int(node["num_threshold"])]
            threshold[i] = float(f"{edge:.9g}")  # type: ignore[call-overload]  # 9 digits: the same float32
    leaves = [float(nodes[place[i]]["value"]) for i in range(inner, 2 * inner + 1)]
    return {"feature": feature, "threshold": threshold, "value": leaves}


def smoothed(odds: Floats) -> Floats:
    """Return the scores that the retriever would rank by."""
    probable = probabilities(odds)
    return probable + SMOOTHING * neighbours(probable)


def recall(example: Example, scores: Floats) -> Floats:
    """Return the share of the example's evidence that is kept at each of WINDOWS."""
    ranking = Ranking(example.chunks, scores)
    masks = [select(ranking, example.case.budget(window)) for window in WINDOWS]
    return np.array([kept_share(example.case, example.chunks, mask) for mask in masks], dtype=np.float32)


def held_out_odds(examples: Sequence[Example], parts: Sequence[int]) -> list[Floats]:
    """Return the log-odds of each example's chunks from trees that never saw its part."""
    forests = {
        part: parse_forest(train([e for e, p in zip(examples, parts, strict=True) if p != part])) for part in set(parts)
    }
    return [forests[part].score(example.features) for example, part in zip(examples, parts, strict=True)]


def by_source(examples: Sequence[Example], recalls: Sequence[Floats]) -> dict[str, Floats]:
    """Return each source's mean recall at WINDOWS."""
    rows: dict[str, list[Floats]] = {}
    for example, found in zip(examples, recalls, strict=True):
        rows.setdefault(example.case.source, []).append(found)
    return {source: np.asarray(np.mean(found, axis=0), dtype=np.float32) for source, found in sorted(rows.items())}


def by_document(examples: Sequence[Example], folds: int) -> list[int]:
    groups = sorted({e.case.group for e in examples})
    np.random.default_rng(0).shuffle(groups)
    fold = {group: i % folds for i, group in enumerate(groups)}
    return [fold[e.case.group] for e in examples]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--limit", type=int, default=0, help="cases a source (0: all)")
    options.add_argument("--check", action="store_true")
    chosen = options.parse_args()
    examples = list(read_examples(chosen.limit))
    if not chosen.check:
        TARGET.write_text(_readable(train(examples)), encoding="utf-8")
        print(f"{TARGET}: trained on {len(examples)} cases")
        return
    check(examples)


def check(examples: Sequence[Example]) -> None:
    """Print the recall on the cases trained on, by document and by source held out, and what lies between them."""
    seen = parse_forest(train(examples))
    learned = _print_recall("on the cases trained on", examples, [seen.score(e.features) for e in examples])
    crossed = _print_recall("cross-validated by document", examples, held_out_odds(examples, by_document(examples, 4)))
    print("learned by heart", *(f"{learned[i] - crossed[i]:.3f} at {window}" for i, window in enumerate(WINDOWS)))
    names = source_names()
    odds = held_out_odds(examples, [names.index(e.case.source) for e in examples])
    _print_recall("source left out", examples, odds)


def _print_recall(title: str, examples: Sequence[Example], odds: Sequence[Floats]) -> Floats:
    means = by_source(examples, [recall(e, smoothed(o)) for e, o in zip(examples, odds, strict=True)])
    overall = np.mean(list(means.values()), axis=0)
    print(title, *(f"{overall[i]:.3f} at {window}" for i, window in enumerate(WINDOWS)))
    print("  " + "  ".join(f"{source} {mean[-1]:.2f}" for source, mean in means.items()), flush=True)
    return np.asarray(overall, dtype=np.float32)


def _readable(data: dict[str, Any]) -> str:
    """Return the stored form as JSON with a line for each tree."""
    head = json.dumps({key: value for key, value in data.items() if key != "trees"}, indent=1)[:-2]
    return head + ',\n "trees": [\n' + ",\n".join(json.dumps(tree) for tree in data["trees"]) + "\n]}\n"


if __name__ == "__main__":
    main()
