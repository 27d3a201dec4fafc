"""The manifests: valid against Kubernetes' own schemas, and the parts fit together."""

import shutil
import subprocess
from typing import Any

import kubernetes_validate
import pytest
import yaml

from gateway import config
from tests.deploy.dockerfile import ROOT, USER_ID

FOLDER = ROOT / "deploy/kubernetes"
# The oldest that is still looked after somewhere, and the newest that the schemas know.
VERSIONS = ("1.30", "1.37")
NOT_A_MANIFEST = {"kustomization.yaml", "gateway.yaml"}
Manifest = dict[str, Any]


def manifests() -> list[Manifest]:
    """Return all manifests of the folder, the example of a secret among them."""
    paths = sorted(path for path in FOLDER.glob("*.yaml") if path.name not in NOT_A_MANIFEST)
    return [one for path in paths for one in yaml.safe_load_all(path.read_text())]


def named(one: Manifest) -> str:
    return f"{one['kind']} {one['metadata']['name']}"


def manifest(kind: str, name: str = "context-gateway") -> Manifest:
    (found,) = [one for one in manifests() if named(one) == f"{kind} {name}"]
    return found


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("one", manifests(), ids=named)
def test_a_manifest_is_valid(one: Manifest, version: str) -> None:
    assert kubernetes_validate.validate(one, version, strict=True) == version


def test_a_wrong_field_is_found() -> None:
    wrong = manifest("Deployment")
    wrong["spec"]["template"]["spec"]["containers"][0]["readinessProb"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="readinessProb"):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


def kustomization() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
    return found


def test_kustomize_names_every_file_but_the_example() -> None:
    there = {path.name for path in FOLDER.glob("*.yaml")} - NOT_A_MANIFEST - {"secret.example.yaml"}
    assert set(kustomization()["resources"]) == there
    assert kustomization()["configMapGenerator"] == [{"name": "context-gateway", "files": ["gateway.yaml"]}]


def test_kustomize_makes_valid_manifests_of_them() -> None:
    program = shutil.which("kubectl")
    if program is None:
        pytest.skip("kubectl is not installed")
    done = subprocess.run([program, "kustomize", str(FOLDER)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    made = list(yaml.safe_load_all(done.stdout))
    for one in made:
        kubernetes_validate.validate(one, VERSIONS[-1], strict=True)
    assert {one["kind"] for one in made} == {one["kind"] for one in manifests()} - {"Secret"} | {"ConfigMap"}
    (deployment,) = [one for one in made if one["kind"] == "Deployment"]
    (settings,) = [one for one in made if one["kind"] == "ConfigMap"]
    pod = deployment["spec"]["template"]["spec"]
    # The name ends with what the file's content is: a change of it rolls the pods.
    assert pod["volumes"][0]["configMap"]["name"] == settings["metadata"]["name"] != "context-gateway"
    assert pod["containers"][0]["image"] == "registry.example.com/context-gateway:0.1.0"


def pod() -> dict[str, Any]:
    found: dict[str, Any] = manifest("Deployment")["spec"]["template"]["spec"]
    return found


def test_the_configuration_can_be_used_with_what_the_secret_holds() -> None:
    secret = manifest("Secret")
    path = FOLDER / "gateway.yaml"
    settings = config.load(path, secret["stringData"])
    assert settings.redis is not None
    address = yaml.safe_load(path.read_text())["redis"]["url"].split("/")[2]
    assert address == f"{manifest('Service', 'redis')['metadata']['name']}:6379"
    assert settings.redis.replicas == manifest("HorizontalPodAutoscaler")["spec"]["maxReplicas"]
    assert pod()["containers"][0]["envFrom"] == [{"secretRef": {"name": secret["metadata"]["name"]}}]


def test_a_pod_is_nobody_and_writes_where_the_image_says() -> None:
    container = pod()["containers"][0]
    assert pod()["securityContext"]["runAsNonRoot"]
    assert pod()["securityContext"]["runAsUser"] == USER_ID
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert {one["mountPath"] for one in container["volumeMounts"]} == {"/etc/context-gateway", "/tmp", "/data"}  # noqa: S108


def test_a_pod_has_time_to_drain() -> None:
    container = pod()["containers"][0]
    (drain,) = [float(one["value"]) for one in container["env"] if one["name"] == "CONTEXT_GATEWAY_DRAIN_S"]
    probe = container["readinessProbe"]
    assert drain > probe["periodSeconds"] * probe["failureThreshold"]
    assert pod()["terminationGracePeriodSeconds"] > drain + 30


def test_probes_ask_what_the_gateway_answers() -> None:
    container = pod()["containers"][0]
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert container["livenessProbe"]["httpGet"]["path"] == container["startupProbe"]["httpGet"]["path"] == "/healthz"
    assert container["ports"] == [{"name": "http", "containerPort": 8080}]


def test_all_that_selects_pods_selects_the_gateways() -> None:
    labels = manifest("Deployment")["spec"]["template"]["metadata"]["labels"]
    assert manifest("Service")["spec"]["selector"] == labels
    assert manifest("PodDisruptionBudget")["spec"]["selector"]["matchLabels"] == labels
    assert manifest("HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]["name"] == "context-gateway"
    allowed = manifest("NetworkPolicy", "redis")["spec"]["ingress"][0]["from"][0]["podSelector"]["matchLabels"]
    assert allowed == labels


def test_the_store_is_the_one_of_compose() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["redis"]
    container = manifest("StatefulSet", "redis")["spec"]["template"]["spec"]["containers"][0]
    assert (container["image"], container["args"]) == (compose["image"], compose["command"])
