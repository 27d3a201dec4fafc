import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from gateway.accounts import Accounts
from gateway.api import upstreams
from gateway.config import Settings
from gateway.metrics import Metrics
from gateway.record import RequestRecord
from gateway.serving import Serving, serving, upstreams_of
from gateway.store.contract import Settlement
from gateway.store.entries import Entry
from gateway.traffic import Traffic
from gateway.windowing.pool import WindowPool
from tests.gateway.api.operating import ACCESS, HERE, READER, app_of
from tests.gateway.asgi import Call
from tests.gateway.records import RECORD

SETTINGS: dict[str, Any] = {
    "upstreams": {
        "main": {"base_url": "https://api.openai.com/v1", "api_key": "sk-secret"},
        "other": {"base_url": "http://127.0.0.1:9/v1", "weight": 2, "breaker_failures": 1},
    },
    "models": {
        "gpt-4o": {"upstreams": ["main", "other"], "fallbacks": [{"model": "gpt-4o-mini"}, {"upstream": "other"}]},
        "own": {"upstream": "other", "price": {"input": 1.5, "output": 2, "cached_input": 0.15}},
        "*": {"upstream": "other"},
    },
}


class Office:
    """An operator before the API of what a process serves with."""

    def __init__(self, accounts: Accounts, now: Serving) -> None:
        self.store, self.now, self.traffic = accounts.store, now, Traffic()
        self.app = app_of(upstreams.routes(lambda: self.now, self.traffic, self.store, ACCESS))

    async def get(self, path: str) -> Any:
        reply = await Call("GET", f"/admin/v1{path}", b"", HERE, READER).to(self.app)
        assert reply.status == 200, reply.body
        assert b"secret" not in reply.body
        return {row["name"]: row for row in reply.json()["data"]}

    async def used(self, model: str, times: int, age_s: float = 60.0) -> None:
        for number in range(times):
            entry = Entry(id=f"{model}-{number}", time=time.time() - age_s, team="acme", model=model)
            await self.store.settle(Settlement(entry.id, "acme", (), entry))


@asynccontextmanager
async def office(folder: Path) -> AsyncIterator[Office]:
    settings = Settings.model_validate({**SETTINGS, "store": {"path": folder / "gateway.db"}})
    accounts = Accounts(settings, None, Metrics())
    seen: list[RequestRecord] = []
    async with accounts.running():
        windows = WindowPool(1, 1, "never loaded", None)
        yield Office(accounts, serving(settings, upstreams_of(settings, {}), accounts, windows, seen.append))


async def test_upstreams_as_they_do(tmp_path: Path) -> None:
    async with office(tmp_path) as own:
        own.traffic([RECORD] * 3)
        own.now.attempts.breakers["other"].failed(probe=False, reached=False)
        found = await own.get("/upstreams")
    assert list(found) == ["main", "other"]
    main, other = found["main"], found["other"]
    assert (main["base_url"], main["health"], main["answered"]) == ("https://api.openai.com/v1", "closed", 3)
    assert (other["base_url"], other["health"], other["weight"]) == ("http://127.0.0.1:9/v1", "open", 2)
    counts = ("answered", "failed", "rate_limited", "too_long", "not_connected", "broken", "timed_out", "busy")
    assert [other[name] for name in counts] == [0] * len(counts)
    assert other["head_ms"] == {"p50": None, "p95": None}


async def test_models_of_the_configuration_with_their_prices(tmp_path: Path) -> None:
    async with office(tmp_path) as own:
        found = await own.get("/models")
    assert list(found) == ["gpt-4o", "own", "*"]
    listed, priced, others = found.values()
    assert (listed["upstreams"], listed["fallbacks"]) == (["main", "other"], ["main: gpt-4o-mini", "other"])
    assert (listed["price_source"], listed["canonical"]) == ("list", "gpt-4o")
    assert 0 < listed["price"]["cached_input"] < listed["price"]["input"] < listed["price"]["output"]
    assert priced["price"] == {"input": 1.5, "output": 2.0, "cached_input": 0.15, "cache_write": 1.5}
    assert priced["price_source"] == "configuration"
    assert (others["price"], others["price_source"], others["canonical"]) == (None, None, None)


async def test_then_come_those_that_were_used_most_this_week(tmp_path: Path) -> None:
    async with office(tmp_path) as own:
        await own.used("gpt-4o-mini-2024-07-18", 2)
        await own.used("gpt-4o", 3)
        await own.used("unheard-of", 5)
        await own.used("long-ago", 9, age_s=8 * 86_400)
        for number in range(30):
            await own.used(f"seldom-{number:02}", 1)
        found = await own.get("/models")
    assert list(found)[:5] == ["gpt-4o", "own", "*", "unheard-of", "gpt-4o-mini-2024-07-18"]
    assert len(found) == 3 + 19  # of the twenty one is in the configuration
    assert found["unheard-of"]["upstreams"] == ["other"]
    assert found["gpt-4o-mini-2024-07-18"]["canonical"] == "gpt-4o-mini"


async def test_nobody_else_gets_in(tmp_path: Path) -> None:
    async with office(tmp_path) as own:
        for path in ("/upstreams", "/models"):
            assert (await Call("GET", f"/admin/v1{path}", b"", HERE).to(own.app)).status == 401
