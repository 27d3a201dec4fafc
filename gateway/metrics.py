"""Every metric's name, unit, labels and buckets; OpenTelemetry GenAI terms where they have one.

Right under several workers: with PROMETHEUS_MULTIPROC_DIR set before the start, each worker's values are added up.
The only prometheus-client user.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar, cast

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from gateway.config import METRICS_DIR_VARIABLE
from gateway.record import RequestRecord

CONTENT_TYPE = CONTENT_TYPE_LATEST

_Metric = TypeVar("_Metric", Counter, Gauge, Histogram)
_SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_OVERHEAD = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_WHO = ("team", "model")


class Metrics:
    """The metrics of one worker."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self._duration = Histogram(
            "gen_ai_server_request_duration_seconds",
            "Time from a request's arrival to the end of its reply",
            (*_WHO, "status"),
            registry=registry,
            buckets=_SECONDS,
        )
        self._first_byte = Histogram(
            "gen_ai_server_time_to_first_token_seconds",
            "Time from a request's arrival to the first byte of its reply's body",
            _WHO,
            registry=registry,
            buckets=_SECONDS,
        )
        self._usage = Counter(
            "gen_ai_client_token_usage",
            "Tokens that upstreams reported (gen_ai_token_type: input, input_cached, output, output_reasoning)",
            (*_WHO, "gen_ai_token_type"),
            registry=registry,
        )
        self._overhead = Histogram(
            "context_gateway_overhead_seconds",
            "The gateway's own share of the time before the upstream was asked",
            ("decision",),
            registry=registry,
            buckets=_OVERHEAD,
        )
        self._decisions = Counter(
            "context_gateway_windowing_decisions",
            "Chat requests by what was done with their prompt, and why",
            (*_WHO, "decision", "reason"),
            registry=registry,
        )
        self._tokens = Counter(
            "context_gateway_prompt_tokens",
            "Tokens of prompts that were windowed (kind: original, forwarded, saved)",
            (*_WHO, "kind"),
            registry=registry,
        )
        self._cost = Counter(
            "context_gateway_cost_usd", "Cost of requests whose price and usage are known", _WHO, registry=registry
        )
        # A saving can be negative, so its sum goes up and down; a gauge that is added to says so.
        self._saved = Gauge(
            "context_gateway_cost_saved_usd",
            "Money saved, net of lost cache discounts and the gateway's own cost",
            _WHO,
            registry=registry,
            multiprocess_mode="sum",
        )
        self._errors = Counter(
            "context_gateway_errors", "Errors that the gateway answered itself", ("code",), registry=registry
        )
        self._client_gone = Counter(
            "context_gateway_client_gone", "Requests whose client left early", _WHO, registry=registry
        )
        self._waiting = Gauge(
            "context_gateway_windowing_waiting",
            "Requests that are being windowed or wait for it",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._restarts = Gauge(
            "context_gateway_windowing_restarts",
            "Windowing processes that had to be started again",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._cache = Gauge(
            "context_gateway_vector_cache",
            "Look-ups in the cache of embedded chunks (result: hit, miss)",
            ("result",),
            registry=registry,
            multiprocess_mode="livesum",
        )

        # Looking a child up by its labels costs more than counting in it; teams, models and reasons are few.
        self._children: dict[tuple[object, ...], object] = {}

    def __call__(self, record: RequestRecord) -> None:
        """Count a finished request."""
        who = (record.team, record.model_label)
        self._child(self._duration, *who, str(record.status)).observe(record.stages.total / 1e3)
        if record.stages.first_byte is not None:
            self._child(self._first_byte, *who).observe(record.stages.first_byte / 1e3)
        if record.error:
            self._errors.labels(record.error).inc()
        if record.client_gone:
            self._client_gone.labels(*who).inc()
        self._count_usage(record, who)
        self._count_windowing(record, who)

    def _child(self, metric: _Metric, *labels: str) -> _Metric:
        key = (metric, *labels)
        found = self._children.get(key)
        if found is None:
            found = self._children[key] = metric.labels(*labels)
        return cast(_Metric, found)

    def _count_usage(self, record: RequestRecord, who: tuple[str, str]) -> None:
        if usage := record.usage:
            counts = {
                "input": usage.prompt - usage.cached,
                "input_cached": usage.cached,
                "output": usage.completion - usage.reasoning,
                "output_reasoning": usage.reasoning,
            }
            for kind, count in counts.items():
                self._child(self._usage, *who, kind).inc(max(count, 0))
        if record.cost.usd is not None:
            self._child(self._cost, *who).inc(float(record.cost.usd))
        if record.cost.saved_usd is not None:
            self._child(self._saved, *who).inc(float(record.cost.saved_usd))

    def _count_windowing(self, record: RequestRecord, who: tuple[str, str]) -> None:
        if record.decision is None or record.reason is None:
            return
        self._child(self._decisions, *who, record.decision, record.reason).inc()
        self._child(self._overhead, record.decision).observe(record.stages.overhead / 1e3)
        counts = {
            "original": record.tokens_original,
            "forwarded": record.tokens_forwarded,
            "saved": record.tokens_saved,
        }
        for kind, count in counts.items():
            if count is not None:
                self._child(self._tokens, *who, kind).inc(count)

    def watch_pool(self, waiting: int, restarts: int, hits: int, misses: int) -> None:
        """Note the state of the windowing processes."""
        self._waiting.set(waiting)
        self._restarts.set(restarts)
        self._cache.labels("hit").set(hits)
        self._cache.labels("miss").set(misses)

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


Recorder = Callable[[RequestRecord], None]
