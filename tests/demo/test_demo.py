import subprocess
import sys

import pytest

from benchmarks.processes import ROOT


@pytest.mark.slow
def test_the_demo_runs_to_its_end() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "demo"], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "LOST" not in done.stdout
    assert "How to go on" in done.stdout
