"""The stores that the contract's tests hold to it: by name, how one that is empty and open is made in a folder."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from gateway.store.contract import Store
from gateway.store.sqlite import SqliteStore


@asynccontextmanager
async def sqlite(folder: Path) -> AsyncIterator[Store]:
    store = SqliteStore(folder / "gateway.db", "process")
    await store.open()
    try:
        yield store
    finally:
        await store.close()


STORES: Mapping[str, Callable[[Path], AbstractAsyncContextManager[Store]]] = {
    "sqlite": sqlite,
}
