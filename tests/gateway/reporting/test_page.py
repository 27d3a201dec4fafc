import base64
import csv
import hashlib
import io
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path

import pytest_asyncio

from gateway.reporting.gather import Charted, Scope, charted, groups_of
from gateway.reporting.page import to_html
from gateway.reporting.render import to_csv
from gateway.store.contract import Store
from gateway.store.entries import Entry, Span
from tests.gateway.reporting.ledgers import DAY_S, DAYS, MODELS, SPAN, START, TEAMS, entries, fill, lapsed, opened

_EMPTY = {"meta", "link", "img", "br"}


@dataclass
class Grid:
    """A table of the page."""

    columns: list[str] = field(default_factory=list)
    rows: list[dict[str, str]] = field(default_factory=list)


class Page(HTMLParser):
    """A page as a browser reads it: its elements, its tables' exact figures, its scripts."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.grids: dict[str, Grid] = {}
        self.scripts: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self._exact: str | None = None
        self._grid = Grid()
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        self.elements.append((tag, known))
        if tag not in _EMPTY:
            self._open.append(tag)
        if tag == "table":
            self._grid = self.grids[known["id"] or ""] = Grid()
        elif tag == "tr":
            self._grid.rows.append({})
        elif tag == "td":
            self._exact = known.get("data-value")
        elif tag == "th" and "data-column" in known:
            self._grid.columns.append(known["data-column"] or "")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        inside = self._open[-1] if self._open else ""
        if inside == "script":
            self.scripts.append(data)
        elif inside != "style":
            self.text += data
        if inside in {"th", "td"} and "thead" not in self._open:
            self._cell(inside, data)

    def _cell(self, kind: str, shown: str) -> None:
        row = self._grid.rows[-1]
        names = [name for name in row if name.startswith("group ")]
        if kind == "th":
            row[f"group {len(names)}"] = shown
        else:
            column = self._grid.columns[len(row) - len(names)]
            row[column] = shown.replace(",", "") if self._exact is None else self._exact

    def bodies(self, name: str) -> list[dict[str, str]]:
        """Return the table's rows between its head and its total."""
        return self.grids[name].rows[1:-1]

    def total(self, name: str) -> dict[str, str]:
        return self.grids[name].rows[-1]


@pytest_asyncio.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with opened(tmp_path) as store:
        await fill(store, [*entries(2000), *lapsed(5)])
        yield store


async def report(store: Store, groups: str = "team,model", team: str | None = None) -> Charted:
    return await charted(store, Scope(SPAN, groups_of(groups), team))


async def test_the_page_loads_nothing_from_anywhere(store: Store) -> None:
    page = Page(to_html(await report(store)))
    assert {"script", "style", "canvas", "table"} <= {tag for tag, _ in page.elements}
    assert not {tag for tag, _ in page.elements} & {"img", "link", "iframe", "object", "embed", "base", "form"}
    attributes = {name for _, known in page.elements for name in known}
    assert not attributes & {"src", "href", "srcset", "action", "style"}
    assert not any(name.startswith("on") for name in attributes)
    style = re.search(r"<style>(.*?)</style>", to_html(await report(store)), re.DOTALL)
    assert style
    assert not re.search(r"url\(|@import|//", style[1])
    assert "sourceMappingURL" not in page.scripts[0]


async def test_only_the_pages_own_scripts_may_run(store: Store) -> None:
    text = to_html(await report(store))
    page = Page(text)
    policy = next(known["content"] or "" for tag, known in page.elements if tag == "meta" and "http-equiv" in known)
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert len(page.scripts) == 2
    for script in page.scripts:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy.partition("script-src")[2]
    assert "Permission is hereby granted" in page.scripts[0]


async def test_what_callers_wrote_is_text(store: Store) -> None:
    page = Page(to_html(await report(store, "team,model,user")))
    assert [tag for tag, _ in page.elements].count("script") == 2
    for name in (*TEAMS, *MODELS):
        assert name in page.text
    hostile = Page(to_html(await report(store, team='"><img src=x onerror=alert(1)>')))
    assert 'team "><img src=x onerror=alert(1)>' in hostile.text
    assert "img" not in [tag for tag, _ in hostile.elements]


