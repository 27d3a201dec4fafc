"""The dashboards' form: what Grafana needs to show them side by side."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.deploy import files

BOARDS = pytest.mark.parametrize("path", files.DASHBOARDS, ids=lambda path: path.stem)


def test_the_four_are_there() -> None:
    assert [path.stem for path in files.DASHBOARDS] == ["overview", "retrieval", "teams", "upstreams"]
    assert len({files.board(path)["uid"] for path in files.DASHBOARDS}) == 4


def cells(panel: dict[str, Any]) -> list[tuple[int, int]]:
    place = panel["gridPos"]
    columns = range(place["x"], place["x"] + place["w"])
    return [(x, y) for x in columns for y in range(place["y"], place["y"] + place["h"])]


@BOARDS
def test_panels_lie_side_by_side(path: Path) -> None:
    panels = files.board(path)["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken = Counter(cell for panel in panels for cell in cells(panel))
    assert max(taken.values()) == 1
    assert max(x for x, _ in taken) < 24


@BOARDS
def test_every_panel_says_what_it_shows_and_asks_the_provisioned_source(path: Path) -> None:
    for panel in files.board(path)["panels"]:
        if panel["type"] == "row":
            continue
        assert panel["title"]
        assert panel["description"]
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert panel["targets"]
        for target in panel["targets"]:
            assert target["datasource"] == panel["datasource"] == {"type": "prometheus", "uid": "prometheus"}
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])


@BOARDS
def test_every_variable_is_used(path: Path) -> None:
    board = files.board(path)
    asked = "".join(target["expr"] for panel in board["panels"] for target in panel.get("targets", ()))
    assert [one["name"] for one in board["templating"]["list"] if f"${one['name']}" not in asked] == []
