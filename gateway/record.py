"""The one frozen record of a request; log line, metrics and the ledger are made from it."""

from datetime import datetime

import msgspec

from gateway.journey import Journey
from gateway.store.entries import State
from gateway.upstreams.attempts import Attempt
from gateway.usage import Cost, Usage
from gateway.windowing.types import Decision, Reason, WindowOutcome


class Stages(msgspec.Struct, frozen=True, gc=False):
    """Milliseconds spent in each stage of one request.

    `windowing` holds its own stages by name; `first_byte` runs from the request's arrival to the first byte of the
    reply's body, `total` to its end; `overhead` is the gateway's own share of the time before the upstream was asked.
    """

    receive: float = 0.0
    window: float = 0.0
    overhead: float = 0.0
    upstream_head: float | None = None
    first_byte: float | None = None
    total: float = 0.0
    windowing: tuple[tuple[str, float], ...] = ()


class RequestRecord(msgspec.Struct, frozen=True, gc=False):
    """Everything that is known of one request once it is over.

    Of a prompt's text only `outcome`, of which receipts tell the sizes, and `forwarded_body` where prompts are logged.
    """

    id: str
    time: datetime
    route: str
    team: str
    key: str
    user: str
    model: str | None
    model_label: str
    model_served: str | None
    upstream: str | None
    attempts: tuple[Attempt, ...]
    decision: Decision | None
    reason: Reason | None
    detail: str
    tokens_original: int | None
    tokens_forwarded: int | None
    tokens_saved: int | None
    tokens_window: int | None
    confidence: float | None
    skipped: tuple[str, ...]
    usage: Usage | None
    state: State
    cost: Cost
    status: int
    error: str | None
    stream: bool
    client_gone: bool
    stages: Stages
    forwarded_body: str | None = None
    outcome: WindowOutcome | None = None
    model_answered: str | None = None
    journey: Journey | None = None
    started: float = 0.0  # by time.perf_counter, as a journey's times are
