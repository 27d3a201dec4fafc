import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from benchmarks.process_costs import cpu_seconds, family, resident_mb

# A parent that does nothing and a child that takes 50 MB, works for a while and waits to be ended.
_CHILD = """
import time
kept = b"x" * 50_000_000
while time.process_time() < 0.5:
    pass
print(flush=True)
time.sleep(60)
"""
_PARENT = f"import subprocess, sys; sys.exit(subprocess.run([sys.executable, '-c', {_CHILD!r}]).returncode)"


@pytest.fixture
def parent() -> Iterator[int]:
    command = [sys.executable, "-c", _PARENT]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout
        process.stdout.readline()
        yield process.pid
        os.killpg(process.pid, 9)


def test_the_family_is_the_process_and_its_children(parent: int) -> None:
    assert family(parent)[0] == parent
    assert len(family(parent)) == 2


def test_what_children_cost_counts(parent: int) -> None:
    assert 0.4 < cpu_seconds(parent) < 5
    assert resident_mb(parent) - resident_mb(parent, alone=True) > 50


def test_a_process_that_is_gone_costs_nothing() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    time.sleep(0.05)
    assert (cpu_seconds(process.pid), resident_mb(process.pid)) == (0, 0)
