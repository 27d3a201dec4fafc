"""The console, opened as a reader opens it: the address, the token, and there it is."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from playwright.sync_api import sync_playwright

_PATIENCE_MS = 15_000


class BrowserMissingError(Exception):
    """No chromium is on this machine."""


@dataclass(frozen=True, slots=True)
class Overview:
    """What the console shows first: its title, how many requests it counts, and all of its text."""

    title: str
    requests: str
    text: str


def browser() -> str:
    """Return where the browser is.

    Raises BrowserMissingError when there is none.
    """
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        raise BrowserMissingError("no chromium on this machine (apt-get install chromium)")
    return found


def look(url: str, token: str) -> Overview:
    """Open the console at the gateway's address, sign in, and return what is seen."""
    with ThreadPoolExecutor(1) as apart:  # Playwright runs a loop of its own, which no other may run beside
        return apart.submit(_seen, browser(), f"{url}/console", token).result()


def _seen(path: str, address: str, token: str) -> Overview:
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=path, args=["--no-sandbox"]) as started,
    ):
        page = started.new_page()
        page.set_default_timeout(_PATIENCE_MS)
        page.goto(address)
        page.get_by_label("Token", exact=True).fill(token)
        page.keyboard.press("Enter")
        page.wait_for_selector("main[data-complete]:not([aria-busy]) #tile-requests")
        return Overview(page.title(), page.locator("#tile-requests").inner_text(), page.locator("main").inner_text())
