"""Every panel's query and every rule against a live scrape of a gateway under traffic, and in a real Prometheus."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.processes import Server
from gateway.upstreams.attempts import Outcome
from gateway.windowing.types import Decision, Reason
from tests.deploy import files, observed
from tests.deploy.files import PROMETHEUS, Query
from tests.deploy.observed import Scrape
from tests.deploy.promql import Matcher, Selector, selectors
from tests.integration.client import eventually, send
from tests.upstreams import Upstream

# What Prometheus itself adds to what it scrapes.
ADDED = {"job": {"context-gateway"}, "instance": {"127.0.0.1"}}
OWN = {"up": ADDED, "ALERTS": {"alertname": {"GatewayUpstreamDown"}, "alertstate": {"firing", "pending"}, **ADDED}}
# Values that are in the code's closed lists, though this traffic does not make all of them.
LISTED = {
    "outcome": {*Outcome},
    "decision": {*Decision},
    "reason": {*Reason},
    "code": {"internal_error", "store_unavailable", "upstream_unavailable", "upstream_unreachable", "upstream_timeout"},
}
# What has nothing to show where nothing is wrong for minutes.
QUIET = {"overview: Alerts that fire A", *(f"rule: {rule['alert']}" for rule in files.rules() if "alert" in rule)}
QUERIES = [*files.panel_queries(), *files.rule_queries()]
NEEDS_PROMETHEUS = pytest.mark.skipif(
    shutil.which("prometheus") is None, reason="prometheus is not installed (apt-get install prometheus)"
)
NEEDS_PROMTOOL = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed (apt-get install prometheus)"
)


@pytest.fixture(scope="module")
def gateway(running_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with observed.observed_gateway(tmp_path_factory.mktemp("observed"), running_upstream) as server:
        yield server


def scraped(server: Server) -> Scrape:
    return Scrape.of(send(server.url, "GET", "/metrics").body.decode())


@pytest.fixture(scope="module")
def scrape(gateway: Server) -> Scrape:
    """A scrape that shows what a killed gateway left as well, which is found when its reservation has expired."""
    assert eventually(lambda: "context_gateway_unsettled_total" in scraped(gateway).metrics, 20)
    assert eventually(lambda: "context_gateway_client_gone_total" in scraped(gateway).metrics)
    return scraped(gateway)


@pytest.fixture(scope="module")
def prometheus(
    gateway: Server, scrape: Scrape, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[observed.Prometheus]:
    with observed.prometheus(tmp_path_factory.mktemp("prometheus"), gateway.url) as found:
        observed.wait_scraped(found, 2)
        observed.ask(gateway.url + "/v1", content=observed.LONG)
        observed.wait_scraped(found, 8)
        yield found


def labels_of(metric: str, scrape: Scrape) -> dict[str, set[str]]:
    """Return the labels and values that a metric has, be it scraped, recorded or Prometheus' own."""
    if metric in OWN:
        return OWN[metric]
    if metric in scrape.metrics:
        return {**scrape.metrics[metric], **ADDED}
    expression = files.recorded().get(metric)
    assert expression is not None, f"{metric} is in no scrape and is not recorded"
    read = selectors(expression)
    kept = set.union(*(one.groups for one in read))
    found: dict[str, set[str]] = {}
    for one in read:
        for name, values in labels_of(one.metric, scrape).items():
            if name in kept:
                found.setdefault(name, set()).update(values)
    return found


def complaints(selector: Selector, scrape: Scrape) -> Iterator[str]:
    labels = labels_of(selector.metric, scrape)
    yield from (f"{selector.metric} has no label {name}" for name in selector.groups - labels.keys())
    for one in selector.matchers:
        if one.label not in labels:
            yield f"{selector.metric} has no label {one.label}"
        else:
            yield from unseen(one, labels[one.label] | LISTED.get(one.label, set()))


def unseen(matcher: Matcher, values: set[str]) -> Iterator[str]:
    """Say which of the values that are asked for no request ever has."""
    wanted = matcher.value.split("|") if re.fullmatch(r"[\w|]+", matcher.value) else [matcher.value]
    for pattern in wanted:
        if not any(re.fullmatch(pattern, value) for value in values):
            yield f"no {matcher.label} is ever {pattern}"


