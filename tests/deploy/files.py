"""The dashboards' panels and the rules' expressions, as they lie in deploy/."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.deploy.dockerfile import ROOT

PROMETHEUS = ROOT / "deploy/prometheus"
DASHBOARDS = sorted((ROOT / "deploy/grafana/dashboards").glob("*.json"))
# What Grafana puts in the place of its variables; `All` is .* here as in the dashboards. A sum over every minute would
# find nothing within a test's seconds.
_VARIABLES = {
    ":1m]": ":300ms]",
    "$__rate_interval": "1m",
    "$__range": "5m",
    "$team": ".*",
    "$model": ".*",
    "$upstream": ".*",
}


@dataclass(frozen=True, slots=True)
class Query:
    """An expression and where it stands; `legend` names labels that the result must have."""

    place: str
    expression: str
    legend: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return self.place


def board(path: Path) -> dict[str, Any]:
    """Return a dashboard."""
    loaded: dict[str, Any] = json.loads(path.read_text())
    return loaded


def panel_queries() -> Iterator[Query]:
    """Return what all panels ask for."""
    for path in DASHBOARDS:
        for panel in board(path)["panels"]:
            for target in panel.get("targets", ()):
                legend = frozenset(re.findall(r"\{\{(\w+)\}\}", target.get("legendFormat", "")))
                yield Query(f"{path.stem}: {panel['title']} {target['refId']}", filled(target["expr"]), legend)


def variable_queries() -> Iterator[tuple[str, str, str]]:
    """Return of what metric and label the dashboards' variables are made, and where."""
    for path in DASHBOARDS:
        for variable in board(path)["templating"]["list"]:
            found = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"]["query"])
            assert found, variable
            yield f"{path.stem}: ${variable['name']}", found[1], found[2]


def filled(expression: str) -> str:
    """Return an expression with Grafana's variables filled in."""
    for name, value in _VARIABLES.items():
        expression = expression.replace(name, value)
    assert "$" not in expression, expression
    return expression


def rules() -> Iterator[dict[str, Any]]:
    """Return all rules, recorded ones and alerts."""
    for path in sorted((PROMETHEUS / "rules").glob("*.yml")):
        for group in yaml.safe_load(path.read_text())["groups"]:
            yield from group["rules"]


def recorded() -> dict[str, str]:
    """Return the recorded series' names and expressions."""
    return {rule["record"]: rule["expr"] for rule in rules() if "record" in rule}


def rule_queries() -> Iterator[Query]:
    """Return the expressions of all rules; a text in an annotation names labels too."""
    for rule in rules():
        named = re.findall(r"\$labels\.(\w+)", json.dumps(rule.get("annotations", {})))
        yield Query(f"rule: {rule.get('record') or rule['alert']}", rule["expr"], frozenset(named))
