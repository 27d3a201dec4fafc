import asyncio
import io
import json
from collections.abc import Sequence

from gateway import logs
from gateway.record import RequestRecord
from gateway.recording import Recording
from tests.gateway.records import RECORD, REFUSED


async def test_records_reach_every_recorder_together_and_in_order() -> None:
    lines: list[list[RequestRecord]] = []
    counts: list[list[RequestRecord]] = []
    recording = Recording(lambda some: lines.append(list(some)), lambda some: counts.append(list(some)))
    recording(RECORD)
    recording(REFUSED)
    assert lines == []  # nobody waits for it
    await asyncio.sleep(0.1)
    assert lines == counts == [[RECORD, REFUSED]]
    recording(RECORD)
    await asyncio.sleep(0.1)
    assert lines[1:] == [[RECORD]]


async def test_what_waits_is_handed_on_at_the_end_and_only_once() -> None:
    seen: list[RequestRecord] = []
    recording = Recording(seen.extend)
    recording(RECORD)
    recording.flush()
    recording.flush()
    await asyncio.sleep(0.1)
    assert seen == [RECORD]


async def test_a_recorder_that_fails_is_said_to_and_leaves_the_others_their_records() -> None:
    def fails(_: Sequence[RequestRecord]) -> None:
        raise ValueError("sk-secret")

    logs.configure(out := io.StringIO())
    before, after = list[RequestRecord](), list[RequestRecord]()
    recording = Recording(before.extend, fails, after.extend)
    for _ in range(20):
        recording(RECORD)  # the sixteenth of them hands on all
    recording.flush()
    assert len(before) == len(after) == 20
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [(line["event"], line["error"], line["count"]) for line in lines] == [
        ("request_not_recorded", "ValueError", count) for count in (16, 4)
    ]
    assert "sk-secret" not in out.getvalue()
