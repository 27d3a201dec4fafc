"""Real requests, judged by the project's black-box score: read from ../shared, skipped where that is absent."""

import importlib.util
import json
import random
import sys
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from gateway.windowing.types import WindowPolicy
from gateway.windowing.window import window
from retrieval.retriever import Retriever
from retrieval.types import Deadline
from tests.gateway.windowing.windows import MADE

EVAL = Path(__file__).parents[4] / "shared" / "eval"
CASES = 5
POLICY = WindowPolicy(trigger_tokens=4000, window_tokens=2000, deadline_ms=60_000)
RETRIEVER = Retriever(None)

pytestmark = pytest.mark.skipif(
    not EVAL.is_dir(), reason="the evaluation cases (../shared/eval) are not on this machine"
)


def score() -> ModuleType:
    """Import score.py from where it lies."""
    if "score" not in sys.modules:
        spec = importlib.util.spec_from_file_location("score", EVAL / "score.py")
        assert spec
        assert spec.loader
        sys.modules["score"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["score"])
    return sys.modules["score"]


def cases(path: Path, count: int) -> list[dict[str, Any]]:
    found = [case for case in score().load(str(path)) if case["tokens"] >= 6000]
    random.Random(1).shuffle(found)
    return list(islice(found, count))


def judged(case: dict[str, Any], ascii_only: bool) -> dict[str, Any] | None:
    """Return what score.py says of the forwarded body; None where the request is left as it is."""
    request = {"model": "gpt-4o-mini", "messages": case["messages"], "temperature": 0.1}
    body = json.dumps(request, ensure_ascii=ascii_only).encode()
    outcome = window(body, POLICY, RETRIEVER, Deadline.after(60))
    assert outcome.reason in MADE, outcome.detail
    if outcome.body is None:
        return None
    verdict = score().judge(case, request, json.loads(outcome.body))
    assert isinstance(verdict, dict)
    return verdict


SOURCES = sorted(p for p in EVAL.glob("dev/*.jsonl") if not p.name.endswith(".docs.jsonl"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.stem)
def test_no_request_is_broken(path: Path) -> None:
    verdicts = [judged(case, bool(n % 2)) for n, case in enumerate(cases(path, CASES))]
    trimmed = [v for v in verdicts if v]
    assert len(trimmed) >= CASES // 2
    assert [v["broken"] for v in trimmed if v["broken"]] == []
    assert min(v["verbatim"] for v in trimmed) >= 0.97
    assert max(v["kept"] for v in trimmed) < 8000


def test_no_request_over_a_long_document_is_broken() -> None:
    for case in cases(EVAL / "requests" / "dev_long.jsonl", 100):
        if case["layout"] == "instruction_system":
            continue  # score.py looks for the question in the user's message, and here the system's has it
        if verdict := judged(case, ascii_only=False):
            assert (verdict["broken"], verdict["verbatim"] >= 0.97) == ("", True), case["id"]
