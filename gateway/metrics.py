"""Every metric's name, unit, labels and buckets; OpenTelemetry GenAI terms where they have one.

Right under several workers: with PROMETHEUS_MULTIPROC_DIR set before the start, each worker's values are added up.
The only prometheus-client user.
"""

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from gateway.config import METRICS_DIR_VARIABLE
from gateway.record import RequestRecord
from gateway.store.entries import Entry, State
from gateway.windowing.frames import Lookups

CONTENT_TYPE = CONTENT_TYPE_LATEST

_Metric = TypeVar("_Metric", Counter, Gauge, Histogram)
_SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_OVERHEAD = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)
_WHO = ("team", "model")
_REQUEST = (*_WHO, "status")


class Counts:
    """Amounts of several requests, added up before they are counted: most of them have the same labels."""

    def __init__(self) -> None:
        self.amounts: defaultdict[tuple[Any, ...], float] = defaultdict(float)

    def add(self, amount: float, metric: Counter | Gauge, *labels: str) -> None:
        """Add an amount to a metric's child of these labels."""
        self.amounts[metric, *labels] += amount


class Metrics:
    """The metrics of one worker."""

    def __init__(self) -> None:
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
        self._store = gauge("context_gateway_store_up", "Workers that the shared store answers")
        self._store.set(1)
        # Looking a child up by its labels costs more than counting in it; teams, models and reasons are few.
        self._children: dict[tuple[object, ...], object] = {}

    def __call__(self, records: Sequence[RequestRecord]) -> None:
        """Count finished requests."""
        counts = Counts()
        for record in records:
            self._count(record, counts)
        for (metric, *labels), amount in counts.amounts.items():
            self._child(metric, *labels).inc(amount)

    def _count(self, record: RequestRecord, counts: "Counts") -> None:
        who = (record.team, record.model_label)
        self._child(self._duration, *who, str(record.status)).observe(record.stages.total / 1e3)
        if record.stages.first_byte is not None:
            self._child(self._first_byte, *who).observe(record.stages.first_byte / 1e3)
        for attempt in record.attempts:
            counts.add(1, self._attempts, attempt.candidate.upstream, attempt.outcome)
        if record.error:
            counts.add(1, self._errors, record.error)
        if record.client_gone:
            counts.add(1, self._client_gone, *who)
        if (usage := record.usage) and record.state is State.SETTLED:
            counts.add(max(usage.prompt - usage.cached, 0), self._usage, *who, "input")
            counts.add(usage.cached, self._usage, *who, "input_cached")
            counts.add(max(usage.completion - usage.reasoning, 0), self._usage, *who, "output")
            counts.add(usage.reasoning, self._usage, *who, "output_reasoning")
        if record.cost.usd is not None:
            counts.add(float(record.cost.usd), self._cost, *who)
        if record.cost.saved_usd is not None:
            counts.add(float(record.cost.saved_usd), self._saved, *who)
        if record.decision is not None and record.reason is not None:
            self._count_windowing(record, counts, who)

    def _count_windowing(self, record: RequestRecord, counts: "Counts", who: tuple[str, str]) -> None:
        decision = record.decision or ""
        counts.add(1, self._decisions, *who, decision, record.reason or "")
        self._child(self._overhead, decision).observe(record.stages.overhead / 1e3)
        for stage in record.skipped:
            counts.add(1, self._skipped, stage)
        if record.confidence is not None:
            self._child(self._confidence, *who).observe(record.confidence)
        if record.tokens_original is not None:
            counts.add(record.tokens_original, self._tokens, *who, "original")
        if record.tokens_forwarded is not None:
            counts.add(record.tokens_forwarded, self._tokens, *who, "forwarded")
        if record.tokens_saved is not None:
            counts.add(record.tokens_saved, self._tokens, *who, "saved")

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

    def unsettled(self, entries: Sequence[Entry]) -> None:
        """Count requests that were charged at their worst case, since nobody settled them."""
        for entry in entries:
            self._unsettled.labels(entry.team).inc()

    def store_there(self, there: bool) -> None:
        """Note whether the shared store answers."""
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
        """Return the metrics of all workers in Prometheus' text format."""
        shared = os.environ.get(METRICS_DIR_VARIABLE)
        if shared is None:
            return generate_latest(self._registry)
        _forget_dead_workers(Path(shared))
        everybody = CollectorRegistry()
        MultiProcessCollector(everybody)  # type: ignore[no-untyped-call]
        return generate_latest(everybody)


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
