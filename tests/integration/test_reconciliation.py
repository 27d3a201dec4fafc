"""The ledger adds up to the upstream's own bills, to the token, over mixed requests of all counted routes."""

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import pytest

from benchmarks.processes import free_port, running
from tests.integration.client import MODEL, eventually
from tests.integration.conftest import Gateway, serve_command
from tests.upstreams import Upstream

CONFIG = """
upstreams: {{main: {{base_url: "{upstream}"}}}}
windowing: {{mode: "off"}}
admin: {{token: the-admin-of-these-tests}}
teams:
  first: {{keys: [sk-first-0123456789], budget: [{{usd: 1000, period: month}}, {{tokens: 1000000000, period: day}}]}}
  second: {{keys: [sk-second-0123456789], limits: {{tokens_per_minute: 1000000000}}}}
"""
EMBEDDER = "text-embedding-3-small"
CLIENTS = 16


@pytest.fixture
def ledger(running_upstream: Upstream, tmp_path: Path) -> Iterator[Gateway]:
    file = tmp_path / "gateway.yaml"
    file.write_text(CONFIG.format(upstream=running_upstream.url))
    port = free_port()
    with running(serve_command(file, port), port, "/healthz") as server:
        yield Gateway(server)


def request_of(dice: random.Random) -> tuple[str, dict[str, Any]]:
    """Return a path and a body: of any counted route, streamed or not, some of them errors."""
    text = "word " * dice.randint(1, 60)
    stream = dice.random() < 0.5
    more = {"stream": stream, **({"prompt_cache_key": "k"} if dice.random() < 0.3 else {})}
    path, body = dice.choice(
        (
            ("/chat/completions", {"model": MODEL, "messages": [{"role": "user", "content": text}], **more}),
            ("/completions", {"model": "gpt-3.5-turbo-instruct", "prompt": text, **more}),
            ("/responses", {"model": MODEL, "input": text, **more}),
            ("/embeddings", {"model": EMBEDDER, "input": text}),
        )
    )
    return path, body


async def replay(url: str, requests: int) -> Counter[int]:
    """Send them all; return how often each status came."""
    statuses, numbers = Counter[int](), iter(range(requests))

    async def client(session: aiohttp.ClientSession) -> None:
        for number in numbers:
            dice = random.Random(number)
            path, body = request_of(dice)
            headers = {"Authorization": f"Bearer sk-{dice.choice(('first', 'second'))}-0123456789"}
            if dice.random() < 0.05:
                headers["x-behaviour"] = "error-500"
            async with session.post(url + path, json=body, headers=headers) as reply:
                await reply.read()
                statuses[reply.status] += 1

    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(client(session) for _ in range(CLIENTS)))
    return statuses


def usage(ledger: Gateway, *groups: str) -> list[dict[str, Any]]:
    reply = httpx.get(
        f"{ledger.root}/admin/v1/usage",
        params={"group_by": ",".join(groups)},
        headers={"Authorization": "Bearer the-admin-of-these-tests"},
    )
    rows: list[dict[str, Any]] = reply.json()["rows"]
    return rows


def reconcile(ledger: Gateway, upstream: Upstream, requests: int) -> None:
    upstream.clear()
    statuses = asyncio.run(replay(ledger.url, requests))
    assert eventually(lambda: sum(row["requests"] for row in usage(ledger, "team")) == requests)
    bills = upstream.wait_bills(statuses[200])
    assert len(bills) == statuses[200]
    billed = Counter[tuple[str, str]]()
    for bill in bills:
        for name in ("input", "cached", "cache_written", "output", "reasoning"):
            billed[bill.model, name] += getattr(bill, name)
    found = Counter[tuple[str, str]]()
    for row in usage(ledger, "model", "state", "day"):
        assert row["group"]["state"] in {"settled", "free"}
        for name in ("input", "cached", "cache_written", "output", "reasoning"):
            found[row["group"]["model"], name] += row[name]
    assert found == billed
    assert sum(row["requests"] for row in usage(ledger, "status") if row["group"]["status"] == "200") == statuses[200]
    assert set(statuses) <= {200, 500}


def test_mixed_requests_add_up_to_the_upstreams_bills(ledger: Gateway, upstream: Upstream) -> None:
    reconcile(ledger, upstream, 400)


@pytest.mark.slow
def test_ten_thousand_requests_add_up_to_the_upstreams_bills(ledger: Gateway, upstream: Upstream) -> None:
    reconcile(ledger, upstream, 10_000)
