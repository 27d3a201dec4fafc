"""Every metric's name, unit, labels and buckets; OpenTelemetry GenAI terms where they have one.

Right under several workers: with PROMETHEUS_MULTIPROC_DIR set before the start, each worker's values are added up
(shared_counts.py).
The only prometheus-client user.
"""

import os
from bisect import bisect_left
from collections import Counter as TallyOf
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal, TypeVar, cast

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest, values
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from gateway.config import METRICS_DIR_VARIABLE
from gateway.record import RequestRecord
from gateway.shared_counts import SharedCounts
from gateway.store.entries import Entry
from gateway.tallies import Labels, Tally, tallied
from gateway.windowing.frames import Lookups

CONTENT_TYPE = CONTENT_TYPE_LATEST

_Metric = TypeVar("_Metric", Counter, Gauge, Histogram)
_SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_OVERHEAD = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)
_WHO = ("team", "model")
_REQUEST = (*_WHO, "status")


class Metrics:
    """The metrics of one worker."""

    def __init__(self, shared: Callable[[bool], None] = lambda _: None) -> None:
        """`shared` is told when other workers can't read what is counted here, and when they can again."""
        self._folder = _folder()
        self._shared = SharedCounts(self._folder, shared) if self._folder else None
        values.ValueClass = self._shared or values.MutexValue
        # Long, since it is a list: one statement a metric, with its name, text and labels.
        self._registry = registry = CollectorRegistry()

        def histogram(name: str, text: str, labels: Sequence[str], buckets: Sequence[float]) -> Histogram:
            return Histogram(name, text, labels, registry=registry, buckets=buckets)

        def counter(name: str, text: str, labels: Sequence[str]) -> Counter:
            return Counter(name, text, labels, registry=registry)

        def gauge(
            name: str, text: str, labels: Sequence[str] = (), mode: Literal["sum", "livesum"] = "livesum"
        ) -> Gauge:
            return Gauge(name, text, labels, registry=registry, multiprocess_mode=mode)

        self._duration = histogram(
            "gen_ai_server_request_duration_seconds", "From a request's arrival to its reply's end", _REQUEST, _SECONDS
        )
        self._first_byte = histogram(
            "gen_ai_server_time_to_first_token_seconds", "From arrival to the reply's first byte", _WHO, _SECONDS
        )
        self._usage = counter(
            "gen_ai_client_token_usage", "Tokens that upstreams reported", (*_WHO, "gen_ai_token_type")
        )
        self._overhead = histogram(
            "context_gateway_overhead_seconds", "Our own time before the upstream was asked", ("decision",), _OVERHEAD
        )
        self._decisions = counter(
            "context_gateway_windowing_decisions",
            "Chat requests by what was done and why",
            (*_WHO, "decision", "reason"),
        )
        self._tokens = counter("context_gateway_prompt_tokens", "Tokens of prompts that were counted", (*_WHO, "kind"))
        self._skipped = counter(
            "context_gateway_windowing_skipped", "Windows made without a stage that there was no time for", ("stage",)
        )
        self._confidence = histogram(
            "context_gateway_window_confidence", "Share of the evidence expected inside a window", _WHO, _SHARES
        )
        self._cost = counter("context_gateway_cost_usd", "Cost of requests whose price and usage are known", _WHO)
        # A saving can be negative, so its sum goes up and down; a gauge that is added to says so.
        self._saved = gauge(
            "context_gateway_cost_saved_usd", "Money saved, net of lost cache discounts and our own cost", _WHO, "sum"
        )
        self._errors = counter("context_gateway_errors", "Errors that the gateway answered itself", ("code",))
        self._attempts = counter(
            "context_gateway_upstream_attempts",
            "Requests sent to upstreams, by how that ended",
            ("upstream", "outcome"),
        )
        self._open = gauge("context_gateway_upstream_open", "Workers whose breaker leaves it alone", ("upstream",))
        self._client_gone = counter("context_gateway_client_gone", "Requests whose client left early", _WHO)
        self._waiting = gauge("context_gateway_windowing_waiting", "Requests in windowing or waiting for it")
        self._restarts = gauge("context_gateway_windowing_restarts", "Windowing processes started again")
        self._vectors = gauge("context_gateway_vector_cache", "Look-ups of embedded chunks: hit, miss", ("result",))
        self._texts = gauge("context_gateway_text_cache", "Look-ups of blocks of text: hit, miss", ("result",))
        self._reached = counter("context_gateway_budget_reached", "Soft limits passed", ("team", "percent"))
        self._unsettled = counter("context_gateway_unsettled", "Requests charged at their worst case", ("team",))
        self._lost = counter("context_gateway_settlements_lost", "Requests of which the store could not be told", ())
        self._log_lost = counter("context_gateway_log_lines_lost", "Log lines that could not be written", ())
        self._store = gauge("context_gateway_store_up", "Workers that can use the store")
        self._store.set(1)
        # Looking a child up by its labels costs more than counting in it; teams, models and reasons are few.
        self._children: dict[tuple[object, ...], object] = {}

    def __call__(self, records: Sequence[RequestRecord]) -> None:
        """Count finished requests."""
        for labels, tally in tallied(records).items():
            self._count(labels, tally)
        if self._shared:
            self._shared.mend()

    def _count(self, labels: Labels, tally: Tally) -> None:
        who = labels.who
        _observe(self._child(self._duration, *who, labels.status), tally.seconds)
        if tally.first_bytes:
            _observe(self._child(self._first_byte, *who), tally.first_bytes)
        if labels.decision is not None and labels.reason is not None:
            self._child(self._decisions, *who, labels.decision, labels.reason).inc(len(tally.seconds))
            _observe(self._child(self._overhead, labels.decision), tally.overheads)
        for (upstream, outcome), count in tally.attempts.items():
            self._child(self._attempts, upstream, outcome).inc(count)
        for kind, tokens in tally.usage.items():
            self._child(self._usage, *who, kind).inc(tokens)
        if tally.cost is not None:
            self._child(self._cost, *who).inc(tally.cost)
        if tally.saved is not None:
            self._child(self._saved, *who).inc(tally.saved)
        self._count_seldom(who, tally)

    def _count_seldom(self, who: tuple[str, str], tally: Tally) -> None:
        """Count what most requests do not have."""
        for code, count in tally.errors.items():
            self._child(self._errors, code).inc(count)
        if tally.gone:
            self._child(self._client_gone, *who).inc(tally.gone)
        for stage, count in tally.skipped.items():
            self._child(self._skipped, stage).inc(count)
        for kind, tokens in tally.prompts.items():
            self._child(self._tokens, *who, kind).inc(tokens)
        if tally.confidences:
            _observe(self._child(self._confidence, *who), tally.confidences)

    def _child(self, metric: _Metric, *labels: str) -> _Metric:
        key = (metric, *labels)
        found = self._children.get(key)
        if found is None:
            found = self._children[key] = metric.labels(*labels)
        return cast(_Metric, found)

    def budget_reached(self, team: str, percent: int) -> None:
        """Count a soft limit that a team's spending passed."""
        self._reached.labels(team, str(percent)).inc()

    def settlements_lost(self, count: int) -> None:
        """Count finished requests of which the store could not be told."""
        self._lost.inc(count)

    def log_lines_lost(self, count: int) -> None:
        """Count log lines that could not be written; from any thread."""
        self._log_lost.inc(count)

    def unsettled(self, entries: Sequence[Entry]) -> None:
        """Count requests that were charged at their worst case, since nobody settled them."""
        for entry in entries:
            self._unsettled.labels(entry.team).inc()

    def store_there(self, there: bool) -> None:
        """Note whether the store can be used."""
        self._store.set(int(there))

    def watch_upstreams(self, left_alone: Mapping[str, bool]) -> None:
        """Note which upstreams are left alone at this moment."""
        for upstream, open_ in left_alone.items():
            self._open.labels(upstream).set(int(open_))

    def watch_pool(self, waiting: int, restarts: int, lookups: Lookups) -> None:
        """Note the state of the windowing processes."""
        self._waiting.set(waiting)
        self._restarts.set(restarts)
        self._vectors.labels("hit").set(lookups.hits)
        self._vectors.labels("miss").set(lookups.misses)
        self._texts.labels("hit").set(lookups.text_hits)
        self._texts.labels("miss").set(lookups.text_misses)

    def exposition(self) -> bytes:
        """Return the metrics of all workers in Prometheus' text format; this one's alone where there are no files."""
        if self._shared is None or self._folder is None:
            return generate_latest(self._registry)
        self._shared.mend(at_once=True)
        try:
            _forget_dead_workers(self._folder)
            everybody = CollectorRegistry()
            MultiProcessCollector(everybody, str(self._folder))  # type: ignore[no-untyped-call]
            return generate_latest(everybody)
        except (OSError, ValueError):
            return generate_latest(self._registry)


def _folder() -> Path | None:
    named = os.environ.get(METRICS_DIR_VARIABLE)
    return Path(named) if named else None


def _observe(histogram: Histogram, values: Sequence[float]) -> None:
    """Observe several values at once, for which the library has no call; one by one they cost several times that."""
    histogram._sum.inc(sum(values))
    for place, count in TallyOf(bisect_left(histogram._upper_bounds, value) for value in values).items():
        histogram._buckets[place].inc(count)


def _forget_dead_workers(directory: Path) -> None:
    """Drop the live gauges of workers that have ended."""
    for pid in {int(file.stem.rpartition("_")[2]) for file in directory.glob("gauge_live*.db")}:
        if not _lives(pid):
            mark_process_dead(pid, str(directory))  # type: ignore[no-untyped-call]


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
