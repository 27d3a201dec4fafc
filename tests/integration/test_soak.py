"""The short form of `make soak`: records and sockets as there, memory with more room, since all of it is warm-up."""

from pathlib import Path

import pytest

from benchmarks import soak
from benchmarks.soak import Sample

SECONDS = 8.0
FLAT = 1.3


@pytest.mark.model
def test_nothing_is_lost_doubled_or_left_under_mixed_load(tmp_path: Path) -> None:
    samples: list[Sample] = []
    found = soak.run(tmp_path, SECONDS, FLAT, samples.append)
    assert [f"{check.what}: {check.found}" for check in found if not check.good] == []
    assert samples[-1].requests > 200


def test_growing_memory_is_seen() -> None:
    growing = [Sample(float(at), 100_000 + 200 * at, 50_000, 20, 10, at) for at in range(100)]
    gateway, windowing = soak.memory(growing, soak.FLAT)
    assert not gateway.good
    assert windowing.good
