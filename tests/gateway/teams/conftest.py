"""The store that teams and keys are in."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from tests.gateway.teams.rosters import UnsteadyStore, unsteady_store


@pytest_asyncio.fixture
async def store(tmp_path: Path) -> AsyncIterator[UnsteadyStore]:
    """An empty store."""
    async with unsteady_store(tmp_path) as opened:
        yield opened
