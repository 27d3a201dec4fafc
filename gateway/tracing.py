"""Handing finished requests to a collector of traces: by a thread of their own, so that none waits for one.

What it does costs nothing where the operator asked for none: neither the thread nor what it loads is there.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec.structs import replace

from gateway import logs
from gateway.config import Settings
from gateway.destinations import TelemetrySettings, UpstreamSettings
from gateway.journey import Sampler
from gateway.record import RequestRecord

if TYPE_CHECKING:
    from gateway.otlp import Exporter

_EVERY_S = 1.0
_TOGETHER = 32  # requests of one export, each with three spans or more
_REST_S = 0.005  # after each: making spans takes the interpreter from the requests under way
_MOST = 2048  # requests that wait; of more nothing is exported
_LAST_S = 3.0  # at the end, for what still waits


@dataclass(frozen=True, slots=True)
class _Target:
    telemetry: TelemetrySettings
    upstreams: Mapping[str, UpstreamSettings]


class Tracing:
    """Takes finished requests' records and exports what was sampled of them."""

    def __init__(self) -> None:
        self._target: _Target | None = None
        self._waiting: deque[RequestRecord] = deque()
        self._due = threading.Event()
        self._ending = False
        self._thread: threading.Thread | None = None
        self._exporter: Exporter | None = None
        self._made_for: TelemetrySettings | None = None
        self._there = True
        self._lost = 0

    def configure(self, settings: Settings) -> Sampler | None:
        """Export by these settings from now on, and return what decides on requests; None where there is no export."""
        if (telemetry := settings.telemetry) is None:
            return None  # what is under way still goes where it was to go
        before = self._target.upstreams if self._target else {}
        self._target = _Target(telemetry, {**before, **settings.upstreams})
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="traces", daemon=True)
            self._thread.start()
        return Sampler(telemetry.sample)

    def __call__(self, records: Sequence[RequestRecord]) -> None:
        """Take over records; returns at once."""
        if self._thread is None:
            return
        for record in records:
            if record.journey is not None and record.journey.sampled:
                self._keep(record)
        if len(self._waiting) >= _TOGETHER:
            self._due.set()

    def _keep(self, record: RequestRecord) -> None:
        if len(self._waiting) >= _MOST:
            self._lost += 1
        else:  # texts would keep their memory while they wait
            self._waiting.append(replace(record, outcome=None, forwarded_body=None))

    async def finish(self) -> None:
        """Export what is here, unless that takes too long."""
        if self._thread is None:
            return
        self._ending = True
        self._due.set()
        await asyncio.to_thread(self._thread.join, _LAST_S)
        if self._thread.is_alive() and self._exporter is not None:
            self._exporter.close()

    def _run(self) -> None:
        self._export([])  # what that loads is not to be waited for by the first requests
        ending = False
        while not ending:
            self._due.wait(_EVERY_S)
            self._due.clear()
            ending = self._ending
            while self._waiting:
                self._export([self._waiting.popleft() for _ in range(min(len(self._waiting), _TOGETHER))])
                if not self._ending:
                    time.sleep(_REST_S)

    def _export(self, records: Sequence[RequestRecord]) -> None:
        why = ""
        try:
            exporter = self._exporter = self._opened()
            done = not records or exporter.export(records, self._target.upstreams if self._target else {})
        except Exception as error:  # noqa: BLE001 - whatever it is, it is not the requests' affair
            done, why = False, f"{type(error).__name__} at {logs.place(error)}"
        if done:
            self._succeeded()
        else:
            self._failed(len(records), why)

    def _opened(self) -> "Exporter":
        """Return the exporter of these settings, which a reload may have changed."""
        from gateway import otlp  # noqa: PLC0415 - loaded here alone: nobody pays for it who exports nothing

        wanted = self._target.telemetry if self._target else None
        if wanted is None:
            raise RuntimeError("configured before the thread is started")
        if self._exporter is None or wanted != self._made_for:
            if self._exporter is not None:
                self._exporter.close()
            self._exporter, self._made_for = otlp.Exporter(wanted), wanted
        return self._exporter

    def _succeeded(self) -> None:
        if not self._there:
            self._there = True
            logs.event("traces", status="back", lost=self._lost)
            self._lost = 0

    def _failed(self, count: int, why: str) -> None:
        self._lost += count
        if self._there:
            self._there = False
            logs.event("traces", status="away", detail=why or "the collector does not take them")
