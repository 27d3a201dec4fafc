"""Every page shows what the API says, to whom it may; signing in, roles, live figures, themes, nothing to show."""

import re
from collections.abc import Callable

import httpx
from playwright.sync_api import expect

from benchmarks.processes import Server, wait_until
from tests.console.conftest import LONG, SEEDED, send
from tests.console.looking import ADMIN, READER, Console
from tests.integration.client import eventually

Opened = Callable[..., Console]


def api(server: Server, path: str, **params: str) -> httpx.Response:
    return httpx.get(f"{server.url}/admin/v1/{path}", params=params, headers={"Authorization": f"Bearer {ADMIN}"})


def test_a_wrong_token_says_so_and_the_right_one_stays_in_the_tab(opened: Opened) -> None:
    console = opened(token="")
    for token in ("not-the-token-at-all", "tökén ☃"):
        console.sign_in(token)
        expect(console.page.locator("#token-wrong")).to_have_text("That token is wrong.")
        expect(console.field("Token")).to_be_focused()
        assert console.page.locator("#nav").is_hidden()
    console.sign_in(ADMIN)
    expect(console.page.locator("#nav")).to_be_visible()  # it is asked first whether that is the token
    console.complete()
    assert console.run("() => [Object.values(sessionStorage), Object.values(localStorage), document.cookie]") == [
        [ADMIN],
        [],
        "",
    ]
    console.page.reload()
    console.complete()
    console.button("Sign out").click()
    expect(console.page.locator("#token")).to_be_visible()
    assert console.run("() => sessionStorage.length") == 0


def test_a_token_that_is_accepted_no_more_leads_back_to_signing_in(opened: Opened) -> None:
    console = opened()
    console.run("() => sessionStorage.setItem('context-gateway-token', 'another-token-of-nobody')")
    console.run("() => { location.hash = '#/teams' }")
    expect(console.page.locator("#token-wrong")).to_contain_text("not accepted any more")


def test_the_reader_sees_all_and_changes_nothing(opened: Opened) -> None:
    console = opened(token=READER, at="#/teams")
    expect(console.page.locator("#role")).to_have_text("Read only")
    assert console.page.get_by_text("Make a team").count() == 0
    console.go("#/teams/research")
    for name in ("Make a key", "Remove", "Rotate key laptops", "Revoke key laptops"):
        assert console.button(name).count() == 0
    assert console.page.get_by_text("Change the policy").count() == 0
    console.go("#/teams+new")
    console.field("Name").fill("sneaked")
    console.button("Make the team").click()
    console.says("This token may look at everything but change nothing")


def test_overview_has_the_ledgers_sums(opened: Opened, server: Server) -> None:
    console = opened(at="#/upstreams")
    for reach, name in RANGES:
        console.go(f"#/overview?range={reach}")
        link = console.page.get_by_role("link", name=f"Last {name}")
        expect(link).to_have_attribute("aria-current", "true")
    # The seeded days are all within.
    total = api(server, "usage", **{"from": "30d"}).json()["total"]
    assert total["requests"] > SEEDED
    assert console.page.locator("#tile-requests").inner_text() == f"{total['requests']:,}"
    assert console.page.locator("#tile-saved").inner_text() == console.run(COMPACT, total["tokens_saved"])
    for team in ("support-desk", "research"):
        expect(console.region("By team").get_by_role("link", name=team)).to_be_visible()
    expect(console.region("By model")).to_contain_text("gpt-4.1-mini")


def test_what_windows_in_shadow_would_have_saved_stands_apart(opened: Opened, server: Server) -> None:
    total = api(server, "usage", **{"from": "30d"}).json()["total"]
    assert total["shadowed"] > 0
    console = opened(at="#/overview?range=30d")
    said = console.page.locator("#in-shadow")
    expect(said).to_contain_text(f"In shadow mode {total['shadowed']:,} windows would have saved")
    expect(said).to_contain_text("Nothing of it was saved")
    teams = console.region("By team").get_by_role("table")
    expect(teams.get_by_role("columnheader", name="Would save: tokens")).to_be_visible()
    rows = {row.get_by_role("rowheader").inner_text(): row for row in teams.locator("tbody tr").all()}
    would, share = (rows["contracts"].locator("td").nth(place).inner_text() for place in (-3, -2))
    assert would != "–"
    assert share.endswith("%")
    assert rows["research"].locator("td").nth(-3).inner_text() == "–"


