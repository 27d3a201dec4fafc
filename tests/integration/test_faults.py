"""The quick faults of `make faults`: real processes, each fault with what must hold."""

import os
from collections.abc import Iterator

import pytest

from benchmarks import faults
from benchmarks.fault import Fault, outcome_of
from benchmarks.fault_place import Scene


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with faults.scene() as found:
        yield found


@pytest.mark.parametrize("fault", [one for one in faults.FAULTS if one.quick], ids=lambda one: one.name)
def test_what_must_hold_does(fault: Fault, scene: Scene) -> None:
    outcome = outcome_of(fault, scene)
    if outcome.held is False and os.getloadavg()[0] > 2 * (os.cpu_count() or 1):
        outcome = outcome_of(fault, scene)  # so much else is running that what takes a moment may take longer
    if outcome.held is None:
        pytest.skip(outcome.said)
    assert outcome.held, outcome.said
