import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.api import budgets
from gateway.store.contract import Reservation
from gateway.store.entries import State
from gateway.teams.roster import Roster
from tests.gateway.api.operating import ACCESS, BEARER, HERE, app_of
from tests.gateway.asgi import JSON, Call
from tests.gateway.budgets.desks import MODEL, PRICES, Desk, caller, desk, settings

POLICY: dict[str, Any] = {
    "budget": [{"usd": 20, "period": "month"}, {"tokens": 10_000, "period": "total", "per": "user"}],
    "limits": {"concurrent": 4},
}
MODELS: dict[str, Any] = {
    "budget": [{"usd": 1, "period": "total", "models": ["gpt-4o"]}, {"usd": 1, "period": "total", "per": "model"}]
}
ACME = caller(**POLICY)
WORD = {"input": 1000, "output": 200, "cached": 400}


class Office:
    """An operator before the API of a desk's store."""

    def __init__(self, at: Desk, policy: dict[str, Any]) -> None:
        self.at = at
        roster = Roster(settings(teams={"acme": policy, "free": {}, "models": MODELS}), at.store)
        self.app = app_of(budgets.routes(at.store, roster, lambda: PRICES, ACCESS))

    async def get(self, path: str, *headers: tuple[bytes, bytes]) -> Call:
        return await Call("GET", f"/admin/v1{path}", b"", HERE, *(headers or (BEARER,))).to(self.app)

    async def correct(self, identity: str, word: object) -> Call:
        path = f"/admin/v1/unsettled/{identity}"
        return await Call("POST", path, msgspec.json.encode(word), HERE, BEARER, JSON).to(self.app)

    async def lapse(self, identity: str, team: str = "acme", model: str = MODEL) -> None:
        """Let a request that can use 5,000 tokens, for five dollars, be forgotten by its process."""
        application = self.at.application(identity, ACME, 5000)
        holds = tuple(limit.hold(5 * 10**9, 5000) for limit in application.limits)
        entry = msgspec.structs.replace(application.entry, upstream="main", team=team, model=model)
        await self.at.store.reserve(Reservation(identity, team, holds, self.at.clock.now, entry))
        await self.at.store.expire(self.at.clock.now)


@asynccontextmanager
async def office(folder: Path, policy: dict[str, Any] = POLICY) -> AsyncIterator[Office]:
    async with desk(folder) as at:
        at.clock.now = time.time()
        yield Office(at, policy)


async def test_how_far_limits_are_spent(tmp_path: Path) -> None:
    async with office(tmp_path) as own:
        spent = await own.at.admit("r1", ACME, 2000)
        own.at.settle(spent, 2000)
        await own.at.settling.finish()
        ticket = await own.at.admit("r2", ACME, 1000)
        found = (await own.get("/teams/acme/budgets?user=ann")).json()["data"]
    month, total, concurrent = found
    assert month["counter"] == ticket.limits[0].counter
    assert (month["limit"], month["unit"], month["most"]) == ("the $20.00 a month", "usd", 20.0)
    assert (month["spent"], month["reserved"], month["used"]) == (2.0, 1.0, 0.15)
    assert month["begins_anew"].endswith("-01T00:00:00Z")
    assert (total["limit"], total["unit"]) == ("the 10,000 tokens in total of each user", "tokens")
    assert (total["spent"], total["reserved"], total["begins_anew"]) == (2000, 1000, None)
    assert (concurrent["limit"], concurrent["reserved"]) == ("4 requests at the same time", 1)


async def test_of_another_user_nothing_is_spent_and_a_free_team_has_no_limits(tmp_path: Path) -> None:
    async with office(tmp_path) as own:
        await own.at.admit("r1", ACME, 2000)
        month, total, _ = (await own.get("/teams/acme/budgets?user=bob")).json()["data"]
        assert (month["reserved"], total["reserved"]) == (2.0, 0)
        assert (await own.get("/teams/free/budgets")).json() == {"data": []}
        assert (await own.get("/teams/nobody/budgets")).status == 404
        assert (await own.get("/teams/acme/budgets", (b"x-none", b""))).status == 401


