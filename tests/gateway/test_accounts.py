import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.accounts import Accounts
from gateway.config import Settings
from gateway.metrics import Metrics
from gateway.pricing import PriceBook
from gateway.store.contract import Hold, Reservation, StoreUnavailableError
from gateway.store.entries import Entry, Span, State
from gateway.store.sqlite import SqliteStore
from gateway.upstreams.candidates import Candidates
from tests.gateway.asgi import JSON, Call
from tests.gateway.pipelines import Recorded, pipeline
from tests.gateway.store import servers
from tests.gateway.store.cases import full_disk
from tests.integration.client import chat_body
from tests.upstreams import Upstream

KEY = "sk-acme-01234567"
ACME = {"keys": [KEY], "budget": {"tokens": 10_000, "period": "total", "soft": [1]}}
EVER = Span(0.0, 1e12)


def accounts(folder: Path, **fields: Any) -> tuple[Accounts, Metrics]:
    url, metrics = "http://127.0.0.1:1/v1", Metrics()
    found = Settings.model_validate({"upstreams": {"main": {"base_url": url}}, "teams": {"acme": ACME}, **fields})
    made = Accounts(found, folder / "gateway.yaml", metrics)
    made.configured(found, Candidates(found), {"main": PriceBook(url)})
    return made, metrics


def counted(metrics: Metrics, name: str) -> float:
    """Return the metric's sum over all labels."""
    lines = re.findall(rf"^context_gateway_{name}(?:{{.*}})? (\S+)$", metrics.exposition().decode(), re.MULTILINE)
    return sum(map(float, lines))


async def chat(line: Recorded) -> None:
    call = Call(
        "POST", "/v1/chat/completions", chat_body(max_tokens=16), JSON, (b"authorization", f"Bearer {KEY}".encode())
    )
    assert (await call.by(line.pipeline.chat)).status == 200


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - a process of its own tells nobody
            await asyncio.sleep(0.02)


async def test_the_store_is_open_while_it_runs_and_no_longer(tmp_path: Path) -> None:
    tasks = asyncio.all_tasks()
    own, _ = accounts(tmp_path)
    async with own.running():
        assert await own.store.unsettled() == ()
        assert (tmp_path / "gateway.db").is_file()
        assert own.roster.keyring.complete, "the store's teams are known before anybody is served"
    with pytest.raises(StoreUnavailableError):
        await own.store.version()
    assert asyncio.all_tasks() == tasks


async def test_a_file_that_cannot_be_used_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "gateway.db").mkdir()
    own, _ = accounts(tmp_path)
    with pytest.raises(StoreUnavailableError, match=r"gateway\.db: unable to open"):
        async with own.running():
            pass


async def test_a_clean_end_settles_what_is_left(upstream: Upstream, tmp_path: Path) -> None:
    file = tmp_path / "state.db"
    fields: dict[str, Any] = {"windowing": {"mode": "off"}, "store": {"path": str(file)}, "teams": {"acme": ACME}}
    async with pipeline(upstream.url, **fields) as line:
        await chat(line)  # and ends at once, sooner than anything is settled
    store = SqliteStore(file, "process")
    await store.open()
    try:
        assert [entry.state async for entry in store.entries(EVER)] == [State.SETTLED]
        assert await store.expire(1e12) == (), "no reservation is left"
    finally:
        await store.close()


async def test_a_soft_limit_that_is_reached_is_logged_and_counted_once(upstream: Upstream) -> None:
    with capture_logs() as logged:
        async with pipeline(upstream.url, windowing={"mode": "off"}, teams={"acme": ACME}) as line:
            for _ in range(12):
                await chat(line)
                await line.accounts.finish()
    found = [entry for entry in logged if entry["event"] == "budget_reached"]
    assert [(entry["team"], entry["percent"]) for entry in found] == [("acme", 1)]
    assert found[0]["detail"] == "1% of the 10,000 tokens in total is spent"
    assert counted(line.accounts._metrics, "budget_reached_total") == 1


async def test_what_a_dead_process_left_is_logged_and_counted(tmp_path: Path) -> None:
    dead = SqliteStore(tmp_path / "gateway.db", "process")
    await dead.open()
    entry = Entry(id="r1", time=100.0, team="acme", state=State.UNSETTLED)
    await dead.reserve(Reservation("r1", "acme", (Hold("budget", 10, 100, 10, None),), 160.0, entry))
    await dead.close()
    own, metrics = accounts(tmp_path)
    with capture_logs() as logged:
        async with own.running():
            await until(lambda: counted(metrics, "unsettled_total") == 1)
            assert [left.id for left in await own.store.unsettled()] == ["r1"]
    assert [(said["count"], said["ids"]) for said in logged if said["event"] == "reservations_expired"] == [(1, ["r1"])]


async def test_a_shared_store_that_goes_away_is_said_and_its_return_too(tmp_path: Path) -> None:
    with servers.running() as server, capture_logs() as logged:
        own, metrics = accounts(tmp_path, redis={"url": server.url, "timeout_ms": 1000})
        async with own.running():
            assert own.roster.keyring.complete
            assert counted(metrics, "store_up") == 1
            server.stop()
            await until(lambda: counted(metrics, "store_up") == 0)
            server.start()
            await until(lambda: counted(metrics, "store_up") == 1)
    said = [(entry["status"], entry.get("detail", "")[:6]) for entry in logged if entry["event"] == "store"]
    assert said == [("away", "Redis:"), ("back", "")]
    assert not (tmp_path / "gateway.db").exists()


async def test_a_file_that_can_not_be_written_is_said_and_its_return_too(tmp_path: Path) -> None:
    with capture_logs() as logged:
        own, metrics = accounts(tmp_path)
        async with own.running():
            await own.store.touch()
            with full_disk(tmp_path / "gateway.db"), pytest.raises(StoreUnavailableError):
                await own.store.touch()
            await until(lambda: counted(metrics, "store_up") == 0)
            await until(lambda: counted(metrics, "store_up") == 1)
    said = [(entry["status"], entry.get("detail")) for entry in logged if entry["event"] == "store"]
    assert [status for status, _ in said] == ["away", "back"]
    assert said[0][1]


async def test_a_shared_store_may_come_later(tmp_path: Path) -> None:
    with servers.running() as server:
        server.stop()
        own, metrics = accounts(tmp_path, redis={"url": server.url, "timeout_ms": 1000})
        async with own.running():
            await until(lambda: counted(metrics, "store_up") == 0)
            assert own.roster.keyring.required, "the configuration's teams are known without it"
            server.start()
            await until(lambda: own.roster.keyring.complete and counted(metrics, "store_up") == 1)


async def test_what_a_store_that_stays_away_could_not_be_told_is_said_at_the_end(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.budgets.settling._PATIENCE_S", 0.2)
    with servers.running() as server, capture_logs() as logged:
        fields: dict[str, Any] = {"windowing": {"mode": "off"}, "redis": {"url": server.url, "timeout_ms": 1000}}
        async with pipeline(upstream.url, **fields, teams={"acme": ACME}) as line:
            await chat(line)
            server.stop()
    assert [entry["count"] for entry in logged if entry["event"] == "settlements_lost"] == [1]
    assert counted(line.accounts._metrics, "settlements_lost_total") == 1
