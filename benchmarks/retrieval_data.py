"""Evaluation cases as the retrieval package sees them, and what counts as kept evidence."""

import importlib.util
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain, islice
from pathlib import Path
from types import ModuleType
from typing import Any

from gateway.windowing.conversation import read
from gateway.windowing.counting import tally
from gateway.windowing.protect import Plan, plan
from retrieval import Chunk, Deadline, Document, Mask, Query, counter_for

_WINDOW = 2000  # by which the gateway plans how many recent turns an agent keeps
DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "eval"


@dataclass(frozen=True, slots=True)
class Case:
    """One request: its trimmable texts, its question, and the strings that an answer needs."""

    source: str
    id: str
    group: str
    tokens: int
    documents: tuple[Document, ...]
    query: Query
    evidence: tuple[str, ...]
    protected: tuple[bool, ...]  # evidence that the gateway forwards whatever is ranked
    share: float  # of the window that is left for what is ranked

    def budget(self, window: int) -> int:
        """The tokens of a window that ranked chunks may fill."""
        return int(self.share * window)


@cache
def _loader() -> ModuleType:
    spec = importlib.util.spec_from_file_location("evalload", DATA / "evalload.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def source_names() -> list[str]:
    return sorted(p.stem for p in (DATA / "dev").glob("*.jsonl") if not p.name.endswith(".docs.jsonl"))


def load_cases(source: str, limit: int = 0, seed: int = 1, least_tokens: int = 6000) -> list[Case]:
    """Return the source's cases that have evidence and are long enough, in a seeded order, at most limit (0: all)."""
    raw = [c for c in _loader().load(str(DATA / "dev" / f"{source}.jsonl")) if c["tokens"] >= least_tokens]
    random.Random(seed).shuffle(raw)  # noqa: S311 - a repeatable order, no secret
    cases = (_case(c) for c in raw)
    return list(islice((case for case in cases if case and case.evidence), limit or None))


def _case(raw: dict[str, Any]) -> Case | None:
    """Plan the request as the gateway does; None where it would not trim it."""
    conversation = read(json.dumps({"messages": raw["messages"]}).encode())
    planned = (
        plan(conversation, tally(conversation, counter_for(None), Deadline.after(60)), window_tokens=_WINDOW)
        if conversation
        else None
    )
    if planned is None or not planned.documents:
        return None
    kept = list(_protected(planned))
    wanted = [
        e for e in raw.get("evidence_sentence") or raw.get("evidence") or [] if not _only_in_a_call(e, planned, kept)
    ]
    return Case(
        source=raw["source"],
        id=raw["id"],
        group=f"{raw['source']}:{raw.get('doc_id') or raw.get('qid') or raw['id']}",
        tokens=raw["tokens"],
        documents=planned.documents,
        query=planned.query,
        evidence=tuple(wanted),
        protected=tuple(any(e in text for text in kept) for e in wanted),
        share=max(0.0, planned.window_tokens / _WINDOW),
    )


def _protected(planned: Plan) -> Iterator[str]:
    """Yield what the gateway forwards whatever is ranked."""
    for message in planned.conversation.messages:
        if message.index not in planned.pinned:
            continue
        for text in message.texts:
            at = 0
            for region in (r for r in planned.regions if r.text.key == text.key):
                yield text.value[at : region.start]
                at = region.end
            yield text.value[at:]


def _only_in_a_call(evidence: str, planned: Plan, kept: list[str]) -> bool:
    """Tell whether evidence stands in a tool call's arguments alone: it stays with its result, no chunk holds it."""
    return not any(evidence in text for text in chain(kept, (d.text for d in planned.documents)))


def kept_share(case: Case, chunks: Sequence[Chunk], keep: Mask) -> float:
    """Return the share of evidence strings that stand whole in a run of adjacent kept chunks of one document."""
    runs = list(kept_runs(case, chunks, keep))
    found = [there or any(e in run for run in runs) for e, there in zip(case.evidence, case.protected, strict=True)]
    return sum(found) / len(found)


def kept_runs(case: Case, chunks: Sequence[Chunk], keep: Mask) -> Iterator[str]:
    run: tuple[int, int, int] | None = None
    for chunk, kept in zip(chunks, keep, strict=True):
        if kept and run and run[0] == chunk.document and run[2] == chunk.start:
            run = (run[0], run[1], chunk.end)
            continue
        if run:
            yield case.documents[run[0]].text[run[1] : run[2]]
            run = None
        if kept:
            run = (chunk.document, chunk.start, chunk.end)
    if run:
        yield case.documents[run[0]].text[run[1] : run[2]]
