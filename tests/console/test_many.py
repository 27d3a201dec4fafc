"""A team of thousands of users, one whose costs nobody knows, budgets that last: what the pages say of these."""

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, Request, expect

from benchmarks.processes import Server
from gateway.policies import TeamPolicy
from gateway.store.contract import Change, Kind, Settlement
from gateway.store.entries import Entry, State
from gateway.store.sqlite import SqliteStore
from tests.console.conftest import configured, served
from tests.console.looking import ADMIN, Console
from tests.upstreams import Upstream

USERS = 2100  # more than the console reads by model and user at once
LONG_NAME = "T" * 64
UNPRICED = "nobody-knows-its-price"
POLICY = TeamPolicy.model_validate(
    {
        "budget": [
            {"tokens": 10**12, "period": "total"},
            {"usd": 5, "period": "week", "models": ["gpt-4o", "gpt-4o-mini"]},
            *({"usd": 5, "period": period, "per": per} for period in ("day", "month") for per in ("user", "model")),
        ]
    }
)


def entries(now: float) -> Iterator[Entry]:
    def entry(id_: str, team: str, user: str, model: str, output: int) -> Entry:
        return Entry(
            id=id_,
            time=now - 60,
            team=team,
            key="key_1",
            user=user,
            model=model,
            upstream="main",
            route="chat",
            status=200,
            state=State.SETTLED,
            input=10,
            output=output,
            cost_nano=None if model == UNPRICED else 1000 * output,
            total_ms=5.0,
        )

    for number in range(USERS):
        yield entry(f"req-{number}", "crowd", f"user {number}", "gpt-4o", number)
    yield entry("req-removed", "removed", "", "gpt-4o", 10)
    for team in ("unpriced", LONG_NAME):
        yield entry(f"req-{team}", team, "", UNPRICED, 10)


def write(folder: Path) -> None:
    async def written() -> None:
        store = SqliteStore(folder / "gateway.db", "process")
        await store.open()
        for team, policy in (("crowd", POLICY), ("unpriced", TeamPolicy()), (LONG_NAME, TeamPolicy())):
            kept = policy.model_dump_json(exclude_unset=True).encode()
            await store.change([Change(Kind.TEAM, team, kept)], await store.version())
        await store.settle_all([Settlement(entry.id, entry.team, (), entry) for entry in entries(time.time())])
        await store.close()

    with ThreadPoolExecutor(1) as apart:
        apart.submit(asyncio.run, written()).result()


@pytest.fixture(scope="module")
def many(browser: Browser, running_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("many")
    write(folder)
    with served(folder, configured(running_upstream)) as started:
        yield started


@pytest.fixture
def console(browser: Browser, many: Server) -> Iterator[Console]:
    opened = Console(browser.new_page(viewport={"width": 1280, "height": 900}), many.url)
    opened.enter(ADMIN, "#/upstreams")
    yield opened
    opened.close()


def test_of_thousands_of_users_the_largest_are_read_and_all_are_in_the_sums(console: Console) -> None:
    sizes: list[int] = []

    def sums(request: Request) -> None:
        asked = urlsplit(request.url)
        if asked.path.endswith("/usage") and "user" in parse_qs(asked.query).get("group_by", [""])[0]:
            reply = request.response()
            assert reply is not None
            sizes.append(len(reply.json()["rows"]))

    console.page.on("requestfinished", sums)
    console.go("#/teams/crowd")
    users = console.region("By user, last 30 days")
    expect(users.get_by_role("row", name=f"{USERS - 12:,} others")).to_be_visible()
    expect(users.locator("tfoot tr")).to_contain_text(f"All{USERS:,}")
    expect(console.region("By model, last 30 days").get_by_role("row", name="gpt-4o")).to_contain_text(f"{USERS:,}")
    assert sizes
    assert max(sizes) <= 2000


def test_a_budget_in_total_that_lasts_is_not_said_to_be_untouched(console: Console) -> None:
    console.go("#/teams/crowd")
    limits = console.region("Limits")
    expect(limits).to_contain_text("At the rate of now it lasts for more than ten years.")
    expect(limits).not_to_contain_text("Nothing is being spent now.")


def test_a_team_that_is_no_more_has_what_the_ledger_holds_of_it(console: Console) -> None:
    console.go("#/teams/removed")
    console.says("There is no such team now")
    expect(console.region("By model, last 30 days").get_by_role("row", name="gpt-4o")).to_contain_text("1")
    expect(console.page.get_by_role("link", name="Its requests")).to_have_attribute("href", "#/requests?team=removed")
    console.go("#/teams/never-was")
    console.says("There is no team never-was.")


def test_teams_say_for_which_models_a_budget_is_and_no_cost_that_is_not_known(console: Console) -> None:
    console.go("#/teams")
    expect(console.main).to_contain_text("Sums are this month's, since 20")
    expect(console.page.get_by_role("row", name="crowd")).to_contain_text("$5.00 a week for gpt-4o, gpt-4o-mini")
    assert [cell.inner_text() for cell in console.page.get_by_role("row", name="unpriced").locator("td").all()][
        5:7
    ] == [
        "–",
        "–",
    ]
    assert console.page.get_by_role("row", name="declared").locator("td").nth(5).inner_text() == "$0.00"


@pytest.mark.parametrize(("page", "column"), [("#/teams", "Keys"), ("#/requests", "Cost")])
def test_long_names_and_many_budgets_leave_the_figures_in_sight(console: Console, page: str, column: str) -> None:
    console.go(page)
    box = console.page.get_by_role("columnheader", name=column, exact=True).bounding_box()
    assert box is not None
    assert box["x"] + box["width"] < 1280