@pytest.mark.parametrize("query", QUERIES, ids=str)
def test_what_a_query_names_is_there(query: Query, scrape: Scrape) -> None:
    found = selectors(query.expression)
    assert found
    assert [said for one in found for said in complaints(one, scrape)] == []


def test_dashboards_variables_are_there(scrape: Scrape) -> None:
    wrong = [place for place, metric, label in files.variable_queries() if label not in scrape.metrics[metric]]
    assert wrong == []


def test_every_metric_is_on_a_dashboard_or_in_a_rule(scrape: Scrape) -> None:
    """Also those through a recorded series; what nobody looks at need not be counted."""
    read = {one.metric for query in QUERIES for one in selectors(query.expression)}
    ours = {name for name in scrape.metrics if not name.endswith("_created")}
    families = {re.sub(r"_(bucket|count|sum)$", "", name) for name in ours}
    assert families - {re.sub(r"_(bucket|count|sum)$", "", name) for name in read} == set()


def test_a_metric_label_or_value_that_is_not_there_is_found(scrape: Scrape) -> None:
    """The check can fail."""
    (typo,) = selectors('sum by (tema) (rate(context_gateway_errors_total{code="upstream_timeuot"}[5m]))')
    assert list(complaints(typo, scrape)) == [
        "context_gateway_errors_total has no label tema",
        "no code is ever upstream_timeuot",
    ]
    with pytest.raises(AssertionError, match="in no scrape"):
        labels_of("context_gateway_erors_total", scrape)


@NEEDS_PROMETHEUS
@pytest.mark.parametrize("query", QUERIES, ids=str)
def test_prometheus_answers_a_query(query: Query, prometheus: observed.Prometheus) -> None:
    result = prometheus.query(query.expression)
    assert result or query.place in QUIET
    for series in result:
        assert query.legend <= series["metric"].keys()


@NEEDS_PROMETHEUS
def test_prometheus_evaluates_every_rule(prometheus: observed.Prometheus) -> None:
    health = {rule["name"]: (rule["health"], rule.get("lastError")) for rule in prometheus.rules()}
    assert health == {rule.get("record") or rule["alert"]: ("ok", None) for rule in files.rules()}


@NEEDS_PROMETHEUS
def test_alerts_fire_for_what_happened(prometheus: observed.Prometheus) -> None:
    """Those that wait for nothing: a budget's soft limits, and a request that nobody settled."""

    def firing() -> set[str]:
        return {series["metric"]["alertname"] for series in prometheus.query('ALERTS{alertstate="firing"}')}

    assert eventually(lambda: {"GatewayBudgetAt80", "GatewayBudgetAt95", "GatewayUnsettled"} <= firing())
    pending = {series["metric"]["alertname"] for series in prometheus.query('ALERTS{alertstate="pending"}')}
    assert "GatewayUpstreamDown" in pending


def promtool(*arguments: str, folder: Path = PROMETHEUS) -> subprocess.CompletedProcess[str]:
    # Each unit test makes a database; in memory that takes no time.
    memory = Path("/dev/shm")  # noqa: S108 - promtool makes folders of its own there
    environment = {**os.environ, "TMPDIR": str(memory)} if memory.is_dir() else None
    command = [shutil.which("promtool") or "", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@NEEDS_PROMTOOL
def test_promtool_checks_the_configuration_and_its_rules() -> None:
    done = promtool("check", "config", "--lint=all", "--lint-fatal", "prometheus.yml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 rule files found" in done.stdout


@NEEDS_PROMTOOL
def test_the_rules_unit_tests_pass() -> None:
    tests = sorted(path.name for path in (PROMETHEUS / "tests").glob("*.yml"))
    done = promtool("test", "rules", *tests, folder=PROMETHEUS / "tests")
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_unit_test() -> None:
    tested = "".join(path.read_text() for path in (PROMETHEUS / "tests").glob("*.yml"))
    assert [r["alert"] for r in files.rules() if "alert" in r and f"alertname: {r['alert']}" not in tested] == []


def test_every_alert_says_how_bad_it_is_and_what_to_do() -> None:
    alerts = [rule for rule in files.rules() if "alert" in rule]
    assert alerts
    for rule in alerts:
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert rule["annotations"].keys() == {"summary", "description"}