def test_without_windows_in_shadow_nothing_is_said_of_them(opened: Opened, bare: Server) -> None:
    console = opened(token="", url=bare.url)
    expect(console.page.locator("#tile-requests")).to_be_visible()
    assert console.page.locator("#in-shadow").inner_text() == ""
    assert console.page.get_by_text("Would save").count() == 0


RANGES = (("1h", "1 hour"), ("24h", "24 hours"), ("7d", "7 days"), ("30d", "30 days"))
COMPACT = """n => n < 10000 ? n.toLocaleString("en")
    : new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 }).format(n)"""


def test_charts_have_their_figures_as_tables(opened: Opened) -> None:
    console = opened(at="#/overview?range=7d")
    for title in ("Tokens over time", "Net money saved over time", "Effective tokens and added time"):
        region = console.region(title)
        expect(region.locator("canvas")).to_have_attribute("aria-label", re.compile(f"^{title}"))
        region.get_by_text("Figures").click()
        expect(region.locator("tbody tr")).to_have_count(28)
    reasons = console.region("Decisions by reason")
    reasons.get_by_text("Figures").click()
    expect(reasons.locator("tbody")).to_contain_text("Relevant passages kept")
    painted = "c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some((v) => v > 0)"
    assert [canvas.evaluate(painted) for canvas in console.page.locator("canvas").all()] == [True] * 5


def test_overview_is_live_and_can_be_paused(opened: Opened, server: Server) -> None:
    console = opened(at="#/upstreams")
    console.page.clock.install()
    console.go("#/overview?range=30d")
    tile = console.page.locator("#tile-requests")
    before = int(tile.inner_text().replace(",", ""))
    counted(server)
    console.page.clock.fast_forward(5500)
    expect(tile).to_have_text(f"{before + 1:,}")
    console.button("Pause").click()
    expect(console.button("Pause")).to_have_attribute("aria-pressed", "true")
    expect(console.page.locator(".live-said")).to_contain_text("paused")
    counted(server)
    console.page.clock.fast_forward(60_000)
    console.page.wait_for_timeout(200)
    assert tile.inner_text() == f"{before + 1:,}"
    console.button("Pause").click()
    expect(tile).to_have_text(f"{before + 2:,}")


def counted(server: Server) -> None:
    """Send a request, and wait until it is in the ledger."""
    before = total(server)
    send(server, "gpt-4o-mini")
    assert eventually(lambda: total(server) > before)


def total(server: Server) -> int:
    found: int = api(server, "usage").json()["total"]["requests"]
    return found


def test_teams_show_budgets_and_this_months_sums(opened: Opened) -> None:
    console = opened(at="#/teams")
    row = console.page.locator("tr", has=console.page.get_by_role("link", name="support-desk"))
    expect(row).to_contain_text("$110.00 a month; $8.00 a day")
    expect(row.get_by_role("meter")).to_have_attribute("aria-label", re.compile("support-desk: the"))
    row.get_by_text("$110.00 a month").click()
    console.says("Left of $110.00 a month")


def test_the_fullest_budget_may_be_one_user_s(opened: Opened, server: Server) -> None:
    with httpx.Client(base_url=server.url, headers={"Authorization": f"Bearer {ADMIN}"}) as client:
        budgets = [{"tokens": 1000, "per": "user"}, {"tokens": 10**6, "models": ["gpt-4o-mini"]}]
        client.post("/admin/v1/teams", json={"name": "each", "budget": budgets}).raise_for_status()
        key = client.post("/admin/v1/teams/each/keys", json={}).json()["key"]
        body = {"model": "gpt-4o-mini", "user": "u1", "max_tokens": 50, "messages": [{"role": "user", "content": "x"}]}
        client.post("/v1/chat/completions", json=body, headers={"Authorization": f"Bearer {key}"}).raise_for_status()
        row = opened(at="#/teams").page.locator("tr", has_text="each")
        expect(row.get_by_role("meter")).to_have_attribute("aria-label", re.compile("each: the 1,000 tokens .* user"))
        expect(row.locator(".meters")).to_have_text(re.compile(r"^\s*[1-9][0-9.]*%$"))
        client.delete("/admin/v1/teams/each", params={"cascade": True}).raise_for_status()


