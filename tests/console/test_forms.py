"""Every form: making a team, changing what holds for it, removing it; keys made, rotated, revoked; looking up."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from playwright.sync_api import Route, expect

from benchmarks.processes import Server
from tests.console.looking import ADMIN, NASTY, Console

Opened = Callable[..., Console]
POLICY = {
    "budget": [
        {"usd": 5, "period": "day", "narrow": {"80": 1000}, "soft": [50]},
        {"tokens": 100_000, "period": "week", "per": "user"},
        {"usd": 2, "period": "month", "models": ["gpt-4o-mini"]},
    ],
    "limits": {"concurrent": 3},
    "routes": ["chat", "models"],
    "windowing": {"mode": "shadow", "target_confidence": 0.85},
}


@pytest.fixture
def api(server: Server) -> httpx.Client:
    return httpx.Client(base_url=f"{server.url}/admin/v1", headers={"Authorization": f"Bearer {ADMIN}"})


def policy(api: httpx.Client, name: str) -> dict[str, Any]:
    found: dict[str, Any] = api.get(f"/teams/{name}").json()
    return found


def test_a_team_is_made_with_what_the_form_says(opened: Opened, api: httpx.Client) -> None:
    console = opened(at="#/teams")
    console.page.get_by_role("link", name="Make a team").click()
    console.field("Name").fill("made-here")
    console.button("Add a budget").click()
    expect(console.field("Limit")).to_be_focused()
    console.field("Limit").fill("12.5")
    console.field("For").select_option("week")
    console.field("Time zone").fill("Europe/Vienna")
    console.field("Announce at %").fill("50, 80")
    console.field("Requests a minute").fill("600")
    console.field("Models").last.fill("gpt-4o, gpt-4o-mini")
    console.field("chat").check()
    console.field("Mode").select_option("on")
    console.field("Window, tokens").fill("3000")
    console.button("Make the team").click()
    expect(console.page.get_by_role("heading", name="made-here", exact=True)).to_be_focused()
    made = policy(api, "made-here")
    assert made["budget"] == {
        "usd": 12.5, "tokens": None, "period": "week", "time_zone": "Europe/Vienna", "per": "team", "models": [],
        "soft": [50, 80], "narrow": {},
    }  # fmt: skip
    assert made["limits"]["requests_per_minute"] == 600
    assert (made["models"], made["routes"]) == (["gpt-4o", "gpt-4o-mini"], ["chat"])
    assert (made["windowing"]["mode"], made["windowing"]["window_tokens"]) == ("on", 3000)
    console.says("$12.50 a week")


def test_a_policy_that_is_saved_unchanged_is_the_same(opened: Opened, api: httpx.Client) -> None:
    api.post("/teams", json={"name": "kept", **POLICY})
    before = policy(api, "kept")
    console = opened(at="#/teams/kept")
    console.says("for gpt-4o-mini")
    console.page.get_by_role("link", name="Change the policy").click()
    console.button("Let it hold").click()
    expect(console.page.get_by_role("heading", name="kept", exact=True)).to_be_visible()
    after = policy(api, "kept")
    for team in (before, after):
        for budget in team["budget"]:
            budget.pop("time_zone")
    assert after == before


def test_budgets_are_taken_away_and_what_is_wrong_is_said_at_its_field(opened: Opened, api: httpx.Client) -> None:
    api.post("/teams", json={"name": "mended", "budget": {"usd": 5}})
    console = opened(at="#/teams/mended/policy")
    for label, typed, said in (
        ("Limit", "", "Expected a limit."),
        ("Announce at %", "50, many", "whole percentages"),
        ("Time zone", NASTY, "expected a time zone"),
    ):
        before = console.field(label).input_value()
        console.field(label).fill(typed)
        console.button("Let it hold").click()
        expect(console.field(label)).to_be_focused()
        expect(console.field(label)).to_have_attribute("aria-invalid", "true")
        expect(console.page.locator(f"#{console.field(label).get_attribute('id')}-wrong")).to_contain_text(said)
        console.field(label).fill(before)
    console.button("Remove budget 1").click()
    expect(console.button("Add a budget")).to_be_focused()
    console.button("Let it hold").click()
    console.says("This team has no limits")
    assert policy(api, "mended")["budget"] is None


def test_a_name_that_can_not_be_is_said(opened: Opened) -> None:
    console = opened(at="#/teams+new")
    for name in ("", "two words", NASTY, "research"):
        console.field("Name").fill(name)
        console.button("Make the team").click()
        said = "There is a team research already." if name == "research" else "expected a name of 1 to 64"
        console.says(said)


def test_a_key_is_made_shown_once_rotated_and_revoked(opened: Opened, server: Server, api: httpx.Client) -> None:
    api.post("/teams", json={"name": "keyed"})
    console = opened(at="#/teams/keyed", permissions=["clipboard-read", "clipboard-write"])
    console.button("Make a key").click()
    console.field("Name").fill(NASTY)
    console.field("Models").fill("gpt-4o-mini")
    console.field("Expires (UTC)").fill("2036-01-31T12:00")
    console.button("Make the key").click()
    key = console.field("The new key").input_value()
    assert console.page.locator("dialog h2").inner_text() == f"Key {NASTY}"
    console.button("Copy").click()
    expect(console.page.locator("dialog")).to_contain_text("Copied.")
    assert console.run("() => navigator.clipboard.readText()") == key
    console.page.keyboard.press("Escape")  # not by mistake: it is never shown again
    expect(console.page.locator("dialog")).to_be_visible()
    console.button("Done").click()
    assert key not in console.page.content()
    (made,) = api.get("/teams/keyed/keys").json()["data"]
    assert (made["name"], made["models"], made["expires"]) == (NASTY, ["gpt-4o-mini"], "2036-01-31T12:00:00Z")
    console.button(f"Rotate key {NASTY}").click()
    console.field("How long the old one goes on to work").select_option("86400")
    console.button("Rotate").click()
    assert console.field("The new key").input_value() != key
    console.button("Done").click()
    expect(console.region("Keys").locator("tbody tr")).to_have_count(2)
    console.region("Keys").get_by_role("button", name="Revoke").last.click()
    console.page.keyboard.press("Escape")
    assert len(api.get("/teams/keyed/keys").json()["data"]) == 2
    console.region("Keys").get_by_role("button", name="Revoke").last.click()
    console.button("Revoke the key").click()
    expect(console.region("Keys").locator("tbody tr")).to_have_count(1)
    expect(console.page.locator("#said")).to_have_text("The key is revoked.")
    expect(console.button("Make a key")).to_be_focused()


def test_what_is_wrong_with_a_key_is_said_in_its_dialog(opened: Opened) -> None:
    console = opened(at="#/teams/research")
    console.button("Make a key").click()
    console.field("Expires (UTC)").fill("2020-01-31T12:00")
    console.button("Make the key").click()
    expect(console.page.locator("dialog")).to_contain_text("expected a time to come")
    console.button("Cancel").click()
    expect(console.button("Make a key")).to_be_focused()


def test_a_team_is_removed_with_its_keys_after_a_question(opened: Opened, api: httpx.Client) -> None:
    api.post("/teams", json={"name": "gone"})
    api.post("/teams/gone/keys")
    console = opened(at="#/teams/gone")
    console.button("Remove").click()
    expect(console.page.locator("dialog")).to_contain_text("Its key is revoked with it.")
    console.button("Remove the team").click()
    console.says("Declared in")
    assert api.get("/teams/gone").status_code == 404


def test_budgets_of_each_user_are_looked_up(opened: Opened, api: httpx.Client) -> None:
    api.post("/teams", json={"name": "each", "budget": {"tokens": 1000, "per": "user"}})
    console = opened(at="#/teams/each")
    console.field("User").fill("somebody")
    console.button("Look up").click()
    console.says("0 spent, 0 reserved, of 1,000 (0%)")
    api.put("/teams/each", json={"budget": {"tokens": 1000, "per": "model", "models": ["gpt-4o-mini"]}})
    console.go("#/teams")
    console.go("#/teams/each")
    console.field("Model").fill("o3")
    console.button("Look up").click()
    console.says("No budget counts that.")


def test_a_key_that_is_made_is_shown_even_where_its_dialog_was_left(opened: Opened, api: httpx.Client) -> None:
    api.post("/teams", json={"name": "hasty"})
    console = opened(at="#/teams/hasty")
    held: list[Route] = []
    console.page.route("**/teams/hasty/keys", lambda route: held.append(route) if posts(route) else route.continue_())
    console.button("Make a key").click()
    with console.page.expect_request("**/teams/hasty/keys"):
        console.button("Make the key").click()
    console.page.keyboard.press("Escape")
    expect(console.page.locator("dialog")).to_have_count(0)
    held.pop().continue_()
    assert console.field("The new key").input_value().startswith("sk-cg-")
    console.button("Done").click()
    expect(console.region("Keys").locator("tbody tr")).to_have_count(1)


def test_a_key_that_is_made_is_shown_even_where_the_others_can_not_be_read(opened: Opened, api: httpx.Client) -> None:
    api.post("/teams", json={"name": "unlucky"})
    console = opened(at="#/teams/unlucky")
    error = {"error": {"message": "The store is away.", "type": "x", "param": None, "code": None}}
    console.page.route(
        "**/teams/unlucky/keys",
        lambda route: route.continue_() if posts(route) else route.fulfill(status=503, json=error),
    )
    console.button("Make a key").click()
    console.button("Make the key").click()
    assert console.field("The new key").input_value().startswith("sk-cg-")
    console.button("Done").click()
    expect(console.region("Keys").get_by_role("alert")).to_have_text("The store is away.")


def test_going_elsewhere_takes_no_key_away(opened: Opened, api: httpx.Client) -> None:
    api.post("/teams", json={"name": "wandering"})
    console = opened(at="#/teams/wandering")
    console.button("Make a key").click()
    console.run("() => { location.hash = '#/teams' }")
    expect(console.page.locator("dialog")).to_have_count(0)  # a question is gone with its page
    console.go("#/teams/wandering")
    console.button("Make a key").click()
    console.button("Make the key").click()
    expect(console.field("The new key")).to_be_visible()
    console.run("() => { location.hash = '#/teams' }")
    console.says("Declared in")
    expect(console.field("The new key")).to_be_visible()
    console.button("Done").click()
    expect(console.page.locator("dialog")).to_have_count(0)


def posts(route: Route) -> bool:
    return route.request.method == "POST"


def test_a_wrong_item_of_a_list_is_said_at_the_lists_field(opened: Opened, api: httpx.Client) -> None:
    api.post("/teams", json={"name": "itemised"})
    console = opened(at="#/teams/itemised/policy")
    error = {"error": {"message": "no such model", "type": "x", "param": "models.0", "code": "invalid_request"}}
    console.page.route("**/teams/itemised", lambda route: route.fulfill(status=400, json=error))
    console.button("Let it hold").click()
    expect(console.field("Models").last).to_be_focused()
    console.says("no such model")
