"""Evaluation cases as the retrieval package sees them, and what counts as kept evidence."""

import importlib.util
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from retrieval import Chunk, Document, Mask, Query

DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "eval"
_NOTE = 300  # characters of a tool call that name its result
_RECENT = 3  # turns before the question that go with it


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
    return [case for case in cases if case.evidence][: limit or None]


def _case(raw: dict[str, Any]) -> Case:
    evidence = raw.get("evidence_sentence") or raw.get("evidence") or []
    messages = raw["messages"]
    recent = [m["content"] for m in messages[:-1] if m["role"] != "system" and isinstance(m.get("content"), str)]
    return Case(
        source=raw["source"],
        id=raw["id"],
        group=f"{raw['source']}:{raw.get('doc_id') or raw.get('qid') or raw['id']}",
        tokens=raw["tokens"],
        documents=tuple(_documents(messages, raw["question"])),
        query=Query(raw["question"], tuple(text[-1000:] for text in recent[-_RECENT:] if len(text) < 4000)),
        evidence=tuple(evidence),
    )


def _documents(messages: Sequence[dict[str, Any]], question: str) -> Iterator[Document]:
    calls: dict[str, str] = {}
    for number, message in enumerate(messages):
        for call in message.get("tool_calls") or []:
            function = call["function"]
            calls[call["id"]] = f"{function['name']} {function['arguments']}"[:_NOTE]
            yield Document(function["arguments"], "assistant", number, function["name"])
        content = message.get("content") or ""
        name = calls.get(message.get("tool_call_id", ""), "")
        parts = content.rsplit(question, 1) if number == len(messages) - 1 else [content]
        yield from (Document(part, message["role"], number, name) for part in parts if part.strip())


def kept_share(case: Case, chunks: Sequence[Chunk], keep: Mask) -> float:
    """Return the share of evidence strings that stand whole in a run of adjacent kept chunks of one document."""
    runs = list(kept_runs(case, chunks, keep))
    return sum(any(e in run for run in runs) for e in case.evidence) / len(case.evidence)


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
