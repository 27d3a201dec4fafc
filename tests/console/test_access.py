"""For everybody: by keyboard alone, by screen reader, in both themes, on a phone."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.console.looking import Console

Opened = Callable[..., Console]
CHECKS = (Path(__file__).parent / "access.js").read_text()
PAGES = (
    "#/overview?range=7d",
    "#/teams",
    "#/teams/support-desk",
    "#/teams+new",
    "#/teams/support-desk/policy",
    "#/requests?within=7d",
    "#/upstreams",
)


def receipt(console: Console) -> str:
    """Return the place of some windowed request's receipt."""
    console.go("#/requests?within=7d&decision=applied")
    return str(console.page.locator("tbody th a").first.get_attribute("href"))


def checked(console: Console) -> list[Any]:
    """Return what is wrong with the page, all details opened."""
    found: list[Any] = console.run(CHECKS)
    return found


def in_both_themes(console: Console) -> list[Any]:
    """Return what is wrong with the page in the light and in the dark."""
    found = checked(console)
    console.page.emulate_media(color_scheme="dark")
    found += [f"in the dark: {wrong}" for wrong in checked(console) if wrong not in found]
    console.page.emulate_media(color_scheme="light")
    return found


def test_names_roles_headings_and_contrast(opened: Opened) -> None:
    console = opened(at="#/requests", color_scheme="light")
    wrong = {}
    for at in (*PAGES, receipt(console)):
        console.go(at)
        wrong[at] = in_both_themes(console)
    console.go("#/teams/support-desk")
    console.button("Make a key").click()
    wrong["dialog"] = in_both_themes(console)
    assert {at: found for at, found in wrong.items() if found} == {}


def test_the_sign_in_page_is_checked_too(opened: Opened) -> None:
    console = opened(token="")
    console.sign_in("a-wrong-token")
    expect(console.page.locator("#token-wrong")).not_to_be_empty()
    assert checked(console) == []


def test_the_checks_find_what_is_wrong(opened: Opened) -> None:
    console = opened(at="#/upstreams")
    console.run("""() => {
        const add = (tag, set, text) => {
            const made = Object.assign(document.createElement(tag), set);
            if (text) made.textContent = text;
            document.querySelector("main").append(made);
        };
        add("input", { type: "text" });
        add("button", {});
        add("h4", {}, "Skipped a level");
        add("p", { id: "said" }, "twice the same id");
        add("p", { id: "pale" }, "pale");
        document.getElementById("pale").style.color = "#bbb";
    }""")
    found = " ".join(map(str, checked(console)))
    for what in ("input has no name", "button has no name", "h4 follows h2", "said is there twice", "pale"):
        assert what in found


@pytest.mark.parametrize("width", [320, *(pytest.param(more, marks=pytest.mark.slow) for more in (390, 768, 1024))])
def test_no_page_scrolls_sideways(opened: Opened, width: int) -> None:
    console = opened(at="#/upstreams", viewport={"width": width, "height": 700})
    wide = {}
    for at in (*PAGES, receipt(console)):
        console.go(at)
        if (found := console.run("() => document.documentElement.scrollWidth")) > width:
            wide[at] = found
    assert wide == {}


def focused(console: Console) -> str:
    """Return what has the focus, by its name."""
    name: str = console.run(
        """() => {
            const at = document.activeElement;
            return at.getAttribute("aria-label") ?? (at.labels?.[0] ?? at).textContent.trim();
        }"""
    )
    return name


def walk(console: Console, name: str, most: int = 40) -> list[str]:
    """Go on by Tab until the focus is at the name; return where it was."""
    seen = [focused(console)]
    while seen[-1] != name:
        assert len(seen) < most, seen
        console.page.keyboard.press("Tab")
        seen.append(focused(console))
    return seen


def test_by_keyboard_alone(opened: Opened) -> None:
    console = opened(token="")
    walk(console, "Token")
    console.page.keyboard.type("an-admin-token-of-the-tests")
    console.page.keyboard.press("Enter")
    console.complete()
    expect(console.page.get_by_role("heading", name="Overview")).to_be_focused()
    console.page.keyboard.press("Shift+Tab")
    console.page.keyboard.press("Home")
    console.run("() => document.getElementById('skip').focus()")
    expect(console.page.locator("#skip")).to_be_in_viewport()
    assert walk(console, "Teams") == ["Skip to the content", "Overview", "Teams"]
    console.page.keyboard.press("Enter")
    expect(console.page.get_by_role("heading", name="Teams", exact=True)).to_be_focused()
    walk(console, "research")
    console.page.keyboard.press("Enter")
    expect(console.page.get_by_role("heading", name="research", exact=True)).to_be_focused()
    assert console.page.title() == "Team research · context-gateway"
    walk(console, "Make a key")
    console.page.keyboard.press("Enter")
    expect(console.page.locator("dialog")).to_be_visible()
    console.page.keyboard.type("by keyboard")
    console.page.keyboard.press("Enter")
    expect(console.field("The new key")).to_be_visible()
    walk(console, "Done")
    console.page.keyboard.press("Enter")
    assert focused(console) == "Make a key"


def test_a_search_leaves_the_focus_in_the_form_and_says_what_was_found(opened: Opened) -> None:
    console = opened(at="#/requests?within=7d")
    console.field("Team").fill("research")
    console.page.keyboard.press("Enter")
    expect(console.page.locator("#said")).to_have_text(re.compile(r"^\d+ requests"))
    expect(console.field("Team")).to_be_focused()


def test_the_skip_link_leads_to_the_content(opened: Opened) -> None:
    console = opened(at="#/teams")
    console.run("() => document.getElementById('skip').focus()")
    console.page.keyboard.press("Enter")
    expect(console.main).to_be_focused()
    assert console.page.url.endswith("#/teams")


def test_the_theme_is_the_systems_or_the_chosen_one(opened: Opened) -> None:
    console = opened(color_scheme="dark")
    page = "() => getComputedStyle(document.body).backgroundColor"
    dark = console.run(page)
    console.field("Colours").select_option("light")
    light = console.run(page)
    assert dark != light
    console.page.reload()
    console.complete()
    assert console.run(page) == light
    console.field("Colours").select_option("")
    assert console.run(page) == dark
    console.page.emulate_media(color_scheme="light")
    assert console.run(page) == light


def test_live_figures_leave_the_focus_where_it_is(opened: Opened) -> None:
    console = opened(at="#/upstreams")
    console.page.clock.install()
    console.go("#/overview?range=7d")
    link = console.region("By team").get_by_role("link", name="research")
    link.focus()
    with console.page.expect_response(lambda reply: "group_by=team" in reply.url):
        console.page.clock.fast_forward(5500)
    console.page.wait_for_timeout(200)
    assert focused(console) == "research"