async def test_figures_are_those_of_the_csv(store: Store) -> None:
    found = await report(store)
    page = Page(to_html(found))
    lines = list(csv.DictReader(io.StringIO(to_csv(found.table))))
    rows = page.bodies("groups")
    assert len(rows) == len(lines) == len(TEAMS) * len(MODELS)
    for row, line in zip(rows, lines, strict=True):
        assert (row.pop("group 0"), row.pop("group 1")) == (line["team"].removeprefix("'"), line["model"])
        assert row == {name: line[name] for name in row}
    for name in ("days", "teams", "models"):
        total = page.total(name)
        assert total == {column: page.total("groups")[column] for column in total}


async def test_what_would_have_been_saved_in_shadow_stands_apart(store: Store) -> None:
    found = await report(store)
    page = Page(to_html(found))
    lines = list(csv.DictReader(io.StringIO(to_csv(found.table))))
    for row, line in zip(page.bodies("shadow"), [line for line in lines if line["shadowed"] != "0"], strict=True):
        assert {row.pop("group 0"), row.pop("group 1")} == {line["team"].removeprefix("'"), line["model"]}
        assert row == {name: line[name] for name in row}
    assert "nothing of it was saved" in page.text
    assert float(page.total("shadow")["would_save_usd"]) == float(found.table.total.would_save_usd or 0) > 0
    team, model = TEAMS[0], MODELS[0]
    await fill(store, [Entry(id="no shadow", team="calm", model=model, time=START)])
    assert "calm" not in [row["group 0"] for row in Page(to_html(await report(store))).bodies("shadow")]
    calm = Page(to_html(await report(store, "", "calm")))
    assert "shadow" not in calm.grids
    assert "nothing of it was saved" not in calm.text
    assert "nothing of it was saved" in Page(to_html(await report(store, "", team))).text


async def test_every_chart_has_the_table_that_it_is_drawn_of(store: Store) -> None:
    page = Page(to_html(await report(store)))
    charts = [known for tag, known in page.elements if tag == "canvas"]
    assert len(charts) == 7
    for chart in charts:
        rows = page.bodies(chart["data-table"] or "")
        assert rows
        columns = (chart["data-columns"] or "").split()
        assert set(columns) <= set(rows[0])
        assert chart["aria-label"]
        assert chart.get("data-line") in (None, *columns)


async def test_days_without_requests_are_shown_too(store: Store) -> None:
    days = Page(to_html(await report(store))).bodies("days")
    assert [day["group 0"] for day in days] == [f"2026-11-{number + 1:02}" for number in range(DAYS)]
    assert (days[5]["requests"], days[5]["cost_usd"]) == ("0", "")


async def test_of_many_models_the_others_are_one_bar(store: Store) -> None:
    await fill(store, [Entry(id=f"m{n}", team="acme", model=f"m{n}", time=START + n) for n in range(300)])
    page = Page(to_html(await report(store)))
    models, groups = page.bodies("models"), page.bodies("groups")
    assert (len(models), models[-1]["group 0"]) == (16, "289 others")
    assert (len(groups), groups[-1]["group 0"]) == (101, "212 others")
    for rows in (models, groups):
        assert sum(int(row["requests"]) for row in rows) == int(page.total("groups")["requests"])


async def test_a_ledger_of_nothing_is_said_to_be_empty(store: Store) -> None:
    page = Page(to_html(await report(store, team="nobody")))
    assert "The ledger holds no request of this time." in page.text
    assert (page.grids, [tag for tag, _ in page.elements].count("canvas")) == ({}, 0)


async def test_the_file_is_small_enough_to_send(store: Store) -> None:
    many = [f"a-name-of-some-length-{number}" for number in range(120)]
    await fill(store, [Entry(id=name, team=name, model=name, time=START) for name in many])
    quarter = Scope(Span(START - 70 * DAY_S, SPAN.until), groups_of("team,model"))
    await fill(store, [Entry(id="first", team="acme", time=quarter.span.since)])
    page = to_html(await charted(store, quarter))
    assert (len(Page(page).bodies("days")), len(Page(page).bodies("groups"))) == (90, 101)
    assert len(page.encode()) < 300_000


def test_the_library_is_the_published_one() -> None:
    code = (files("gateway.reporting") / "assets" / "chart.umd.min.js").read_bytes()
    assert b"Chart.js v4.6.1" in code[:200]
    assert hashlib.sha256(code).hexdigest() == "87364cc2b2a76a6684929e7d6b80b18a897794db38400caff1fcf1791c6925d2"
