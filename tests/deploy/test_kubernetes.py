"""The Kubernetes manifests: their shape, their references, and the schemas where a package brings them."""

import importlib
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.kit import DEPLOY

FOLDER = DEPLOY / "kubernetes"


def manifests() -> dict[str, dict[str, Any]]:
    """Return the resources of the kustomization by their kind."""
    kustomization = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
    found = [yaml.safe_load((FOLDER / name).read_text()) for name in kustomization["resources"]]
    return {one["kind"]: one for one in found}


def test_every_resource_is_listed_and_every_listed_one_is_there() -> None:
    files = {file.name for file in FOLDER.glob("*.yaml")} - {"kustomization.yaml"}
    kustomization = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
    assert files == set(kustomization["resources"])
    assert set(manifests()) == {
        "ServiceAccount", "PersistentVolumeClaim", "Deployment", "Service", "NetworkPolicy", "ServiceMonitor"
    }  # fmt: skip
    for one in manifests().values():
        assert one["apiVersion"] and one["metadata"]["name"] == "responder"


def test_one_writer_takes_the_file_after_the_other_has_let_go() -> None:
    spec = manifests()["Deployment"]["spec"]
    assert spec["replicas"] == 1 and spec["strategy"]["type"] == "Recreate"
    assert spec["template"]["spec"]["terminationGracePeriodSeconds"] > 30, "the daemon drains for up to 30 s"
    claims = [
        v["persistentVolumeClaim"]["claimName"]
        for v in spec["template"]["spec"]["volumes"]
        if "persistentVolumeClaim" in v
    ]
    assert claims == [manifests()["PersistentVolumeClaim"]["metadata"]["name"]]


def test_the_pod_may_do_nothing_that_it_need_not() -> None:
    pod = manifests()["Deployment"]["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True and pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault"
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}
    }  # fmt: skip
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
    assert container["resources"]["limits"]["memory"] and "cpu" not in container["resources"]["limits"]


def test_probes_service_monitor_and_policy_mean_the_same_port_and_pods() -> None:
    every = manifests()
    template = every["Deployment"]["spec"]["template"]
    [container] = template["spec"]["containers"]
    [port] = container["ports"]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"]["port"] == port["name"] == "http"
        assert container[probe]["httpGet"]["path"] in ("/-/ready", "/-/healthy")
    labels = template["metadata"]["labels"]
    assert every["Service"]["spec"]["selector"] == labels
    assert every["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"] == labels
    [endpoint] = every["ServiceMonitor"]["spec"]["endpoints"]
    assert endpoint["port"] == every["Service"]["spec"]["ports"][0]["name"]
    assert every["ServiceMonitor"]["spec"]["selector"]["matchLabels"] == every["Service"]["metadata"]["labels"]
    assert {"targetLabel": "job", "replacement": "responder"} in endpoint["relabelings"], (
        "ResponderAbsent asks for that job"
    )


def test_the_tokens_that_the_configuration_reads_are_mounted_where_it_looks() -> None:
    config = yaml.safe_load((FOLDER / "responder.yml").read_text())
    [container] = manifests()["Deployment"]["spec"]["template"]["spec"]["containers"]
    mounts = [mount["mountPath"] for mount in container["volumeMounts"]]
    for token in config["auth"]["tokens"]:
        assert str(Path(token["token_file"]).parent) in mounts


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.yaml")), ids=lambda file: file.stem)
def test_a_manifest_keeps_to_the_schema_of_its_kind(file: Path) -> None:
    try:
        validate = importlib.import_module("kubernetes_validate").validate
    except ImportError:
        pytest.skip("the package kubernetes-validate, which brings the schemas, is not installed")
    manifest = yaml.safe_load(file.read_text())
    if manifest["kind"] in ("Kustomization", "ServiceMonitor"):
        pytest.skip(f"{manifest['kind']} is no kind of Kubernetes itself")
    validate(manifest, "1.31", strict=True)


def test_kustomize_builds_it() -> None:
    path = shutil.which("kubectl")
    if path is None:
        pytest.skip("kubectl is not installed on this machine")
    done = subprocess.run([path, "kustomize", str(FOLDER)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    built = list(yaml.safe_load_all(done.stdout))
    assert {one["kind"] for one in built} == {*manifests(), "ConfigMap"}
    assert {one["metadata"]["namespace"] for one in built} == {"monitoring"}
