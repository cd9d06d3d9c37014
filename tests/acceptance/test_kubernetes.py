"""The manifests of deploy/kubernetes, rendered: valid, bounded, and saying to the program what it reads."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from contract import SHIPPED_MODEL
from contract.settings import Settings
from producer import cli as producer_cli
from tests.kustomize import rendered
from worker import cli as worker_cli

FOLDER = Path(__file__).parents[2] / "deploy" / "kubernetes"
VERSION = "1.34"
#: KEDA's own kinds, as far as we use them: https://keda.sh/docs/2.18/reference/scaledobject-spec/ and
#: https://keda.sh/docs/2.18/scalers/metrics-api/
_SCALED = {
    "scaleTargetRef",
    "minReplicaCount",
    "maxReplicaCount",
    "pollingInterval",
    "cooldownPeriod",
    "advanced",
    "triggers",
}
_METRICS_API = {"url", "format", "valueLocation", "targetValue", "authMode"}


def with_component(name: str, folder: Path) -> list[dict[str, Any]]:
    """The overlay `trial` with a component, as docs/kubernetes.md says."""
    about = yaml.safe_load((FOLDER / "trial" / "kustomization.yaml").read_text())
    about["components"] = [str(FOLDER / name)]
    about["resources"] = [str(FOLDER / "trial" / one) for one in about["resources"]]
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(about))
    return rendered(folder)


@pytest.fixture(params=["trial", "s3", "keda", "gpu"])
def manifests(request: pytest.FixtureRequest, tmp_path: Path) -> list[dict[str, Any]]:
    name: str = request.param
    return with_component(name, tmp_path) if name in ("keda", "gpu") else rendered(FOLDER / name)


def kind(manifests: list[dict[str, Any]], *names: str) -> list[dict[str, Any]]:
    return [one for one in manifests if one["kind"] in names]


def pods(manifests: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {
        one["metadata"]["name"]: one["spec"]["template"]["spec"] for one in kind(manifests, "Deployment", "StatefulSet")
    }


def test_they_are_what_kubernetes_takes(manifests: list[dict[str, Any]]):
    for one in manifests:
        if not one["apiVersion"].startswith("keda.sh/"):
            kubernetes_validate.validate(one, VERSION, strict=True)
        assert one["metadata"]["namespace"] == "bulkqa"
    names = [(one["kind"], one["metadata"]["name"]) for one in manifests]
    assert len(set(names)) == len(names)


def test_pods_are_bounded_and_confined(manifests: list[dict[str, Any]]):
    assert {"bulkqa-worker", "bulkqa-sweeper", "bulkqa-serve"} <= set(pods(manifests))
    for pod in pods(manifests).values():
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["automountServiceAccountToken"] is False
        (container,) = pod["containers"]
        assert re.search(r":\d", container["image"]), "an image has a version"
        assert container["resources"]["limits"]["memory"]
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert "livenessProbe" in container or "readinessProbe" in container


def test_what_is_mounted_is_there(manifests: list[dict[str, Any]]):
    claims = {one["metadata"]["name"] for one in kind(manifests, "PersistentVolumeClaim")}
    for workload in kind(manifests, "Deployment", "StatefulSet"):
        pod = workload["spec"]["template"]["spec"]
        own = {one["metadata"]["name"] for one in workload["spec"].get("volumeClaimTemplates", [])}
        mounted = {one["name"] for one in pod["containers"][0]["volumeMounts"]}
        assert mounted == {one["name"] for one in pod["volumes"]} | own
        assert {
            v["persistentVolumeClaim"]["claimName"] for v in pod["volumes"] if "persistentVolumeClaim" in v
        } <= claims


def test_every_variable_is_one_that_the_program_reads_and_every_secret_one_that_the_guide_makes(
    manifests: list[dict[str, Any]],
):
    known = {f"BULKQA_{name.upper()}" for name in Settings.model_fields}
    helpers = {"REDIS_ADDRESS", "REDIS_PASSWORD", "TMPDIR"}  # of which our settings are made here
    (config,) = kind(manifests, "ConfigMap")
    texts = FOLDER.parents[1] / "docs" / "kubernetes.md", FOLDER / "s3" / "kustomization.yaml"
    guide = "".join(path.read_text() for path in texts)
    for name, pod in pods(manifests).items():
        if name == "bulkqa-redis":
            continue
        env = {one["name"]: one for one in pod["containers"][0]["env"]}
        names = {*env, *config["data"]}
        assert {one for one in names if not one.startswith("AWS_")} <= known | helpers
        for one in env.values():
            source = one.get("valueFrom", {})
            if "secretKeyRef" in source:
                assert source["secretKeyRef"]["name"] in guide
                assert source["secretKeyRef"]["key"] in guide
            if "configMapKeyRef" in source:
                assert source["configMapKeyRef"]["key"] in config["data"]
        order = list(env)
        for variable, referred in re.findall(
            r"(\w+)=\S*\$\((\w+)\)", " ".join(f"{n}={e.get('value')}" for n, e in env.items())
        ):
            assert order.index(referred) < order.index(variable), "what is referred to comes before"
        for source in pod["containers"][0]["envFrom"]:
            assert source.get("configMapRef", {}).get("name", "bulkqa") == "bulkqa"
            assert source.get("secretRef", {}).get("name", "bulkqa-s3") in guide
    Settings(**{name.removeprefix("BULKQA_").lower(): value for name, value in config["data"].items() if name in known})


def test_commands_exist_and_ports_are_served(manifests: list[dict[str, Any]]):
    from typer.main import get_command

    (config,) = kind(manifests, "ConfigMap")
    for name, app in (("worker", worker_cli.app), ("sweeper", worker_cli.app), ("serve", producer_cli.app)):
        (container,) = pods(manifests)[f"bulkqa-{name}"]["containers"]
        command = get_command(app).commands[container["args"][0]]  # type: ignore[attr-defined]
        flags = {flag for parameter in command.params for flag in parameter.opts}
        assert {one for one in container["args"] if one.startswith("--")} <= flags
        ports = {one["containerPort"] for one in container["ports"]}
        served = int(container["args"][-1]) if name == "serve" else int(config["data"]["BULKQA_METRICS_PORT"])
        assert ports == {served}
    for policy in kind(manifests, "NetworkPolicy"):
        open_ports = {port["port"] for rule in policy["spec"]["ingress"] for port in rule["ports"]}
        assert open_ports <= {9321, 8321, 6379}
    for budget in kind(manifests, "PodDisruptionBudget"):
        assert budget["spec"]["selector"]["matchLabels"]["app"] in pods(manifests)


def test_keda_counts_what_the_server_tells(tmp_path: Path):
    manifests = with_component("keda", tmp_path)
    (scaled,) = kind(manifests, "ScaledObject")
    assert set(scaled["spec"]) <= _SCALED
    assert scaled["spec"]["minReplicaCount"] == 0
    assert scaled["spec"]["scaleTargetRef"]["name"] in pods(manifests)
    (trigger,) = scaled["spec"]["triggers"]
    assert trigger["type"] == "metrics-api"
    assert set(trigger["metadata"]) == _METRICS_API
    assert trigger["metadata"]["valueLocation"] == f'bulkqa_chunks_unfinished{{model="{SHIPPED_MODEL}"}}'
    (service,) = [one for one in kind(manifests, "Service") if one["metadata"]["name"] == "bulkqa-serve"]
    port = service["spec"]["ports"][0]["port"]
    assert trigger["metadata"]["url"] == f"http://bulkqa-serve.bulkqa.svc:{port}/metrics"
    (authentication,) = kind(manifests, "TriggerAuthentication")
    assert trigger["authenticationRef"]["name"] == authentication["metadata"]["name"]
    assert authentication["spec"]["secretTargetRef"][0]["key"] == "BULKQA_API_TOKEN"


def test_without_a_volume_nothing_of_one_is_left():
    manifests = rendered(FOLDER / "s3")
    assert kind(manifests, "PersistentVolumeClaim") == []
    assert "bulkqa-storage" not in yaml.safe_dump_all(manifests)
    (config,) = kind(manifests, "ConfigMap")
    assert config["data"]["BULKQA_STORAGE_URL"].startswith("s3://")
