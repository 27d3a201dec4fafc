"""Shared by all tests: where the evaluation cases lie, and hypothesis' profile."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

SHARED = Path(__file__).parents[2] / "shared"

settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("default")


@pytest.fixture(scope="session")
def shared_eval() -> Path:
    """The evaluation cases' directory; skips where the machine has none."""
    folder = SHARED / "eval"
    if not (folder / "score.py").exists():
        pytest.skip(f"no evaluation cases at {folder}")
    return folder
