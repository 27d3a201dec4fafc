import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import pytest_asyncio

from gateway.api import requests
from gateway.store.contract import Settlement, Store
from gateway.store.entries import Entry
from gateway.store.receipts import Receipt, Span, SpanKind
from gateway.trace import new_id
from tests.gateway.api.operating import ACCESS, BEARER, HERE, READER, app_of
from tests.gateway.asgi import Call
from tests.gateway.reporting.ledgers import DAY_S, DAYS, START, TEAMS, entries, fill, lapsed, opened

ENTRIES = [*entries(1000), *lapsed(3)]
NEWEST = sorted(ENTRIES, key=lambda entry: (entry.time, entry.team, entry.id), reverse=True)


@pytest_asyncio.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with opened(tmp_path) as store:
        await fill(store, ENTRIES)
        yield store


async def get(store: Store, path: str, *headers: tuple[bytes, bytes], **query: str) -> Call:
    app = app_of(requests.routes(store, ACCESS, lambda: START + DAYS * DAY_S))
    return await Call("GET", f"/admin/v1/requests{path}?{urlencode(query)}", b"", HERE, *(headers or (BEARER,))).to(app)


async def page(store: Store, **query: str) -> Any:
    reply = await get(store, "", **query)
    assert reply.status == 200, reply.body
    return reply.json()


async def test_the_latest_come_first_and_pages_follow_one_another(store: Store) -> None:
    found: list[str] = []
    cursor: dict[str, str] = {}
    while cursor is not None:
        reply = await page(store, limit="300", **cursor)
        found += [entry["id"] for entry in reply["data"]]
        assert len(reply["data"]) <= 300
        cursor = {"before": reply["next"]} if reply["next"] else None  # type: ignore[assignment]
    assert found == [entry.id for entry in NEWEST]
    assert len((await page(store))["data"]) == 50


async def test_an_entry_is_shown_with_all_that_the_ledger_has_and_money_as_text(store: Store) -> None:
    shown, entry = (await page(store, q="req-7", limit="500"))["data"][0], None
    entry = next(made for made in ENTRIES if made.id == shown["id"])
    assert set(shown) == {
        f"{name.removesuffix('_nano')}_usd" if name.endswith("_nano") else name for name in Entry.__struct_fields__
    }
    assert shown["time"].endswith("Z")
    assert (shown["cost_usd"] is None) == (entry.cost_nano is None)
    for made in (await page(store, limit="200"))["data"]:
        known = next(own for own in ENTRIES if own.id == made["id"])
        assert (None if made["cost_usd"] is None else round(float(made["cost_usd"]) * 1e9)) == known.cost_nano
        assert (made["user"], made["status"], made["state"]) == (known.user, known.status, known.state)


@pytest.mark.parametrize(
    "query, wanted",
    [
        ({"team": TEAMS[2]}, lambda entry: entry.team == TEAMS[2]),
        ({"model": "o3", "user": "user 3"}, lambda entry: entry.model == "o3" and entry.user == "user 3"),
        ({"status": "429"}, lambda entry: entry.status == 429),
        ({"status": "5xx"}, lambda entry: entry.status >= 500),
        ({"status": "4xx", "team": "acme"}, lambda entry: 400 <= entry.status < 500 and entry.team == "acme"),
        ({"state": "unsettled"}, lambda entry: entry.id.startswith("lost")),
        ({"decision": "applied"}, lambda entry: entry.decision == "applied"),
        ({"key": "key_2"}, lambda entry: entry.key == "key_2"),
        ({"reason": ""}, lambda entry: entry.reason == ""),
        ({"q": "lost-"}, lambda entry: entry.id.startswith("lost-")),
        ({"q": "SER 6"}, lambda entry: entry.user == "user 6"),
        ({"q": "evil.example"}, lambda entry: "evil" in entry.model),
        ({"from": "2026-11-03", "to": "2026-11-03"}, lambda entry: START + 2 * DAY_S <= entry.time < START + 3 * DAY_S),
    ],
)
async def test_filters_combine(store: Store, query: dict[str, str], wanted: Any) -> None:
    found = await page(store, limit="500", **query)
    assert [entry["id"] for entry in found["data"]] == [entry.id for entry in NEWEST if wanted(entry)][:500]


