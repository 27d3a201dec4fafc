"""Train the intent model: `python -m benchmarks.intent_train` writes gateway/windowing/intent.json.

Examples: the labelled requests and the questions of the evaluation cases (read from ../shared/eval), and requests
written for this project (intent_phrases.tsv: other languages, code, logs, mail, long prompts). The model is a
logistic regression (scikit-learn, needed here only) over the features of `gateway.windowing.intent`; words count
where they occur in at least three requests of two sources.
"""

import json
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction import DictVectorizer  # type: ignore[import-untyped]
from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]

from gateway.windowing.intent import IntentModel, features

EVAL = Path(__file__).resolve().parents[2] / "shared" / "eval"
MODEL = Path(__file__).resolve().parents[1] / "gateway" / "windowing" / "intent.json"
PHRASES = Path(__file__).with_name("intent_phrases.tsv")
THRESHOLD = 0.43  # chosen by cross-validation: see bench_intent
_STRENGTH = 0.3  # inverse of the L2 penalty, chosen with the threshold
_MIN_WEIGHT = 0.03
# Sources of one family are left out together, so that a held-out source has no near copy in training.
_FAMILY = {"xquad": "squad", "jsquad": "squad", "cmrc2018": "squad"}


@dataclass(frozen=True, slots=True)
class Example:
    """One request with its label (whole, lookup, none), its source, and the collection it came from."""

    text: str
    label: str
    source: str
    kind: str
    ambiguous: bool = False

    @property
    def family(self) -> str:
        """The group that is left out together in cross-validation."""
        return _FAMILY.get(self.source, self.source)

    @property
    def weight(self) -> float:
        """The weight in training: a missed whole-document request costs more than a missed look-up."""
        weight = 0.15 if self.kind == "dev" else 1.0
        weight *= 0.3 if self.ambiguous or self.label == "none" else 1.0
        return weight * (1.5 if self.label == "whole" else 1.0)


def examples() -> list[Example]:
    """Read all examples: requests, questions of the evaluation cases (each once), own phrases."""
    return [*_requests(), *_questions(), *_own()]


def _lines(path: Path) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        yield from map(json.loads, file)


def _requests() -> Iterator[Example]:
    for row in _lines(EVAL / "requests" / "dev.jsonl"):
        yield Example(row["request"], row["label"], row["source"], "requests", bool(row["ambiguous"]))


def _questions() -> Iterator[Example]:
    for path in sorted((EVAL / "dev").glob("*.jsonl")):
        if not path.name.endswith(".docs.jsonl"):
            for question in dict.fromkeys(row["question"] for row in _lines(path)):
                yield Example(question, "lookup", path.stem, "dev")


def _own() -> Iterator[Example]:
    for line in PHRASES.read_text("utf-8").splitlines():
        label, text = line.split("\t")
        yield Example(text.replace("\\n", "\n"), label, "own", "own")


def fit(data: Sequence[Example], found: Sequence[Mapping[str, float]], threshold: float = THRESHOLD) -> IntentModel:
    """Fit the model to examples with their features."""
    names = _vocabulary(data, found)
    vectorizer = DictVectorizer()
    matrix = vectorizer.fit_transform([{k: v for k, v in f.items() if k in names} for f in found])
    regression = LogisticRegression(C=_STRENGTH, max_iter=2000)
    regression.fit(matrix, [e.label == "whole" for e in data], sample_weight=[e.weight for e in data])
    weights = dict(zip(vectorizer.get_feature_names_out(), regression.coef_[0].tolist(), strict=True))
    kept = {str(name): round(w, 3) for name, w in sorted(weights.items()) if abs(w) >= _MIN_WEIGHT}
    return IntentModel(round(float(regression.intercept_[0]), 3), threshold, kept)


def _vocabulary(data: Sequence[Example], found: Sequence[Mapping[str, float]]) -> set[str]:
    counts: Counter[str] = Counter()
    families: defaultdict[str, set[str]] = defaultdict(set)
    for example, names in zip(data, found, strict=True):
        for name in names:
            counts[name] += 1
            families[name].add(example.family)
    return {n for n, c in counts.items() if n[:2] not in ("w:", "c:") or (c >= 3 and len(families[n]) > 1)}


def cross_validate(
    data: Sequence[Example], found: Sequence[Mapping[str, float]], fold: Callable[[Example], str]
) -> NDArray[np.float64]:
    """Give each example's probability from a model that was trained without its fold."""
    folds = [fold(e) for e in data]
    result = np.zeros(len(data))
    for name in sorted(set(folds)):
        train = [i for i, f in enumerate(folds) if f != name]
        model = fit([data[i] for i in train], [found[i] for i in train])
        for i, f in enumerate(folds):
            if f == name:
                result[i] = model.probability(found[i])
    return result


def by_source(example: Example) -> str:
    """Fold by source."""
    return example.family


def by_question(example: Example) -> str:
    """Fold the evaluation cases' questions in five (the sealed split has the same sources), the rest by source."""
    return f"{zlib.crc32(example.text.encode()) % 5}" if example.kind == "dev" else example.family


def main() -> None:
    data = examples()
    model = fit(data, [features(e.text) for e in data])
    command = "python -m benchmarks.intent_train"
    stored = {"command": command, "bias": model.bias, "threshold": model.threshold, "weights": model.weights}
    MODEL.write_text(json.dumps(stored, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")
    print(f"{len(data)} examples, {len(model.weights)} weights -> {MODEL}")


if __name__ == "__main__":
    main()
