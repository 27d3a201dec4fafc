"""The same evaluation cases through LiteLLM, Headroom, the ends of the prompt and ours: `python -m benchmarks.peers`.

The peers are installed into environments of their own below ~/.cache/context-gateway-bench (about 1 GB, a few
minutes) and run without network, each in its own process. The cases are no part of the project; without
../shared/eval this says so and ends. Ours was trained on such cases: what it keeps of sources it never saw is printed
by benchmarks/bench_retrieval.py.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from benchmarks.peers_cases import LONG, MODEL, Messages, Outcome, Summary, draw, summarise
from benchmarks.peers_install import PeerUnavailableError, Process, drive, ours, peer
from benchmarks.peers_pieces import Piece, cut, joined
from benchmarks.report import console
from benchmarks.retrieval_data import DATA, source_names
from retrieval.tokens import counter_for

TARGET = 2000
LITELLM = "litellm==1.106.2"  # 1.109.1 has the same compress()
HEADROOM = "headroom-ai[proxy]==0.42.0"
_METHOD_S = 600  # for all requests of a method
_LONG_CASES = 5  # of 128K, for the clock
_PIECE = 1200  # bytes; of 200 to 3200 the size at which LiteLLM's BM25 keeps most
_SMALL_PIECE = 400  # bytes
_STUB = "[Compressed: "  # how LiteLLM's text for a dropped message begins

_COLUMNS = (
    "trimmed",
    "kept in those",
    "kept overall",
    "tokens in those",
    "tokens overall",
    "broken",
    "errors",
    "ms",
    "ms 128K",
)

Case = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Made:
    """What a method made of the cases, the version that made it, and what stopped it ('' if nothing)."""

    version: str
    outcomes: tuple[Outcome, ...]
    stopped: str = ""


@dataclass(frozen=True, slots=True)
class Method:
    """A row of the table; `run` raises PeerUnavailableError when there is nothing to show."""

    name: str
    run: Callable[[Sequence[Case]], Made]


def whole(process: Callable[[], Process]) -> Callable[[Sequence[Case]], Made]:
    """Return the run of a process on the requests as they are."""

    def run(cases: Sequence[Case]) -> Made:
        requests = [{"messages": c["messages"], "tokens": c["tokens"], "target": TARGET} for c in cases]
        found = drive(process(), requests, _METHOD_S)
        return Made(found.version, tuple(_outcome(a) for a in found.answers), found.stopped)

    return run


def _outcome(answer: dict[str, Any]) -> Outcome:
    if "error" in answer:
        return Outcome(None, answer["ms"], f"error: {answer['error']}")
    return Outcome(answer["messages"], answer["ms"], answer["note"], answer["tools"])


def _litellm() -> Process:
    return peer("litellm", LITELLM)


def _headroom() -> Process:
    return peer("headroom", HEADROOM)


def _headroom_documents() -> Process:
    return peer("headroom-documents", HEADROOM)


def litellm_on_pieces(cases: Sequence[Case]) -> Made:
    """Give LiteLLM every piece of about 300 tokens as a message of its own, the bare question behind them."""
    cuts = [cut(c["messages"], c["question"], _PIECE) for c in cases]
    requests = [
        {"messages": _as_messages(pieces, c["question"]), "tokens": c["tokens"], "target": TARGET}
        for c, pieces in zip(cases, cuts, strict=True)
    ]
    found = drive(_litellm(), requests, _METHOD_S)
    outcomes = (
        _put_together(case, pieces, _outcome(answer))
        for case, pieces, answer in zip(cases, cuts, found.answers, strict=False)
    )
    return Made(found.version, tuple(outcomes), found.stopped)


def _as_messages(pieces: Sequence[Piece], question: str) -> Messages:
    texts = [p.text for p in pieces if not p.fixed]
    return [{"role": "user", "content": text} for text in [*texts, question]]


def _put_together(case: Case, pieces: Sequence[Piece], outcome: Outcome) -> Outcome:
    if outcome.messages is None:
        return outcome
    places = [place for place, piece in enumerate(pieces) if not piece.fixed]
    held = zip(places, (m["content"] for m in outcome.messages[:-1]), strict=True)
    kept = {place: text for place, text in held if not text.startswith(_STUB)}
    return Outcome(joined(case["messages"], pieces, kept), outcome.ms, outcome.note)


def end_of_prompt(first: bool) -> Callable[[Sequence[Case]], Made]:
    """Return the run that keeps the first (or the last) tokens of all texts, the question aside."""

    def run(cases: Sequence[Case]) -> Made:
        counter_for(MODEL)  # its vocabulary is read once
        return Made("", tuple(_end(case, first) for case in cases))

    return run


def _end(case: Case, first: bool) -> Outcome:
    start = time.perf_counter()
    pieces = cut(case["messages"], case["question"], _SMALL_PIECE)
    messages = joined(case["messages"], pieces, dict(_filled(list(enumerate(pieces)), first)))
    return Outcome(messages, (time.perf_counter() - start) * 1e3)


def _filled(placed: list[tuple[int, Piece]], first: bool) -> Iterator[tuple[int, str]]:
    counter, left = counter_for(MODEL), TARGET
    for place, piece in placed if first else reversed(placed):
        if piece.fixed:
            continue
        left -= counter.count(piece.text)
        if left < 0:
            return
        yield place, piece.text


METHODS = (
    Method("context-gateway, default", whole(ours)),
    Method("LiteLLM compress()", whole(_litellm)),
    Method("LiteLLM's BM25, ~300-token pieces", litellm_on_pieces),
    Method("Headroom compress()", whole(_headroom)),
    Method("Headroom compress(), documents", whole(_headroom_documents)),
    Method(f"first {TARGET} tokens", end_of_prompt(first=True)),
    Method(f"last {TARGET} tokens", end_of_prompt(first=False)),
)


def _figure(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _cells(row: Summary) -> Iterable[str]:
    return (
        str(row.trimmed),
        _figure(row.recall_trimmed, ".3f"),
        _figure(row.recall_all, ".3f"),
        _figure(row.tokens_trimmed, ",.0f"),
        _figure(row.tokens_all, ",.0f"),
        str(row.broken),
        str(row.errors),
        _figure(row.ms, ",.0f"),
        _figure(row.ms_long, ",.0f"),
    )


def compare(methods: Sequence[Method], cases: Sequence[Case], long: Sequence[Case]) -> tuple[Table, list[str]]:
    """Run every method on the cases, and on the long ones for the clock; return the table and remarks on its rows."""
    table = Table(title=f"{len(cases)} requests, target {TARGET} tokens")
    table.add_column("method", no_wrap=True)
    for column in _COLUMNS:
        table.add_column(column, justify="right")
    remarks: list[str] = []
    for method in methods:
        print(f"{method.name} ...", file=sys.stderr)
        try:
            made = method.run([*cases, *long])
        except PeerUnavailableError as error:
            table.add_row(method.name, "not run")
            remarks.append(f"{method.name}: not run, {error}")
            continue
        remarks += [f"{method.name}: version {made.version}"] if made.version else []
        row = summarise(cases[: len(made.outcomes)], made.outcomes[: len(cases)], made.outcomes[len(cases) :])
        table.add_row(method.name, *_cells(row))
        remarks += (
            [f"{method.name}: {made.stopped}, the row has the {row.requests} that were answered"]
            if made.stopped
            else []
        )
        remarks += [f"{method.name}: {note}" + (f" ({n})" if n > 1 else "") for note, n in row.notes]
    return table, remarks


def main() -> int:
    """Print the table and what there is to know about its rows; the exit status is 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=int, default=16, help="cases of each source, drawn as score.py does (0: all)")
    parser.add_argument("--sources", default="", help="comma-separated; all when left out")
    options = parser.parse_args()
    if not DATA.exists():
        print(f"skipped: there is no {DATA}", file=sys.stderr)
        return 0
    sources = options.sources.split(",") if options.sources else source_names()
    cases, long = draw(sources, options.limit, _LONG_CASES)
    before = os.getloadavg()[0]
    table, remarks = compare(METHODS, cases, long)
    out = console()
    out.print(table)
    out.print(
        "kept: mean share of a request's evidence strings that stand whole in what is forwarded. A request with an"
        " error counts as forwarded whole. ms: median of one call in its own process, 128K over"
        f" {sum(c['bucket'] == LONG for c in [*cases, *long])} requests;"
        f" {os.cpu_count()} cores, load {before:.1f} before, {os.getloadavg()[0]:.1f} after. Ours was trained on such"
        " cases, and the size of the pieces was chosen on them.",
        style="dim",
    )
    for remark in remarks:
        out.print(remark, style="dim", highlight=False, markup=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
