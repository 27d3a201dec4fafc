"""A record to make log lines and metrics of."""

from datetime import UTC, datetime
from decimal import Decimal

from msgspec.structs import replace

from gateway.record import RequestRecord, Stages
from gateway.store.entries import State
from gateway.upstreams.attempts import Attempt, Outcome
from gateway.upstreams.candidates import Candidate
from gateway.usage import Cost, Usage
from gateway.windowing.types import Decision, Reason

RECORD = RequestRecord(
    id="req-1",
    time=datetime(2026, 1, 2, tzinfo=UTC),
    route="chat.completions",
    team="acme",
    key="key_0123456789ab",
    user="",
    model="gpt-4o-mini-2024-07-18",
    model_label="gpt-4o-mini",
    model_served=None,
    upstream="main",
    attempts=(Attempt(Candidate("main"), Outcome.ANSWERED),),
    decision=Decision.APPLIED,
    reason=Reason.RELEVANCE,
    detail="",
    tokens_original=20_000,
    tokens_forwarded=3_000,
    tokens_saved=17_000,
    confidence=0.93,
    skipped=("dense",),
    tokens_window=3_000,
    state=State.SETTLED,
    usage=Usage(3_000, 100, cached=1_000, reasoning=40),
    cost=Cost(Decimal("0.0004"), Decimal("-0.0001")),
    status=200,
    error=None,
    stream=True,
    client_gone=False,
    stages=Stages(window=50.0, overhead=51.5, first_byte=120.0, total=900.0, windowing=(("rank", 40.0),)),
)
REFUSED = replace(
    RECORD,
    decision=None,
    reason=None,
    usage=None,
    state=State.FREE,
    cost=Cost(),
    status=400,
    error="invalid_json",
    client_gone=True,
)
