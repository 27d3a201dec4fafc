import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.peers_install import PeerUnavailableError, Process, drive

REQUESTS: list[dict[str, Any]] = [{"messages": []}, {"messages": []}]


def speaking(script: str, folder: Path) -> Process:
    return Process((sys.executable, "-c", script), folder, {})


def test_answers_come_back_in_order(tmp_path: Path) -> None:
    script = """
import sys
print('{"version": "1"}')
for n, line in enumerate(sys.stdin):
    print('{"ms": %d}' % n)
"""
    found = drive(speaking(script, tmp_path), REQUESTS, 30)
    assert (found.version, found.answers, found.stopped) == ("1", ({"ms": 0}, {"ms": 1}), "")


def test_a_process_that_dies_leaves_its_answers_and_the_reason(tmp_path: Path) -> None:
    script = """
import sys
print('{"version": "1"}')
print('{"ms": 0}')
print('{"m', end="", flush=True)
sys.exit("out of luck")
"""
    found = drive(speaking(script, tmp_path), REQUESTS, 30)
    assert found.answers == ({"ms": 0},)
    assert found.stopped == "ended with status 1: out of luck"


def test_a_process_that_hangs_is_stopped(tmp_path: Path) -> None:
    script = """
import time
print('{"version": "1"}', flush=True)
time.sleep(60)
"""
    found = drive(speaking(script, tmp_path), REQUESTS, 2)
    assert (found.answers, found.stopped) == ((), "stopped after 2 s")


def test_a_process_that_never_answers_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(PeerUnavailableError, match=r"ended with status 1: .*no_such_peer"):
        drive(speaking("import no_such_peer", tmp_path), REQUESTS, 30)


def test_an_interpreter_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(PeerUnavailableError, match="not started: FileNotFoundError"):
        drive(Process((str(tmp_path / "python"),), tmp_path, {}), REQUESTS, 30)
