"""With 100,000 requests in the ledger every page is there within a second."""

import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from benchmarks.processes import Server
from tests.console.conftest import configured, served, write
from tests.console.looking import ADMIN, Console
from tests.upstreams import Upstream

ENTRIES = 100_000
MOST_S = 1.0
PAGES = (
    "#/overview?range=1h",
    "#/overview?range=24h",
    "#/overview?range=7d",
    "#/overview?range=30d",
    "#/teams",
    "#/teams/support-desk",
    "#/teams/support-desk/policy",
    "#/requests",
    "#/requests?within=30d",
    "#/requests?within=30d&team=mobile-app&status=5xx",
    "#/requests?within=30d&q=legal",
    "#/upstreams",
)


@pytest.fixture(scope="module")
def large(browser: Browser, running_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("large")
    write(folder, ENTRIES, 29)
    with served(folder, configured(running_upstream)) as started:
        yield started


def crowding() -> float:
    """Return how much longer work takes here than it needs, since other processes run too; 1 where none does."""
    wall, own = time.perf_counter(), time.process_time()
    while time.process_time() - own < 0.1:
        pass
    return max(1.0, (time.perf_counter() - wall) / 0.1)


def seconds(console: Console, at: str) -> float:
    """Return until when the page was shown, and all of it: the best of three, on a machine that is ours alone."""
    best = float("inf")
    for _ in range(3):
        console.go("#/teams+new")
        crowded, began = crowding(), time.perf_counter()
        console.go(at)
        best = min(best, (time.perf_counter() - began) / max(1.0, (crowded + crowding()) / 2))
    return best


@pytest.mark.slow
def test_every_page_is_there_within_a_second(browser: Browser, large: Server) -> None:
    console = Console(browser.new_context().new_page(), large.url)
    console.enter(ADMIN, "#/teams")
    took = {at: seconds(console, at) for at in PAGES}
    console.go("#/requests?within=30d")
    receipt = str(console.page.locator("tbody th a").first.get_attribute("href"))
    took["a receipt"] = seconds(console, receipt)
    console.close()
    for at, found in took.items():
        print(f"{found:6.2f} s  {at}")  # noqa: T201
    assert {at: found for at, found in took.items() if found > MOST_S} == {}
