"""docker-compose.yml: of the right form, and its parts fit together."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from gateway import config
from tests.deploy.compose_schema import SCHEMA
from tests.deploy.dockerfile import ROOT

FILE = ROOT / "docker-compose.yml"
EXAMPLE = ROOT / ".env.example"


def loaded() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(FILE.read_text())
    return found


def services() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = loaded()["services"]
    return found


def example() -> dict[str, str]:
    """Return the variables that the example sets."""
    pairs = (line.partition("=") for line in EXAMPLE.read_text().splitlines() if line and not line.startswith("#"))
    return {name: value for name, _, value in pairs}


def mistakes(document: object) -> list[str]:
    return [error.message for error in jsonschema.Draft202012Validator(SCHEMA).iter_errors(document)]


def test_its_form_is_right() -> None:
    assert mistakes(loaded()) == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("imagee", "x:1"),
        ("image", "nginx"),
        ("ports", ["8080:8080"]),
        ("depends_on", {"redis": {"condition": "healthy"}}),
        ("stop_grace_period", 40),
        ("environment", {"KEY": "${KEY}"}),
    ],
)
def test_a_wrong_field_is_found(field: str, value: object) -> None:
    wrong = deepcopy(loaded())
    wrong["services"]["nginx"][field] = value
    assert len(mistakes(wrong)) == 1


@pytest.mark.slow
def test_compose_itself_takes_it() -> None:
    program = shutil.which("docker-compose")
    if program is None:
        pytest.skip("docker-compose is not installed (apt-get install docker-compose)")
    command = [program, "--env-file", str(EXAMPLE), "-f", str(FILE), "config"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert set(yaml.safe_load(done.stdout)["services"]) == set(services())


def variables(text: str) -> set[str]:
    return set(re.findall(r"\$\{([A-Z_]+)", text))


def test_the_example_sets_every_variable_and_no_other() -> None:
    assert variables(FILE.read_text()) == set(example())


def test_the_gateways_configuration_can_be_used() -> None:
    path = ROOT / "deploy/compose/gateway.yaml"
    given = services()["gateway-1"]["environment"]
    assert variables(path.read_text()) == set(given)
    settings = config.load(path, example())
    assert settings.redis is not None
    assert settings.redis.replicas == len(gateways())
    assert yaml.safe_load(path.read_text())["redis"]["url"] == "redis://redis:6379/0"
    assert services()["redis"]["expose"] == ["6379"]


def test_the_images_own_configuration_can_be_used() -> None:
    settings = config.load(ROOT / "deploy/image/gateway.yaml", {})
    assert str(settings.store.path) == "/data/gateway.db"
    assert not settings.admin.enabled


def gateways() -> list[str]:
    return sorted(name for name in services() if name.startswith("gateway-"))


def test_nginx_and_prometheus_know_every_gateway() -> None:
    wanted = [f"{name}:8080" for name in gateways()]
    assert re.findall(r"server (gateway-\d:\d+)", (ROOT / "deploy/nginx/nginx.conf").read_text()) == wanted
    scrape = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())["scrape_configs"]
    assert scrape[0]["static_configs"][0]["targets"] == wanted


def mounts() -> Iterator[tuple[str, str]]:
    for service in services().values():
        for volume in service.get("volumes", ()):
            source, target, *_ = volume.split(":")
            yield source, target


def test_what_is_mounted_is_there() -> None:
    for source, _ in mounts():
        assert (ROOT / source).exists() if source.startswith("./") else source in loaded()["volumes"]


def test_grafana_finds_its_dashboards_and_prometheus() -> None:
    places = {target: source for source, target in mounts()}
    folder = ROOT / "deploy/grafana/provisioning"
    provider = yaml.safe_load((folder / "dashboards/dashboards.yml").read_text())["providers"][0]
    assert (ROOT / places[provider["options"]["path"]]).samefile(ROOT / "deploy/grafana/dashboards")
    home = Path(services()["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert (ROOT / places[str(home.parent)] / home.name).exists()
    source = yaml.safe_load((folder / "datasources/prometheus.yml").read_text())["datasources"][0]
    assert source["url"] == "http://prometheus:9090"
    assert source["uid"] == "prometheus"


def test_the_store_forgets_nothing() -> None:
    command = services()["redis"]["command"]
    assert command[command.index("--maxmemory-policy") + 1] == "noeviction"
    assert command[command.index("--appendonly") + 1] == "yes"


@pytest.mark.parametrize("name", sorted(services()))
def test_nothing_may_write_but_where_it_has_to(name: str) -> None:
    service = services()[name]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


def test_only_this_machine_reaches_it_unless_the_operator_says_so() -> None:
    ports = [port for service in services().values() for port in service.get("ports", ())]
    assert len(ports) == 3
    assert all(":-127.0.0.1:" in port for port in ports)
    assert all(value.startswith("127.0.0.1:") for name, value in example().items() if name.endswith("_ADDRESS"))


def test_a_gateway_has_time_to_drain() -> None:
    """3 s of draining, 30 s for what has begun."""
    assert all(int(services()[name]["stop_grace_period"].removesuffix("s")) > 33 for name in gateways())
