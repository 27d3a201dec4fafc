"""Whatever callers write is shown as text: nothing of it becomes an element, runs, or is asked for."""

from collections.abc import Callable
from urllib.parse import quote, urlencode

import httpx
from playwright.sync_api import expect

from benchmarks.processes import Server
from tests.console.conftest import send
from tests.console.looking import ADMIN, NASTY, Console
from tests.integration.client import eventually

Opened = Callable[..., Console]


def latest(server: Server, **params: str) -> list[dict[str, str]]:
    headers = {"Authorization": f"Bearer {ADMIN}"}
    found: list[dict[str, str]] = httpx.get(f"{server.url}/admin/v1/requests", params=params, headers=headers).json()[
        "data"
    ]
    return found


def test_users_and_models_in_every_table(opened: Opened, server: Server) -> None:
    assert eventually(lambda: bool(latest(server, user=NASTY)))
    console = opened(at="#/overview?range=1h")
    expect(console.region("By model")).to_contain_text(NASTY)
    console.go("#/requests?within=24h")
    row = console.page.locator("tbody tr", has_text=NASTY).first
    assert row.locator("td").nth(1).inner_text() == NASTY
    assert row.locator("td").nth(2).inner_text() == NASTY
    row.locator("a").click()
    expect(console.region("Facts").locator("bdi").first).to_have_text(NASTY)
    console.go("#/teams/declared")
    expect(console.region("By user, last 30 days")).to_contain_text(NASTY)
    expect(console.region("By model, last 30 days")).to_contain_text(NASTY)
    console.go("#/upstreams")
    expect(console.region("Models and prices")).to_contain_text(NASTY)


def test_prompts_in_a_receipt(opened: Opened, server: Server) -> None:
    request_id = send(server, "gpt-4o-mini", NASTY).headers["x-gateway-request-id"]
    headers = {"Authorization": f"Bearer {ADMIN}"}
    address = f"{server.url}/admin/v1/requests/{request_id}"
    assert eventually(lambda: (httpx.get(address, headers=headers).json().get("receipt") or {}).get("forwarded_body"))
    console = opened(at=f"#/requests/{request_id}")
    expect(console.region("Forwarded prompt")).to_contain_text("<img src=x onerror=")


def test_what_is_searched_for(opened: Opened) -> None:
    console = opened(at="#/upstreams")
    for field in ("q", "user", "model", "key", "team"):
        console.go(f"#/requests?{urlencode({field: NASTY})}")
        expect(console.page.locator(f"#search-{field}")).to_have_value(NASTY)


def test_names_in_addresses_and_in_what_the_api_says_of_them(opened: Opened) -> None:
    console = opened(at="#/upstreams")
    for place in ("teams", "requests"):
        console.run("at => { location.hash = at }", f"#/{place}/{quote(NASTY, safe='')}")
        console.says(NASTY)


def test_an_upstreams_and_an_apis_reply(opened: Opened, server: Server) -> None:
    """A gateway that somebody took over still can't run anything in the console."""
    console = opened(at="#/teams")
    body = {
        "data": [{"name": NASTY, "base_url": f"javascript:{NASTY}", "health": NASTY, "busy": NASTY, "weight": None}]
    }
    console.page.route("**/admin/v1/upstreams", lambda route: route.fulfill(json=body))
    models = {
        "data": [
            {
                "name": NASTY,
                "upstreams": [NASTY],
                "fallbacks": [NASTY],
                "price": NASTY,
                "price_source": NASTY,
                "canonical": NASTY,
            }
        ]
    }
    console.page.route("**/admin/v1/models", lambda route: route.fulfill(json=models))
    console.go("#/upstreams")
    assert console.text().count(NASTY) >= 8
    error = {"error": {"message": NASTY, "type": "x", "param": NASTY, "code": None}}
    console.page.route("**/admin/v1/teams", lambda route: route.fulfill(status=500, json=error))
    console.run("() => { location.hash = '#/teams' }")
    console.says(NASTY)


def test_the_browser_would_not_run_it_anyway(opened: Opened) -> None:
    console = opened(at="#/teams")
    console.run("""() => {
        const script = document.createElement("script");
        script.textContent = "window.broken = 1";
        document.body.append(script);
        return fetch("https://example.invalid/").catch(() => null);
    }""")
    refused = [said for said in console.failures if "Content Security Policy" in said]
    assert len(refused) >= 2
    console.failures.clear()
    console.asked[:] = [url for url in console.asked if "example.invalid" not in url]
