"""Shared by all tests: an upstream, where the evaluation cases lie, and hypothesis' profile."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.upstreams import Upstream

SHARED = Path(__file__).parents[2] / "shared"

settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("default")


@pytest.fixture(scope="session", autouse=True)
def state_home(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep what gateways without a configuration remember out of the user's own folder."""
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state"))


@pytest.fixture(scope="session")
def shared_eval() -> Path:
    """The evaluation cases' directory; skips where the machine has none."""
    folder = SHARED / "eval"
    if not (folder / "score.py").exists():
        pytest.skip(f"no evaluation cases at {folder}")
    return folder


@pytest.fixture(scope="session")
def running_upstream() -> Iterator[Upstream]:
    with Upstream() as upstream:
        yield upstream


@pytest.fixture
def upstream(running_upstream: Upstream) -> Upstream:
    """The upstream, with an empty record."""
    running_upstream.clear()
    return running_upstream
