"""Trains retrieval/fusion.json on the development cases: python -m benchmarks.retrieval_train [--check] [--no-dense].

Every chunk of every case is one example, positive where it holds evidence; sources and cases weigh the same. With
--check nothing is written: the recall is printed cross-validated by document, and with each source left out.
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
from retrieval import Chunk, Deadline, DenseLimits, Embedder, Floats, Ranking, counter_for, select
from retrieval.chunking import chunk_documents
from retrieval.embedding import load_embedder
from retrieval.fusion import FEATURES, Forest, feature_matrix, parse_forest, probabilities
from retrieval.retriever import SMOOTHING
from retrieval.signals import cheap_signals, neighbours, read_passages

COMMAND = "python -m benchmarks.retrieval_train"
TARGET = Path(retrieval.fusion.__file__).with_name("fusion.json")
DEPTH = 5
TREES = 100
NEGATIVES = 3.0  # weight of all negative examples against all positive ones
SAMPLE = 0.2  # of the negative examples are looked at
BLIND = 0.3  # of the cases are trained on without their dense scores, as when there was no time
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
    counter = counter_for(None)
    for case in (case for source in source_names() for case in load_cases(source, limit, seed)):
        chunks = chunk_documents(case.documents, counter)
        signals = cheap_signals(read_passages(case.documents, chunks), case.query, Deadline.after(600))
        yield Example(case, chunks, feature_matrix(signals), label(case, chunks))


def embed_shortlists(examples: Sequence[Example], forest: Forest, embedder: Embedder) -> None:
    """Fill in the dense scores of the chunks that the retriever would embed."""
    for example in examples:
        best = np.argsort(-forest.score(example.features), kind="stable")[: DenseLimits().chunks]
        texts = [example.case.documents[c.document].text[c.start : c.end] for c in (example.chunks[i] for i in best)]
        vectors = embedder.embed([example.case.query.text, *texts], Deadline.after(3600))
        example.features[best, FEATURES.index("dense")] = vectors[1:] @ vectors[0]


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


def train(examples: Sequence[Example], seed: int = 0) -> dict[str, Any]:
    """Return the trees in their stored form."""
    dice = np.random.default_rng(seed)
    sizes = Tally(e.case.source for e in examples)
    parts = [_weighted(e, 1.0 / sizes[e.case.source], dice) for e in examples]
    rows, positive, weight = (np.concatenate(column) for column in zip(*parts, strict=True))
    weight[positive] /= weight[positive].sum()
    weight[~positive] *= NEGATIVES / weight[~positive].sum()
    model = HistGradientBoostingClassifier(
        max_iter=TREES, learning_rate=0.08, max_leaf_nodes=14, max_depth=DEPTH, min_samples_leaf=50,
        l2_regularization=5.0, max_features=0.4, early_stopping=False, random_state=seed,
    )  # fmt: skip
    if np.isnan(rows[:, FEATURES.index("dense")]).all():
        rows[0, FEATURES.index("dense")] = 0.0  # scikit-learn cannot bin a column of which nothing is known
    model.fit(rows, positive, sample_weight=weight * len(weight) / weight.sum())
    trees = [_stored(tree.nodes) for (tree,) in model._predictors]
    base = float(model._baseline_prediction[0, 0])
    return {"command": COMMAND, "features": list(FEATURES), "base": round(base, 6), "trees": trees}


def _weighted(example: Example, weight: float, dice: np.random.Generator) -> tuple[Floats, Bools, Floats]:
    labels, rows = example.labels, example.features.copy()
    if dice.random() < BLIND:
        rows[:, FEATURES.index("dense")] = np.nan
    share = np.where(labels > 0, labels / max(1e-9, labels.sum()), 1.0 / max(1, (labels == 0).sum()))
    taken = (labels > 0) | (dice.random(len(labels)) < SAMPLE)
    return rows[taken], labels[taken] > 0, (weight * share[taken]).astype(np.float32)


def _stored(nodes: npt.NDArray[Any]) -> dict[str, list[Any]]:
    """Return one of scikit-learn's trees as a complete one: what stands under a leaf repeats it."""
    inner = (1 << DEPTH) - 1
    feature, threshold, place = [0] * inner, [None] * inner, [0] * (2 * inner + 1)
    for i in range(2 * inner + 1):
        if i:
            above = nodes[place[(i - 1) // 2]]
            place[i] = int(above["left"] if i % 2 else above["right"]) if not above["is_leaf"] else place[(i - 1) // 2]
        node = nodes[place[i]]
        if i < inner and not node["is_leaf"]:
            feature[i] = _column(int(node["feature_idx"]), bool(node["missing_go_to_left"]))
            threshold[i] = float(f"{node['num_threshold']:.6g}")  # type: ignore[call-overload]
    leaves = [round(float(nodes[place[i]]["value"]), 5) for i in range(inner, 2 * inner + 1)]
    return {"feature": feature, "threshold": threshold, "value": leaves}


def _column(feature: int, missing_left: bool) -> int:
    return len(FEATURES) if FEATURES[feature] == "dense" and not missing_left else feature


def recalls(examples: Sequence[Example], forest: Forest) -> dict[str, Floats]:
    """Return each source's mean recall at WINDOWS."""
    found: dict[str, list[list[float]]] = {}
    for example in examples:
        scores = probabilities(forest.score(example.features))
        ranking = Ranking(example.chunks, scores + SMOOTHING * neighbours(scores))
        shares = [
            kept_share(example.case, example.chunks, select(ranking, example.case.budget(window))) for window in WINDOWS
        ]
        found.setdefault(example.case.source, []).append(shares)
    return {source: np.mean(shares, axis=0) for source, shares in found.items()}


def check(examples: Sequence[Example], parts: Sequence[int]) -> Floats:
    """Return the mean recall over sources at WINDOWS, each part scored by trees that never saw it."""
    rows: dict[str, list[Floats]] = {}
    for part in sorted(set(parts)):
        forest = parse_forest(train([e for e, p in zip(examples, parts, strict=True) if p != part]))
        held = [e for e, p in zip(examples, parts, strict=True) if p == part]
        counts = Tally(e.case.source for e in held)
        for source, recall in recalls(held, forest).items():
            rows.setdefault(source, []).extend([recall] * counts[source])
    means = {source: np.mean(values, axis=0) for source, values in rows.items()}
    print("  " + "  ".join(f"{source} {mean[-1]:.2f}" for source, mean in means.items()))
    return np.asarray(np.mean(list(means.values()), axis=0), dtype=np.float32)


def by_document(examples: Sequence[Example], folds: int) -> list[int]:
    groups = sorted({e.case.group for e in examples})
    np.random.default_rng(0).shuffle(groups)
    fold = {group: i % folds for i, group in enumerate(groups)}
    return [fold[e.case.group] for e in examples]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--limit", type=int, default=0, help="cases a source (0: all)")
    options.add_argument("--check", action="store_true")
    options.add_argument("--no-dense", action="store_true")
    chosen = options.parse_args()
    examples = list(read_examples(chosen.limit))
    if not chosen.no_dense:
        embed_shortlists(examples, parse_forest(train(examples)), load_embedder())
    if not chosen.check:
        TARGET.write_text(_readable(train(examples)), encoding="utf-8")
        print(f"{TARGET}: trained on {len(examples)} cases")
        return
    names = source_names()
    for title, parts in (
        ("cross-validated by document", by_document(examples, 4)),
        ("source left out", [names.index(e.case.source) for e in examples]),
    ):
        print(title, dict(zip(WINDOWS, np.round(check(examples, parts), 3).tolist(), strict=True)), flush=True)


def _readable(data: dict[str, Any]) -> str:
    """Return the stored form as JSON with a line for each tree."""
    head = json.dumps({key: value for key, value in data.items() if key != "trees"}, indent=1)[:-2]
    return head + ',\n "trees": [\n' + ",\n".join(json.dumps(tree) for tree in data["trees"]) + "\n]}\n"


if __name__ == "__main__":
    main()