def test_a_team_shows_limits_forecast_and_keys(opened: Opened, server: Server) -> None:
    console = opened(at="#/teams/support-desk")
    limits = console.region("Limits")
    spent = api(server, "teams/support-desk/budgets").json()["data"][0]["spent"]
    expect(limits).to_contain_text(f"${spent:,.2f} spent")
    expect(limits).to_contain_text(re.compile("At the rate of now it (lasts until it begins anew|runs out)"))
    expect(limits).to_contain_text("0 of 600 now")
    burn = console.region("Left of $110.00 a month")
    burn.get_by_text("Figures").click()
    expect(burn.locator("tbody tr").nth(1)).to_be_visible()
    expect(console.region("Keys")).to_contain_text("production")
    expect(console.region("By user, last 30 days")).to_contain_text("desk-1")


def test_a_declared_team_is_changed_in_the_configuration(opened: Opened) -> None:
    console = opened(at="#/teams/declared")
    console.says("declared in the configuration, and changed there")
    expect(console.region("Keys")).to_contain_text("in the configuration")
    assert console.button("Remove").count() == 0


def test_requests_are_found_and_paged(opened: Opened) -> None:
    console = opened(at="#/requests?within=7d")
    rows = console.page.locator("tbody tr")
    expect(rows).to_have_count(50)
    first = rows.first.inner_text()
    console.page.locator("#older").click()
    expect(rows.first).not_to_have_text(first)
    console.complete()
    console.button("Newer").click()
    expect(rows.first).to_contain_text(first.split()[0])
    console.complete()
    console.field("Team").fill("research")
    console.field("Status").select_option("2xx")
    console.page.get_by_text("More to search by").click()
    console.field("Decision").select_option("applied")
    console.button("Search").click()
    console.complete()
    assert "team=research" in console.page.url
    assert {row.locator("td").first.inner_text() for row in rows.all()} == {"research"}
    assert {row.locator("td").nth(3).inner_text().strip("● ") for row in rows.all()} == {"Windowed"}
    console.field("User").fill("nobody-at-all")
    console.page.keyboard.press("Enter")
    console.says("No requests like that.")


def test_a_time_that_makes_no_sense_is_said_in_the_form(opened: Opened) -> None:
    console = opened(at="#/requests")
    console.field("Time").select_option("")
    console.field("From (UTC)").fill("2026-11-20T10:00")
    console.field("To (UTC)").fill("2026-11-19T10:00")
    console.button("Search").click()
    console.says("ends before it begins")
    expect(console.field("From (UTC)")).to_have_value("2026-11-20T10:00")


def test_a_row_opens_its_receipt(opened: Opened) -> None:
    console = opened(at="#/requests?within=7d&decision=applied")
    console.page.locator("tbody tr").first.locator("td").nth(4).click()
    console.says("Only the passages that the question needs were forwarded.")
    context = console.region("Context")
    expect(context.locator("svg.strip")).to_have_attribute(
        "aria-label", re.compile(r"^Of [\d,]+ tokens in \d+ stretches")
    )
    assert context.locator("rect.kept").count() > 1
    assert context.locator("rect.dropped").count() > 1
    context.get_by_text("As a table").click()
    expect(context.locator("tbody")).to_contain_text("left out")
    expect(console.region("Time")).to_contain_text("Waiting for the upstream")
    expect(console.region("Usage and cost")).to_contain_text("as reported")
    expect(console.region("Attempts")).to_contain_text("answered")
    assert console.page.title().startswith("Request req-")


def test_a_real_windowed_request_has_all_of_its_receipt(opened: Opened, server: Server) -> None:
    wait_until(server, "/readyz", 120)
    reply = send(server, "gpt-4o-mini", LONG, user="reader-of-docs")
    assert reply.headers["x-gateway-windowing"] == "applied"
    request_id = reply.headers["x-gateway-request-id"]
    assert eventually(lambda: api(server, f"requests/{request_id}").json().get("receipt") is not None, 5)
    console = opened(at=f"#/requests/{request_id}")
    original = int(reply.headers["x-gateway-tokens-original"])
    expect(console.region("Decision")).to_contain_text(f"{original:,}")
    assert console.region("Context").locator("rect.dropped").count() > 0
    expect(console.region("Forwarded prompt")).to_contain_text("When is the else clause of a while loop executed?")


