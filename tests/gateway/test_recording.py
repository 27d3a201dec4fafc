import asyncio

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