@pytest.mark.parametrize(
    "query, param",
    [
        ({"status": "ok"}, "status"),
        ({"status": "600"}, "status"),
        ({"status": "4xxx"}, "status"),
        ({"status": "4٢٩"}, "status"),
        ({"q": "x" * 1001}, "q"),
        ({"user": "x" * 1001}, "user"),
        ({"before": "W" * 4001}, "before"),
        ({"from": "yesterday"}, "from"),
        ({"from": "1h", "to": "2h"}, "from"),
        ({"before": "%%%"}, "before"),
        ({"before": "WzEsMl0"}, "before"),
        ({"before": "ü"}, "before"),
        ({"limit": "0"}, "limit"),
        ({"limit": "501"}, "limit"),
        ({"state": "maybe"}, "state"),
    ],
)
async def test_what_makes_no_sense_is_said_of_its_parameter(store: Store, query: dict[str, str], param: str) -> None:
    reply = await get(store, "", **query)
    assert (reply.status, reply.json()["error"]["param"]) == (400, param)


async def test_one_request_with_its_receipt(store: Store) -> None:
    receipt = Receipt(
        id="req-5",
        team=next(entry.team for entry in ENTRIES if entry.id == "req-5"),
        time=START,
        question="Why?",
        spans=(Span(SpanKind.CHUNK, 60, 0.25, True), Span(SpanKind.GAP, 9, None, False)),
        stages=(("receive", 0.5),),
        forwarded_body="{}",
        attempts=("main: answered",),
        confidence=0.75,
        overhead_ms=3.5,
    )
    await store.keep([receipt], 10)
    found = (await get(store, "/req-5", READER)).json()
    assert found["entry"]["id"] == "req-5"
    assert found["receipt"] == {
        "question": "Why?",
        "spans": [
            {"kind": "chunk", "tokens": 60, "score": 0.25, "kept": True},
            {"kind": "gap", "tokens": 9, "score": None, "kept": False},
        ],
        "stages": [{"name": "receive", "ms": 0.5}],
        "forwarded_body": "{}",
        "model_served": "",
        "attempts": ["main: answered"],
        "confidence": 0.75,
        "overhead_ms": 3.5,
    }
    assert (await get(store, "/req-6")).json()["receipt"] is None


async def test_a_request_is_found_by_the_time_its_id_says_and_also_where_that_is_wrong(store: Store) -> None:
    now = time.time()
    right, wrong = new_id(int(now * 1e9)), new_id(int(now * 1e9) - 10**15)
    for id_ in (right, wrong):
        await store.settle(Settlement(id_, "acme", (), Entry(id=id_, time=now, team="acme")))
        assert (await get(store, f"/{id_}")).json()["entry"]["id"] == id_


@pytest.mark.parametrize("id_", ["req-none", "req-" + "0" * 32, "req-" + "f" * 32, "%00"])
async def test_an_unknown_one_is_not_found(store: Store, id_: str) -> None:
    reply = await get(store, f"/{id_}")
    assert (reply.status, reply.json()["error"]["code"]) == (404, "not_found")


@pytest.mark.parametrize("path", ["", "/req-5"])
async def test_nobody_else_gets_in(store: Store, path: str) -> None:
    assert (await get(store, path, (b"x-none", b""))).status == 401


async def test_the_description_tells_what_the_reply_holds(store: Store) -> None:
    app = app_of(requests.routes(store, ACCESS))
    described = (await Call("GET", "/admin/openapi.json", b"", HERE).to(app)).json()
    names = {one["name"] for one in described["paths"]["/admin/v1/requests"]["get"]["parameters"]}
    assert names == {
        *("from", "to", "team", "key", "user", "model", "reason", "decision", "state", "status", "q"),
        *("limit", "before"),
    }
    assert set(described["components"]["schemas"]["RequestEntry"]["properties"]) == set((await page(store))["data"][0])
