"""Rates of the intent model next to a keyword regex: `python -m benchmarks.bench_intent`.

Every rate of the model is cross-validated: the request's source (with its near relatives) was not in training. The
project's own phrases are always in training; they were written with the errors of earlier models in view, so the
figures flatter the model somewhat.
"""

import re
import runpy
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.intent_train import EVAL, THRESHOLD, Example, by_question, by_source, cross_validate, examples
from gateway.windowing.intent import features, needs_whole_context, whole_context_probability
from gateway.windowing.question import split_question

_KEYWORDS = re.compile(
    r"\b(?:summari[sz]e\w*|summary|tl;?dr|translate|rewrite|rephrase|paraphrase|proofread|count|compare|outline|overview|extract"
    r"|list all|title|headline|convert)\b|总结|摘要|概括|翻译|提取|要約|翻訳",
    re.IGNORECASE,
)
Judge = Callable[[int], bool]


def _share(data: Sequence[Example], wanted: Callable[[Example], bool], judge: Judge) -> str:
    votes = [judge(i) for i, example in enumerate(data) if wanted(example)]
    return f"{100 * sum(votes) / max(1, len(votes)):5.1f}% of {len(votes)}"


def _rows(data: Sequence[Example], judge: Judge) -> Iterator[tuple[str, str]]:
    def labelled(label: str, ambiguous: bool = False) -> Callable[[Example], bool]:
        return lambda e: e.kind == "requests" and e.label == label and e.ambiguous == ambiguous

    yield "whole, taken for a look-up (bar 5%)", _share(data, labelled("whole"), lambda i: not judge(i))
    yield "look-up, taken for whole (bar 10%)", _share(data, labelled("lookup"), judge)
    yield "evaluation case, taken for whole (bar 3%)", _share(data, lambda e: e.kind == "dev", judge)
    yield (
        "ambiguous, labelled whole, taken for a look-up",
        _share(data, labelled("whole", True), lambda i: not judge(i)),
    )
    yield "needs no document at all, taken for whole", _share(data, labelled("none"), judge)


def _table(data: Sequence[Example]) -> None:
    found = [features(e.text) for e in data]
    columns: dict[str, Judge] = {"keyword regex": lambda i: _KEYWORDS.search(data[i].text) is not None}
    for name, fold in (("by source", by_source), ("by question", by_question)):
        columns[name] = _at_threshold(cross_validate(data, found, fold))
    print(f"{'':50}" + "".join(f"{name:>18}" for name in columns))
    for rows in zip(*(_rows(data, judge) for judge in columns.values()), strict=True):
        print(f"{rows[0][0]:50}" + "".join(f"{value:>18}" for _, value in rows))


def _at_threshold(probabilities: NDArray[np.float64]) -> Judge:
    return lambda i: bool(probabilities[i] >= THRESHOLD)


def _real_messages() -> None:
    """Send the real messages of all cases and of dev_long through the split and the shipped model."""
    load = runpy.run_path(str(EVAL / "evalload.py"))["load"]
    cases = [c for path in sorted((EVAL / "dev").glob("*.jsonl")) if "docs" not in path.name for c in load(str(path))]
    whole = sum(_decide(case["messages"]) for case in cases)
    print(f"real messages, shipped model: {whole} of {len(cases)} evaluation cases taken for whole")
    long = list(load(str(EVAL / "requests" / "dev_long.jsonl")))
    for label in ("whole", "lookup"):
        votes = [_decide(case["messages"]) == (label == "whole") for case in long if case["label"] == label]
        print(f"real messages, shipped model: {sum(votes)} of {len(votes)} long {label} prompts right")


def _decide(messages: Sequence[dict[str, Any]]) -> bool:
    *others, last = messages
    texts = [m.get("content") or "" for m in others]
    query = split_question(last["content"], sum(map(len, texts))).query
    instructions = "\n".join(m["content"] for m in others if m["role"] == "system" and len(m["content"]) < 7000)
    return needs_whole_context(query, 0, instructions)


def _speed(data: Sequence[Example]) -> None:
    whole_context_probability("warm")
    started = time.perf_counter()
    for example in data:
        whole_context_probability(example.text)
    print(f"{1000 * (time.perf_counter() - started) / len(data):.2f} ms a request (one core)")


def main() -> None:
    data = examples()
    _table(data)
    _real_messages()
    _speed(data)


if __name__ == "__main__":
    main()
