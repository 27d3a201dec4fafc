"""The console as a test sees it: where it is, what it shows, and what must never happen meanwhile."""

from typing import Any

from playwright.sync_api import ConsoleMessage, Locator, Page, expect

ADMIN = "an-admin-token-of-the-tests"
READER = "a-reading-token-of-the-tests"
NASTY = '<img src=x onerror="window.broken=1"><script>window.broken=1</script>\'"`&amp;'
PATIENCE_MS = 8000
# Once: a token that the page itself forgets is not put back.
_SIGNED_IN = (
    "if (!sessionStorage.length && !name) { sessionStorage.setItem('context-gateway-token', 'TOKEN'); name = 'in'; }"
)
# What the browser itself says of a reply that is an error; the page says the same in words.
_EXPECTED = ("Failed to load resource: the server responded with a status of",)


class Console:
    """A page with the console; `failures` holds what the page complained about."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.failures: list[str] = []
        self.asked: list[str] = []
        page.set_default_timeout(PATIENCE_MS)
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.failures.append(str(error)))
        page.on("dialog", lambda dialog: self.failures.append(f"dialog: {dialog.message}"))
        page.on("request", lambda request: self.asked.append(request.url))

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"} and not message.text.startswith(_EXPECTED):
            self.failures.append(message.text)

    def enter(self, token: str, at: str) -> None:
        """Open the console at that place, signed in already where there is a token."""
        if token:
            self.page.add_init_script(_SIGNED_IN.replace("TOKEN", token))
        self.page.goto(f"{self.url}/console{at}")
        self.page.wait_for_selector("#token, main[data-complete]:not([aria-busy]) #title")

    def sign_in(self, token: str) -> None:
        """Send the token with the form that asks for it."""
        self.field("Token").fill(token)
        self.page.keyboard.press("Enter")

    def go(self, at: str) -> None:
        """Go to a place, and wait until all of it is shown."""
        self.page.evaluate("at => { delete document.getElementById('main').dataset.complete; location.hash = at }", at)
        self.complete()

    def complete(self) -> None:
        """Wait until all of the page is shown."""
        self.page.wait_for_selector("main[data-complete]:not([aria-busy]) #title")

    @property
    def main(self) -> Locator:
        """The page's content."""
        return self.page.locator("main")

    def text(self) -> str:
        """Return what the content says."""
        return self.main.inner_text()

    def button(self, name: str) -> Locator:
        """The button of that name."""
        return self.page.get_by_role("button", name=name, exact=True)

    def field(self, name: str) -> Locator:
        """The field of that label."""
        return self.page.locator("input, select").and_(self.page.get_by_label(name, exact=True))

    def region(self, name: str) -> Locator:
        """The section of that heading."""
        return self.page.locator("section", has=self.page.get_by_role("heading", name=name, exact=True)).last

    def says(self, text: str) -> None:
        """Wait until the content has the text."""
        expect(self.main).to_contain_text(text, timeout=PATIENCE_MS)

    def run(self, script: str, argument: object = None) -> Any:
        """Return what the script returns in the page."""
        return self.page.evaluate(script, argument)

    def close(self) -> None:
        """Close it; what came from data must not have become an element or run, nothing outside have been asked."""
        broken, images = self.run("() => [localStorage.clear(), window.broken ?? null, document.images.length]")[1:]
        self.page.close()
        assert (broken, images) == (None, 0)
        assert [url for url in self.asked if not url.startswith((f"{self.url}/console", f"{self.url}/admin/"))] == []
        assert self.failures == []
