import csv
import io
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from threading import get_ident
from typing import Any, ClassVar, SupportsIndex
from urllib.parse import urlencode

import pytest
import pytest_asyncio

from gateway.api import usage
from gateway.store.contract import Store
from gateway.store.entries import Usages
from tests.gateway.api.operating import ACCESS, BEARER, HERE, app_of
from tests.gateway.asgi import Call
from tests.gateway.reporting.ledgers import DAY_S, DAYS, START, TEAMS, day_of, entries, fill, lapsed, opened

ENTRIES = [*entries(1000), *lapsed(3)]
DATES = {"from": "2026-11-01", "to": "2026-11-20"}


@pytest_asyncio.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with opened(tmp_path) as store:
        await fill(store, ENTRIES)
        yield store


async def get(store: Store, path: str, *headers: tuple[bytes, bytes], **query: str) -> Call:
    app = app_of(usage.routes(store, ACCESS, lambda: START + DAYS * DAY_S))
    return await Call("GET", f"{path}?{urlencode(query)}", b"", HERE, *headers).to(app)


async def sums(store: Store, **query: str) -> Any:
    reply = await get(store, "/admin/v1/usage", BEARER, **query)
    assert reply.status == 200
    return reply.json()


async def test_sums_by_groups_and_over_all(store: Store) -> None:
    found = await sums(store, group_by="team,model,day", **DATES)
    assert (found["from"], found["to"]) == ("2026-11-01T00:00:00.000Z", "2026-11-21T00:00:00.000Z")
    assert found["group_by"] == ["team", "model", "day"]
    expected = sorted({(entry.team, entry.model, day_of(entry)) for entry in ENTRIES})
    assert [tuple(row["group"].values()) for row in found["rows"]] == expected
    assert found["total"]["requests"] == sum(row["requests"] for row in found["rows"]) == len(ENTRIES)
    costs = [Decimal(row["cost_usd"]) for row in found["rows"] if row["cost_usd"] is not None]
    assert Decimal(found["total"]["cost_usd"]) == sum(costs)
    assert Decimal(found["total"]["cost_usd"]) * 10**9 == sum(entry.cost_nano or 0 for entry in ENTRIES)


async def test_what_windows_in_shadow_would_have_saved_is_there_apart(store: Store) -> None:
    found = (await sums(store, **DATES))["total"]
    shadowed = [entry for entry in ENTRIES if entry.tokens_window is not None]
    assert found["shadowed"] == len(shadowed) > 0
    assert found["tokens_would_save"] == found["tokens_shadowed"] - sum(entry.tokens_window or 0 for entry in shadowed)
    assert found["would_save_share"] == round(found["tokens_would_save"] / found["tokens_shadowed"], 4)
    assert Decimal(found["would_save_usd"]) * 10**9 == sum(entry.would_save_nano or 0 for entry in shadowed)
    assert Decimal(found["saved_usd"]) * 10**9 == sum(entry.saved_nano or 0 for entry in ENTRIES)
    reply = await get(store, "/admin/v1/usage", BEARER, format="csv", **DATES)
    (line,) = csv.DictReader(io.StringIO(reply.body.decode()))
    assert (line["shadowed"], line["would_save_usd"]) == (str(found["shadowed"]), found["would_save_usd"])


async def test_without_groups_the_total_alone_of_the_last_30_days(store: Store) -> None:
    found = await sums(store)
    assert (found["group_by"], len(found["rows"])) == ([], 1)
    assert found["rows"][0] == {"group": {}, **found["total"]}
    assert found["total"]["input"] == sum(entry.input for entry in ENTRIES)


async def test_a_team_and_a_day(store: Store) -> None:
    found = await sums(store, team=TEAMS[0], **{"from": "2026-11-03", "to": "2026-11-03"})
    own = [entry for entry in ENTRIES if entry.team == TEAMS[0] and day_of(entry) == "2026-11-03"]
    assert found["team"] == TEAMS[0]
    assert found["total"]["requests"] == len(own) > 0
    assert (await sums(store, team="nobody"))["rows"] == []


async def test_csv_is_the_same_as_a_file(store: Store) -> None:
    reply = await get(store, "/admin/v1/usage", BEARER, group_by="team,model", format="csv", **DATES)
    assert reply.header(b"content-type") == "text/csv; charset=utf-8"
    assert reply.header(b"content-disposition") == 'attachment; filename="usage-2026-11-01-2026-11-20.csv"'
    lines = list(csv.DictReader(io.StringIO(reply.body.decode())))
    rows = (await sums(store, group_by="team,model", **DATES))["rows"]
    assert [line["cost_usd"] for line in lines] == [row["cost_usd"] or "" for row in rows]
    assert [int(line["requests"]) for line in lines] == [row["requests"] for row in rows]


