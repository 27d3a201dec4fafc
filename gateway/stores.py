"""The store that the settings name: Redis or Valkey where there is a URL, else SQLite."""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from gateway.config import Settings
from gateway.store.contract import OnChange, Store

_FILE = "gateway.db"


def store_of(settings: Settings, config: Path | None, on_change: OnChange | None = None) -> Store:
    """Return the store, not opened yet.

    `config` is the configuration's file, beside which SQLite's is put; `on_change` is told when it can't
    be used any more, and when it can again.
    """
    # Each is imported where it is used: the other one's libraries are not loaded.
    if settings.redis is not None:
        from gateway.store.redis import RedisStore  # noqa: PLC0415

        return RedisStore(settings.redis.url.get_secret_value(), settings.redis.timeout_ms, on_change=on_change)
    from gateway.store.sqlite import SqliteStore  # noqa: PLC0415

    return SqliteStore(settings.store.path or default_path(config), settings.store.durability, on_change)


def default_path(config: Path | None) -> Path:
    """Return where SQLite's file is put: beside the configuration, or where the user's programs keep their state.

    Where that cannot be written, as in a container without a home, among the temporary files: without a configuration
    a gateway shall serve wherever it is started.
    """
    if config is not None:
        return config.resolve().parent / _FILE
    state = os.environ.get("XDG_STATE_HOME")
    home = Path(state) if state else Path.home() / ".local" / "state"
    place = home if _can_be_written(home) else Path(tempfile.gettempdir())
    return place / "context-gateway" / _FILE


def _can_be_written(folder: Path) -> bool:
    """Whether files can be made there, or the folder itself in the first one above that exists."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    return os.access(there, os.W_OK | os.X_OK)


@asynccontextmanager
async def opened(settings: Settings, config: Path | None) -> AsyncIterator[Store]:
    """Open the store for the block."""
    store = store_of(settings, config)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


def check(settings: Settings, config: Path | None) -> None:
    """See that SQLite's file can be used, before anything is served; a Redis may come later.

    Raises:
        StoreUnavailableError: it can't; the message says why in one line.
    """
    if settings.redis is None:
        asyncio.run(_open_once(settings, config))


async def _open_once(settings: Settings, config: Path | None) -> None:
    async with opened(settings, config):
        pass
