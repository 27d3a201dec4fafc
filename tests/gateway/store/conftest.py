"""Every test that asks for `store` runs on each."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.store.contract import Store
from tests.gateway.store.stores import STORES


@pytest.fixture(params=list(STORES))
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    async with STORES[request.param](tmp_path) as opened:
        yield opened
