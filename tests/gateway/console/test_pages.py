"""The page and its files come with headers that let a browser load and run nothing else."""

import re
from importlib.resources import files

import pytest
from fastapi import FastAPI

from gateway.api import operators
from gateway.console import routes
from tests.gateway.asgi import Call

ASSETS = sorted(file.name for file in (files("gateway.console") / "assets").iterdir())
POLICY = {
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self' data:",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
}


def app() -> FastAPI:
    made = FastAPI()
    made.include_router(routes())
    operators.answer_errors(made)
    return made


async def got(target: str, *headers: tuple[bytes, bytes], method: str = "GET") -> Call:
    return await Call(method, target, b"", *headers).to(app())


@pytest.mark.parametrize("target", ["/console", *(f"/console/assets/{name}" for name in (*ASSETS, "chart.umd.min.js"))])
async def test_everything_is_served_with_strict_headers(target: str) -> None:
    call = await got(target)
    assert call.status == 200
    assert call.body
    assert set(call.header(b"content-security-policy").split("; ")) == POLICY
    assert call.header(b"x-content-type-options") == "nosniff"
    assert call.header(b"referrer-policy") == "no-referrer"
    assert call.header(b"cache-control") == "no-cache"


async def test_types_are_those_that_a_browser_insists_on() -> None:
    assert (await got("/console")).header(b"content-type") == "text/html; charset=utf-8"
    assert (await got("/console/assets/main.js")).header(b"content-type") == "text/javascript; charset=utf-8"
    assert (await got("/console/assets/console.css")).header(b"content-type") == "text/css; charset=utf-8"


async def test_what_is_known_is_not_sent_again() -> None:
    tag = (await got("/console/assets/main.js")).header(b"etag").encode()
    again = await got("/console/assets/main.js", (b"if-none-match", tag))
    assert (again.status, again.body) == (304, b"")
    assert (await got("/console/assets/main.js", (b"if-none-match", b'"other"'))).status == 200


@pytest.mark.parametrize("name", ["none.js", "..%2fpages.py", "%2e%2e/__init__.py", "console.html.bak"])
async def test_nothing_else_is_there(name: str) -> None:
    assert (await got(f"/console/assets/{name}")).status == 404


async def test_the_page_names_only_files_that_are_there_and_all_modules() -> None:
    named = set(re.findall(r'(?:src|href)="console/assets/([^"]+)"', (await got("/console")).body.decode()))
    assert named <= {*ASSETS, "chart.umd.min.js"}
    assert {name for name in ASSETS if name.endswith(".js")} <= named


@pytest.mark.parametrize("name", [name for name in ASSETS if name.endswith((".js", ".html", ".css"))])
def test_no_file_makes_markup_of_data_or_names_another_host(name: str) -> None:
    text = (files("gateway.console") / "assets" / name).read_text(encoding="utf-8")
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text)
    assert set(re.findall(r"https?://[^\s\"'`)]+", text)) <= {"http://www.w3.org/2000/svg"}


@pytest.mark.parametrize("name", [name for name in ASSETS if name.endswith((".js", ".css"))])
def test_files_stay_short(name: str) -> None:
    assert len((files("gateway.console") / "assets" / name).read_text(encoding="utf-8").splitlines()) < 400


async def test_a_slash_too_many_leads_to_the_page_whatever_the_proxy_calls_it() -> None:
    call = await got("/console/", (b"host", b"elsewhere.example"))
    assert (call.status, call.header(b"location")) == (307, "../console")