async def test_of_many_groups_the_dearest_have_rows_and_the_others_one_sum(store: Store) -> None:
    every = await sums(store, group_by="user", **DATES)
    found = await sums(store, group_by="user", top="3", **DATES)
    dearest = sorted(every["rows"], key=lambda row: Decimal(row["cost_usd"]))[-3:]
    assert found["rows"] == sorted(dearest, key=lambda row: str(row["group"]["user"]))
    assert (every["others"], every["rest"], found["others"]) == (0, None, len(every["rows"]) - 3)
    assert found["total"] == every["total"]
    for name in ("requests", "input", "unpriced"):
        assert sum(row[name] for row in found["rows"]) + found["rest"][name] == every["total"][name]


class Watched(str):
    """A name that notes in which threads it is grouped and written."""

    threads: ClassVar[list[int]] = []

    def __hash__(self) -> int:
        self.threads.append(get_ident())
        return super().__hash__()

    def __getitem__(self, key: SupportsIndex | slice) -> str:
        self.threads.append(get_ident())
        return super().__getitem__(key)


@pytest.mark.parametrize("shape", ["json", "csv"])
async def test_sums_are_made_and_written_while_the_loop_serves_requests(
    store: Store, shape: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def read(*_: object) -> tuple[Usages, ...]:
        return (Usages((Watched("acme"), "settled"), requests=1),)

    monkeypatch.setattr(store, "usage", read)
    Watched.threads.clear()
    assert b"acme" in (await get(store, "/admin/v1/usage", BEARER, group_by="team", format=shape)).body
    assert Watched.threads
    assert get_ident() not in Watched.threads


@pytest.mark.parametrize(
    "query, param, said",
    [
        ({"group_by": "team,colour"}, "group_by", "group_by: 'colour': expected some of team, key,"),
        ({"from": "yesterday"}, "from", "from: 'yesterday': expected a date such as"),
        ({"to": "2026-11-24T15:00"}, "to", "to: '2026-11-24T15:00': a time needs a zone"),
        ({"from": "1h", "to": "2h"}, "from", "from: the time ends before it begins"),
        ({"format": "xml"}, "format", "format: 'xml': expected json or csv"),
        ({"format": "csv", "top": "5"}, "top", "top: expected it with JSON alone"),
        ({"top": "0"}, "top", "top: "),
    ],
)
async def test_what_makes_no_sense_is_said_of_its_parameter(
    store: Store, query: dict[str, str], param: str, said: str
) -> None:
    reply = await get(store, "/admin/v1/usage", BEARER, **query)
    error = reply.json()["error"]
    assert (reply.status, error["type"], error["param"]) == (400, "invalid_request_error", param)
    assert error["message"].startswith(said)


async def test_what_nobody_settled_is_listed_oldest_first(store: Store) -> None:
    found = (await get(store, "/admin/v1/unsettled", BEARER)).json()["data"]
    assert [entry["id"] for entry in found] == ["lost-0", "lost-1", "lost-2"]
    assert found[0] == {
        "id": "lost-0",
        "time": "2026-11-01T00:00:01Z",
        "team": "acme",
        "key": "",
        "user": "user 1",
        "model": "gpt-4o-mini",
        "upstream": "main",
        "route": "chat",
        "input": 5000,
        "output": 300,
        "cost_usd": "0.010000000",
    }
    assert (await get(store, "/admin/v1/unsettled", BEARER, team=TEAMS[1])).json() == {"data": []}


@pytest.mark.parametrize("path", ["/admin/v1/usage", "/admin/v1/unsettled"])
@pytest.mark.parametrize("headers", [(), ((b"authorization", b"Bearer another-token-of-some-length"),)])
async def test_nobody_else_gets_in(store: Store, path: str, headers: tuple[tuple[bytes, bytes], ...]) -> None:
    assert (await get(store, path, *headers)).status == 401


async def test_the_description_tells_what_the_reply_holds(store: Store) -> None:
    described = (await get(store, "/admin/openapi.json")).json()
    get_usage = described["paths"]["/admin/v1/usage"]["get"]
    assert [one["name"] for one in get_usage["parameters"]] == ["group_by", "from", "to", "team", "format", "top"]
    assert set(get_usage["responses"]["200"]["content"]) == {"application/json", "text/csv"}
    row = described["components"]["schemas"]["UsageRow"]["properties"]
    assert set(row) == set((await sums(store, group_by="team"))["rows"][0])
    usage.UsageReply.model_validate(await sums(store, group_by="team,day"))
