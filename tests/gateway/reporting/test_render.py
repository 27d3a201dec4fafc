import csv
import io
import json
import re
from decimal import Decimal
from typing import Any

import pytest

from gateway.reporting.columns import COLUMNS
from gateway.reporting.gather import Scope
from gateway.reporting.render import to_csv, to_plain
from gateway.reporting.rows import Table, table
from gateway.store.entries import Group, Span, Usages

SCOPE = Scope(Span(1_700_000_000.0, 1_700_086_400.5), (Group.TEAM,), "acme")


def of(*teams: str) -> Table:
    usages = [
        Usages((team, "settled"), requests=2, priced=2, cost_nano=1_000_000_001, saved_nano=-3, timed=2, total_ms=7.0)
        for team in teams
    ]
    return table(usages, (Group.TEAM, Group.STATE), (Group.TEAM,))


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_csv_has_every_figure_exact_and_no_sum() -> None:
    lines = read(to_csv(of("b", "a")))
    assert list(lines[0]) == ["team", *(column.name for column in COLUMNS)]
    assert [line["team"] for line in lines] == ["a", "b"]
    assert (lines[0]["requests"], lines[0]["cost_usd"], lines[0]["saved_usd"]) == ("2", "1.000000001", "-0.000000003")
    assert (lines[0]["effective_tokens"], lines[0]["mean_first_byte_ms"]) == ("", "")


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "  =1+1", "＝1", "＠x", '=cmd|" /C calc"!A0'])
def test_no_name_is_a_formula(name: str) -> None:
    text = to_csv(of(name))
    assert read(text)[0]["team"] == f"'{name}"


@pytest.mark.parametrize("name", ["a;=1+1", "a\t=1", "a\n@x", "a\r+1", "a; -1", "=1;=1", ";=1", "\t=1", "\r=1", "\n=1"])
def test_no_part_of_a_name_is_a_formula_where_something_else_separates_cells(name: str) -> None:
    found = read(to_csv(of(name)))[0]["team"]
    assert [cell for cell in re.split(r"[;\t\r\n]", found) if cell.lstrip()[:1] in {"=", "+", "-", "@"}] == []
    assert found.replace("'", "") == name


@pytest.mark.parametrize("name", ["acme", "a=b", "o'neill", 'say "x", then\ny', "", "工程", "a-b", "a;b", "a; b=1"])
def test_any_other_name_is_as_it_was(name: str) -> None:
    lines = read(to_csv(of(name, "zz")))
    assert [line["team"] for line in lines] == sorted([name, "zz"])


def test_csv_of_nothing_is_its_head() -> None:
    assert read(to_csv(of())) == []
    assert to_csv(of()).startswith("team,requests,windowed,")


def test_plain_values_are_json_with_money_as_text() -> None:
    found: Any = json.loads(json.dumps(to_plain(of("a", "b"), SCOPE)))
    assert (found["from"], found["to"]) == ("2023-11-14T22:13:20.000Z", "2023-11-15T22:13:20.500Z")
    assert (found["team"], found["group_by"]) == ("acme", ["team"])
    assert [row["group"] for row in found["rows"]] == [{"team": "a"}, {"team": "b"}]
    assert set(found["rows"][0]) == {"group", *(column.name for column in COLUMNS)}
    assert (found["rows"][0]["mean_total_ms"], found["rows"][0]["effective_tokens"]) == (3.5, None)
    assert Decimal(found["total"]["cost_usd"]) == sum(Decimal(row["cost_usd"]) for row in found["rows"])
    assert (found["total"]["saved_usd"], found["total"]["requests"]) == ("-0.000000006", 4)