@pytest.mark.parametrize("name", [MODEL, "gpt-4o"])
async def test_a_models_own_budget_is_found_by_each_of_its_names(tmp_path: Path, name: str) -> None:
    policy: dict[str, Any] = {"budget": {"usd": 20, "per": "model"}}
    async with office(tmp_path, policy) as own:
        await own.at.admit("r1", caller(**policy), 2000)
        (found,) = (await own.get(f"/teams/acme/budgets?model={name}")).json()["data"]
        (other,) = (await own.get("/teams/acme/budgets?model=gpt-4o-mini")).json()["data"]
    assert (found["reserved"], other["reserved"]) == (2.0, 0)


async def test_an_unsettled_request_is_corrected_once(tmp_path: Path) -> None:
    async with office(tmp_path) as own:
        await own.lapse("r1")
        await own.lapse("r2")
        before = (await own.get("/teams/acme/budgets?user=ann")).json()["data"]
        assert [limit["spent"] for limit in before] == [10.0, 10_000, 0]
        first, again = await own.correct("r1", WORD), await own.correct("r1", WORD)
        after = (await own.get("/teams/acme/budgets?user=ann")).json()["data"]
        ledger = {entry.id: entry for entry in await own.at.ledger()}
    assert (first.status, first.json()) == (200, {"applied": True})
    assert (again.status, again.json()["error"]["code"]) == (404, "not_found")
    nano = ledger["r1"].cost_nano
    assert nano is not None
    assert [limit["spent"] for limit in after] == [5 + nano / 10**9, 6200, 0]
    assert {name: entry.state for name, entry in ledger.items()} == {"r1": State.CORRECTED, "r2": State.UNSETTLED}


async def test_what_is_unknown_or_makes_no_sense_is_refused(tmp_path: Path) -> None:
    async with office(tmp_path) as own:
        await own.lapse("r1")
        assert (await own.correct("r9", WORD)).json()["error"]["message"] == "There is no unsettled request r9."
        for word in (
            {"input": -1, "output": 0},
            {"input": 1},
            {**WORD, "reasoning": 1},
            {**WORD, "cached": 1001},
            {**WORD, "cache_written": 601},
            {**WORD, "cache_written": -1},
            {**WORD, "audio_input": 1001},
            {**WORD, "audio_output": 201},
            {**WORD, "input": 10**12},
            {**WORD, "input": 10**12 - 200},
            {**WORD, "output": 10**16},
            {**WORD, "output": 10**30},
        ):
            refused = await own.correct("r1", word)
            assert (refused.status, refused.json()["error"]["type"]) == (400, "invalid_request_error"), word
        assert [entry.state for entry in await own.at.ledger()] == [State.UNSETTLED]


async def test_each_kind_of_token_is_corrected_at_its_price(tmp_path: Path) -> None:
    async with office(tmp_path) as own:
        await own.lapse("r1", model="gpt-audio")
        await own.lapse("r2", model="claude-sonnet-4-5")
        heard = {"input": 1000, "output": 500, "audio_input": 900, "audio_output": 400}
        assert (await own.correct("r1", heard)).json() == {"applied": True}
        assert (await own.correct("r2", {**WORD, "cache_written": 600})).json() == {"applied": True}
        ledger = {entry.id: entry for entry in await own.at.ledger()}
    assert ledger["r1"].cost_nano == 55_650_000
    assert (ledger["r2"].cached, ledger["r2"].cache_written) == (400, 600)


async def test_a_request_of_a_team_that_was_removed_since_is_corrected(tmp_path: Path) -> None:
    async with office(tmp_path) as own:
        await own.lapse("r1", team="gone")
        assert (await own.correct("r1", WORD)).json() == {"applied": True}
        (entry,) = await own.at.ledger()
    assert (entry.team, entry.state, entry.input) == ("gone", State.CORRECTED, 1000)


async def test_a_budget_for_a_model_is_found_by_each_of_its_names(tmp_path: Path) -> None:
    async with office(tmp_path) as own:
        names = ("gpt-4o", "gpt-4o-2024-08-06")
        found = [(await own.get(f"/teams/models/budgets?model={name}")).json()["data"] for name in names]
    assert found[0] == found[1]
    assert len(found[0]) == 2
