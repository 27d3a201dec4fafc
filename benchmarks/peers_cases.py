"""The evaluation cases as whole requests, and what score.py says about what became of them."""

import importlib.util
import random
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

from benchmarks.retrieval_data import DATA

MODEL = "gpt-4o-mini"
LONG = "128k"
_LEAST_TOKENS = 6000
Messages = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one method made of one request: its messages (None: an error, which `note` names), the milliseconds.

    `tools` are the characters of tools that the method adds, which are in no message.
    """

    messages: Messages | None
    ms: float
    note: str = ""
    tools: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """score.py's judgement of one forwarded request; recall is None where the case has no evidence."""

    recall: float | None
    trimmed: bool
    kept: float
    broken: str


@dataclass(frozen=True, slots=True)
class Summary:
    """A method's row: counts of requests, shares of the evidence, tokens and milliseconds (None: nothing to count)."""

    requests: int
    trimmed: int
    recall_trimmed: float | None
    recall_all: float | None
    tokens_trimmed: float | None
    tokens_all: float | None
    broken: int
    errors: int
    ms: float | None
    ms_long: float | None
    notes: tuple[tuple[str, int], ...]


@cache
def scorer() -> ModuleType:
    """Return ../shared/eval/score.py as a module."""
    spec = importlib.util.spec_from_file_location("score_of_eval", DATA / "score.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def draw(sources: Iterable[str], limit: int, long: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return at most `limit` cases of each source (0: all), as score.py draws them, and more of 128K for the clock.

    The second list makes the 128K cases up to `long`, where the sources have so many.
    """
    cases: list[dict[str, Any]] = []
    rest: list[dict[str, Any]] = []
    for source in sources:
        found = [c for c in scorer().load(str(DATA / "dev" / f"{source}.jsonl")) if c["tokens"] >= _LEAST_TOKENS]
        random.Random(1).shuffle(found)  # noqa: S311 - score.py's order, no secret
        cases += found[: limit or None]
        rest += [c for c in found[limit or len(found) :] if c["bucket"] == LONG]
    missing = max(0, long - sum(c["bucket"] == LONG for c in cases))
    random.Random(1).shuffle(rest)  # noqa: S311 - any order, the same each time
    return cases, rest[:missing]


def judge(case: dict[str, Any], messages: Messages) -> Verdict:
    """Judge what is forwarded as score.py does."""
    if messages == case["messages"]:
        # What evalload.py checks of every case; only to save the time.
        return Verdict(1.0 if case.get("evidence") else None, trimmed=False, kept=case["tokens"], broken="")
    request = {"model": MODEL, "messages": case["messages"]}
    found = scorer().judge(case, request, {**request, "messages": messages})
    return Verdict(found["recall"], found["trimmed"], found["kept"], found["broken"])


def summarise(cases: Sequence[dict[str, Any]], outcomes: Sequence[Outcome], more: Sequence[Outcome] = ()) -> Summary:
    """Return the row of the outcomes of the cases; `more` are outcomes of 128K cases that count for the time alone.

    A request on which the method raised an error counts as forwarded whole: its caller still has it.
    """
    pairs = list(zip(cases, outcomes, strict=True))
    whole = [judge(case, case["messages"] if o.messages is None else o.messages) for case, o in pairs]
    trimmed = [v for v in whole if v.trimmed]
    long = [o for case, o in pairs if case["bucket"] == LONG]
    return Summary(
        requests=len(whole),
        trimmed=len(trimmed),
        recall_trimmed=_over(statistics.mean, (v.recall for v in trimmed)),
        recall_all=_over(statistics.mean, (v.recall for v in whole)),
        tokens_trimmed=_over(statistics.mean, (v.kept for v in trimmed)),
        tokens_all=_over(statistics.mean, (v.kept for v in whole)),
        broken=sum(bool(v.broken) for v in whole),
        errors=sum(o.messages is None for o in outcomes),
        ms=_over(statistics.median, (o.ms for o in outcomes)),
        ms_long=_over(statistics.median, (o.ms for o in [*long, *more])),
        notes=tuple(Counter(_notes(whole, outcomes)).most_common()),
    )


def _notes(verdicts: Sequence[Verdict], outcomes: Sequence[Outcome]) -> Iterator[str]:
    yield from (f"broken: {v.broken}" for v in verdicts if v.broken)
    yield from (o.note for o in outcomes if o.note)
    tools = [o.tools for o in outcomes if o.tools]
    if tools:
        yield f"its tool adds {statistics.mean(tools):,.0f} characters in {len(tools)} requests"


def _over(average: Callable[[list[float]], float], values: Iterable[float | None]) -> float | None:
    found = [v for v in values if v is not None]
    return average(found) if found else None
