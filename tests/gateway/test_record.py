from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import fields, replace

from gateway import logs
from gateway.journey import Journey
from gateway.metrics import Metrics
from gateway.record import RequestRecord, Stages
from gateway.store.entries import State
from gateway.upstreams.attempts import Attempt, Outcome
from gateway.upstreams.candidates import Candidate
from gateway.usage import Cost, Usage
from gateway.windowing.types import Decision, Reason, WindowOutcome
from tests.gateway.records import RECORD

OTHER = RequestRecord(
    id="req-2",
    time=datetime(2026, 3, 4, tzinfo=UTC),
    route="relay",
    team="umbrella",
    key="key_2",
    user="somebody",
    model="o9",
    model_label="other",
    model_served="o8",
    upstream="second",
    attempts=(Attempt(Candidate("main"), Outcome.FAILED), Attempt(Candidate("second"), Outcome.ANSWERED)),
    decision=Decision.BYPASSED,
    reason=Reason.ERROR,
    detail="KeyError",
    tokens_original=11,
    tokens_forwarded=12,
    tokens_saved=13,
    tokens_window=14,
    confidence=0.5,
    skipped=(),
    usage=Usage(15, 16, cached=17, reasoning=18, cache_written=19, audio_prompt=20, audio_completion=21),
    state=State.ESTIMATED,
    cost=Cost(Decimal(19), Decimal(20), Decimal(21)),
    status=502,
    error="upstream_unreachable",
    stream=False,
    client_gone=True,
    stages=Stages(21.0, 22.0, 23.0, 24.0, 25.0, 26.0, (("parse", 27.0),)),
    forwarded_body="{}",
    outcome=WindowOutcome(Reason.ERROR),
    model_answered="o8-2026",
    journey=Journey("POST", "0" * 32, "0" * 16, 1),
    started=28.0,
)
# A metric's label, made of the model's name: the log has the name itself. What receipts and traces are made of.
LEFT_OUT_OF_THE_LOG = {"model_label", "outcome", "model_answered", "journey", "started"}


def names(kind: Any) -> list[str]:
    return [field.name for field in fields(kind)]


def changed(name: str, other: RequestRecord) -> RequestRecord:
    return replace(RECORD, **{name: getattr(other, name)})


def test_a_record_is_frozen_to_its_leaves() -> None:
    for part in (RECORD, RECORD.stages, RECORD.usage, RECORD.cost):
        for name in names(part):
            with pytest.raises(AttributeError):
                setattr(part, name, None)
    assert hash(RECORD) == hash(replace(RECORD))  # nothing in it can be changed either


@pytest.mark.parametrize("name", names(RequestRecord))
def test_every_field_reaches_the_log_line_or_is_left_out_on_purpose(name: str) -> None:
    assert getattr(OTHER, name) != getattr(RECORD, name)
    differs = logs.fields(changed(name, OTHER)) != logs.fields(RECORD)
    assert differs is (name not in LEFT_OUT_OF_THE_LOG)


@pytest.mark.parametrize("part", ["stages", "usage", "cost"])
def test_every_field_of_its_parts_reaches_the_log_line(part: str) -> None:
    before, other = getattr(RECORD, part), getattr(OTHER, part)
    for name in names(before):
        assert getattr(other, name) != getattr(before, name)
        now = replace(RECORD, **{part: replace(before, **{name: getattr(other, name)})})
        assert logs.fields(now) != logs.fields(RECORD), name


def test_what_the_log_leaves_out_the_metrics_have() -> None:
    """And the other way round: a caller's own words are no label."""
    metrics = Metrics()
    metrics([replace(RECORD, model="a name that a caller made up")])
    exposition = metrics.exposition().decode()
    assert f'model="{RECORD.model_label}"' in exposition
    assert "made up" not in exposition
