"""Makes docs/console/*.png: the console on a gateway with believable traffic, light and dark, in a real browser.

`python -m benchmarks.console_screenshots [--out docs/console]`; needs chromium and Playwright.
"""

import argparse
import asyncio
import json
import shutil
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.console_traffic import seed
from benchmarks.processes import ROOT, Server, free_port, running
from demo import texts
from gateway.store.sqlite import SqliteStore
from tests.upstreams import Upstream

TOKEN = "an-admin-token-for-pictures"  # noqa: S105 - of a gateway that is gone with this process
REQUESTS = 24_000
DAYS = 30
QUESTION = "When is the else clause of a while loop executed?"
CONFIG = """
upstreams:
  openai: {{base_url: "{url}"}}
  azure: {{base_url: "{url}", weight: 2}}
models:
  gpt-4o: {{upstreams: [openai, azure], fallbacks: [{{model: gpt-4o-mini}}]}}
  gpt-4o-mini: {{upstreams: [openai, azure]}}
  house-llm: {{upstream: azure, price: {{input: 0.9, output: 2.7}}}}
admin: {{token: "{token}"}}
teams:
  documentation: {{keys: ["sk-of-the-documentation"], budget: {{usd: 50, period: month}}}}
windowing: {{mode: "on", trigger_tokens: 4000, window_tokens: 2000, deadline_ms: 20000}}
logging: {{prompts: true}}
"""


@contextmanager
def gateway(upstream: Upstream) -> Iterator[Server]:
    """Run a gateway whose store holds the traffic of some weeks."""
    with tempfile.TemporaryDirectory(prefix="context-gateway-pictures-") as folder:
        asyncio.run(_write(Path(folder)))
        config, port = Path(folder) / "gateway.yaml", free_port()
        config.write_text(CONFIG.format(url=upstream.url, token=TOKEN))
        command = ["-m", "gateway.cli", "serve", "--config", str(config), "--port", str(port)]
        with running(command, port, "/readyz", timeout_s=180) as server:
            yield server


async def _write(folder: Path) -> None:
    store = SqliteStore(folder / "gateway.db", "process")
    await store.open()
    await seed(store, REQUESTS, DAYS, time.time())
    await store.close()


def asked(server: Server, model: str, question: str) -> str:
    """Send a real request, and return its id."""
    text = f"{texts.reference('compound')}\n\n{question}"
    body = {"model": model, "user": "handbook", "messages": [{"role": "user", "content": text}]}
    headers = {"authorization": "Bearer sk-of-the-documentation", "content-type": "application/json"}
    request = urllib.request.Request(  # noqa: S310 - our own loopback address
        f"{server.url}/v1/chat/completions", json.dumps(body).encode(), headers
    )
    with urllib.request.urlopen(request, timeout=60) as reply:  # noqa: S310 - our own loopback address
        return str(reply.headers["x-gateway-request-id"])


def pages(receipt: str) -> dict[str, str]:
    """Return the places to be taken, by their pictures' names."""
    return {
        "overview": "#/overview?range=30d",
        "team": "#/teams/support-desk",
        "requests": "#/requests?within=7d",
        "receipt": f"#/requests/{receipt}",
        "upstreams": "#/upstreams",
    }


def picture(page: Page, url: str, at: str, file: Path, whole: bool = True) -> None:
    """Take a picture of a place, once all of it is shown."""
    page.goto("about:blank")
    page.goto(f"{url}/console{at}")
    page.wait_for_selector("main[data-complete]:not([aria-busy]) #title", timeout=20_000)
    page.mouse.move(0, 0)
    page.screenshot(path=str(file), full_page=whole)
    print(file)


def take(browser: Browser, server: Server, receipt: str, out: Path) -> None:
    """Take all pictures."""
    for theme in ("light", "dark"):
        context = browser.new_context(viewport={"width": 1280, "height": 860}, color_scheme=theme)
        page = context.new_page()
        page.add_init_script(f"sessionStorage.setItem('context-gateway-token', '{TOKEN}')")
        for name, at in pages(receipt).items():
            picture(page, server.url, at, out / f"{name}-{theme}.png", whole=name != "requests")
    phone = browser.new_context(viewport={"width": 390, "height": 844}).new_page()
    phone.add_init_script(f"sessionStorage.setItem('context-gateway-token', '{TOKEN}')")
    picture(phone, server.url, "#/overview?range=30d", out / "overview-phone.png", whole=False)


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "console")
    out = parser.parse_args(arguments).out
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        sys.exit("no chromium on this machine (apt-get install chromium)")
    out.mkdir(parents=True, exist_ok=True)
    with Upstream() as upstream, gateway(upstream) as server, sync_playwright() as playwright:
        for model in ("gpt-4o", "gpt-4o-mini", "house-llm", "gpt-4o") * 2:
            receipt = asked(server, model, QUESTION)
        time.sleep(2)  # receipts are kept a second after their requests
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        take(browser, server, receipt, out)
        browser.close()


if __name__ == "__main__":
    main()
