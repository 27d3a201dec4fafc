"""A browser, and two gateways: one with teams and traffic, one with nothing in it."""

import asyncio
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, sync_playwright

from benchmarks.console_traffic import seed
from benchmarks.processes import Server, free_port, running
from demo import texts
from gateway.store.sqlite import SqliteStore
from tests.console.looking import ADMIN, NASTY, READER, Console
from tests.integration.conftest import serve_command
from tests.upstreams import Upstream

SEEDED = 600
CONFIG = """
upstreams:
  main: {{base_url: "{upstream}"}}
  dead: {{base_url: "http://127.0.0.1:{dead}/v1"}}
models:
  gpt-4o-mini: {{upstream: main}}
  gpt-own: {{upstream: main, price: {{input: 1.5, output: 6}}}}
  gpt-dead: {{upstreams: [dead], fallbacks: []}}
admin: {{token: "{admin}", read_token: "{reader}"}}
teams:
  declared: {{keys: ["sk-of-the-declared-team"], limits: {{concurrent: 50}}}}
windowing: {{mode: "on", trigger_tokens: 4000, window_tokens: 2000, deadline_ms: 20000}}
logging: {{prompts: true}}
"""
LONG = texts.reference("compound") + "\n\nWhen is the else clause of a while loop executed?"


def chromium() -> str:
    """Return where the browser is; skip where there is none."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("no chromium on this machine (apt-get install chromium)")
    return found


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """The browser; gone when the package's tests are over, since others' loops could not run beside its own."""
    path = chromium()
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield started
        started.close()


def write(folder: Path, entries: int, days: float) -> None:
    """Write teams and traffic into the store of the configuration in that folder."""

    async def written() -> None:
        store = SqliteStore(folder / "gateway.db", "process")
        await store.open()
        await seed(store, entries, days, time.time())
        await store.close()

    with ThreadPoolExecutor(1) as apart:  # Playwright runs a loop in this thread as long as its browser is there
        apart.submit(asyncio.run, written()).result()


@contextmanager
def served(folder: Path, config: str) -> Iterator[Server]:
    """Run the gateway with that configuration."""
    (folder / "gateway.yaml").write_text(config)
    port = free_port()
    with running(serve_command(folder / "gateway.yaml", port), port, "/healthz") as server:
        yield server


def configured(upstream: Upstream) -> str:
    return CONFIG.format(upstream=upstream.url, dead=free_port(), admin=ADMIN, reader=READER)


@pytest.fixture(scope="package")
def server(browser: Browser, running_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The gateway with teams and traffic of the last days; the browser comes first, since without it all is skipped."""
    folder = tmp_path_factory.mktemp("console")
    write(folder, SEEDED, 6)
    with served(folder, configured(running_upstream)) as started:
        send(started, NASTY, user=NASTY)
        send(started, "gpt-dead", user="unlucky")
        yield started


@pytest.fixture(scope="package")
def bare(browser: Browser, running_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The gateway with nothing in it, which needs no token on this machine."""
    config = f'upstreams: {{main: {{base_url: "{running_upstream.url}"}}}}\nwindowing: {{mode: "off"}}\n'
    with served(tmp_path_factory.mktemp("bare"), config) as started:
        yield started


def send(server: Server, model: str, content: str = "Hello?", **more: Any) -> httpx.Response:
    """Send a request of the declared team."""
    body = {"model": model, "messages": [{"role": "user", "content": content}], **more}
    headers = {"Authorization": "Bearer sk-of-the-declared-team"}
    return httpx.post(f"{server.url}/v1/chat/completions", json=body, headers=headers, timeout=30)


@pytest.fixture(scope="package")
def usual(browser: Browser) -> Iterator[BrowserContext]:
    """What most tests' tabs are opened in: a desk's width, a light theme; what tabs keep is their own."""
    with browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme="light") as context:
        yield context


@pytest.fixture
def opened(browser: Browser, usual: BrowserContext, server: Server) -> Iterator[Callable[..., Console]]:
    """Opens the console; a console whose page ran what it should not, or failed, fails the test."""
    made: list[Console] = []

    def opening(token: str = ADMIN, at: str = "#/overview", url: str = server.url, **context: Any) -> Console:
        console = Console(browser.new_context(**context).new_page() if context else usual.new_page(), url)
        made.append(console)
        console.enter(token, at)
        return console

    yield opening
    for console in made:
        console.close()