def test_a_request_to_the_responses_api_has_its_items_in_its_receipt(opened: Opened, server: Server) -> None:
    items = [
        {"role": "user", "content": [{"type": "input_text", "text": "First of all."}, {"type": "input_image", "n": 7}]},
        {"type": "function_call", "call_id": "c", "name": "look_up", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "Found it."},
    ]
    body = {"model": "gpt-4o-mini", "instructions": "Be brief.", "input": items}
    headers = {"Authorization": "Bearer sk-of-the-declared-team"}
    reply = httpx.post(f"{server.url}/v1/responses", json=body, headers=headers, timeout=30)
    request_id = reply.headers["x-gateway-request-id"]
    assert eventually(lambda: (api(server, f"requests/{request_id}").json().get("receipt") or {}).get("forwarded_body"))
    prompt = opened(at=f"#/requests/{request_id}").region("Forwarded prompt")
    expect(prompt.locator("h3")).to_have_text(["instructions", "user", "function_call", "function_call_output"])
    texts = [text.inner_text() for text in prompt.locator("pre").all()][:4]
    assert texts[0] == "Be brief."
    assert texts[1].startswith("First of all.\n\n{")
    assert "look_up" in texts[2]
    assert "Found it." in texts[3]


def test_what_an_address_asks_for_stands_in_the_form_though_it_is_no_usual_choice(opened: Opened) -> None:
    console = opened(at="#/requests?status=404&within=90d")
    expect(console.field("Status")).to_have_value("404")
    expect(console.field("Time")).to_have_value("90d")
    console.button("Search").click()
    console.complete()
    assert "status=404" in console.page.url
    console.go("#/overview?range=toString")
    expect(console.page.get_by_role("link", name="Last 24 hours")).to_have_attribute("aria-current", "true")
    console.go("#/teams?skip=100000")
    console.says("support-desk")


def test_upstreams_and_models(opened: Opened) -> None:
    console = opened(at="#/upstreams")
    upstreams, models = console.region("Upstreams"), console.region("Models and prices")
    dead = upstreams.locator("tr", has_text="dead")
    expect(dead).to_contain_text("127.0.0.1")
    expect(upstreams.locator("tr", has_text="main")).to_contain_text("serving")
    expect(models.locator("tr", has_text="gpt-own")).to_contain_text("configuration")
    expect(models.locator("tr", has_text="gpt-own")).to_contain_text("$1.50")
    expect(models.locator("tr", has_text="gpt-4o-mini").first).to_contain_text("list price")


def test_a_bare_gateway_needs_no_token_and_says_what_is_not_there(opened: Opened, bare: Server) -> None:
    console = opened(token="", url=bare.url)
    expect(console.page.locator("#banner")).to_contain_text("There are no teams")
    assert console.page.locator("#tile-requests").inner_text() == "0"
    assert console.main.get_by_text("No requests in this time.").filter(visible=True).count() == 7
    console.go("#/teams")
    console.says("There are no teams yet")
    console.go("#/requests")
    console.says("No requests like that.")
    console.go("#/upstreams")
    expect(console.region("Upstreams")).to_contain_text("main")


def test_what_is_not_there_is_said(opened: Opened) -> None:
    console = opened(at="#/upstreams")
    for at in ("#/teams/nobody", "#/requests/req-of-nobody"):
        console.run("at => { location.hash = at }", at)
        console.says(f"There is no {at.split('/')[1][:-1]} {at.split('/')[2]}")
        console.says("This can't be shown")
    console.run("() => { location.hash = '#/teams/%E0%A4%A' }")  # no address at all: back to the beginning
    expect(console.page.get_by_role("heading", name="Overview")).to_be_visible()


def test_a_gateway_that_is_gone_is_said(opened: Opened) -> None:
    console = opened(at="#/upstreams")
    console.page.route("**/admin/v1/**", lambda route: route.abort())
    console.run("() => { location.hash = '#/teams' }")
    console.says("The gateway does not answer.")
    console.page.unroute("**/admin/v1/**")
    console.failures[:] = [said for said in console.failures if "ERR_FAILED" not in said]
    console.button("Try again").click()
    console.says("support-desk")
