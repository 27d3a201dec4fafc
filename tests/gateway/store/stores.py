"""The stores that the contract's tests hold to it: by name, how one that is empty and open is made in a folder."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from uuid import uuid4

from gateway.store.contract import Store
from gateway.store.redis import RedisStore
from gateway.store.sqlite import SqliteStore
from tests.gateway.store.servers import shared_url


@asynccontextmanager
async def sqlite(folder: Path) -> AsyncIterator[Store]:
    store = SqliteStore(folder / "gateway.db", "process")
    await store.open()
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def redis(_folder: Path) -> AsyncIterator[Store]:
    """Open one under a prefix of its own; how long it waits is not what these tests are about."""
    store = RedisStore(shared_url(), timeout_ms=5000, prefix=f"test-{uuid4().hex}")
    await store.open()
    try:
        yield store
    finally:
        await store.close()


STORES: Mapping[str, Callable[[Path], AbstractAsyncContextManager[Store]]] = {
    "sqlite": sqlite,
    "redis": redis,
}
