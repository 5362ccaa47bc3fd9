"""The real helm against the API of the tests: our chart, and a small one with everything that charts do."""

import json
import os
import subprocess
import threading
import time
from pathlib import Path

import pytest
import yaml

from builders.checkout import ROOT
from builders.kube import KubernetesApi
from builders.kube.samples import pod_spec
from builders.kube.tools import helm_binary

pytestmark = pytest.mark.slow
CHART = ROOT / "helm" / "mashbill"


def helm(api: KubernetesApi, *arguments: str, config: Path | None = None) -> subprocess.CompletedProcess[str]:
    home = {
        name: str(api.folder / "helm") for name in ("HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME")
    }
    command = [str(helm_binary()), "--kubeconfig", str(config or api.kubeconfig), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **home})


def done(api: KubernetesApi, *arguments: str) -> str:
    result = helm(api, *arguments)
    assert result.returncode == 0, result.stderr
    return result.stdout


def things(api: KubernetesApi, namespace: str) -> set[tuple[str, str]]:
    """What is in a namespace, but for what every one has and what helm keeps for itself."""
    found = set()
    for resource in ("configmaps", "secrets", "serviceaccounts", "jobs.batch", "pods", "deployments.apps"):
        for item in api.all(resource):
            metadata = item["metadata"]
            if metadata["namespace"] == namespace and not metadata["name"].startswith(
                ("kube-root", "sh.helm", "default")
            ):
                found.add((resource, metadata["name"]))
    return found


def test_our_chart_is_installed_changed_and_taken_away(api: KubernetesApi) -> None:
    done(api, "install", "lab", str(CHART), "-n", "lab", "--create-namespace", "--wait", "--timeout", "20s")
    assert ("serviceaccounts", "lab-mashbill-airflow") in things(api, "lab")
    worker = api.get("configmaps", "lab-mashbill-jobs", "lab")
    done(api, "upgrade", "lab", str(CHART), "-n", "lab", "--set", "pods.nodeSelector.pool=gpu")
    changed = api.get("configmaps", "lab-mashbill-jobs", "lab")
    assert "pool: gpu" in changed["data"]["pod.yaml"]
    assert changed["metadata"]["uid"] == worker["metadata"]["uid"]
    done(api, "rollback", "lab", "1", "-n", "lab")
    assert api.get("configmaps", "lab-mashbill-jobs", "lab")["data"] == worker["data"]
    revisions = [one["status"] for one in json.loads(done(api, "history", "lab", "-n", "lab", "-o", "json"))]
    assert revisions == ["superseded", "superseded", "deployed"]
    done(api, "uninstall", "lab", "-n", "lab")
    assert things(api, "lab") == set()


def chart(folder: Path, **templates: object) -> str:
    """A chart of these templates."""
    (folder / "templates").mkdir(parents=True)
    (folder / "Chart.yaml").write_text("apiVersion: v2\nname: tiny\nversion: 0.1.0\n")
    for name, item in templates.items():
        text = item if isinstance(item, str) else yaml.safe_dump(item)
        (folder / "templates" / f"{name}.yaml").write_text(text)
    return str(folder)


def hook(when: str) -> dict[str, object]:
    metadata = {"name": "check", "annotations": {"helm.sh/hook": when}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod_spec()}


@pytest.mark.parametrize(("phase", "code"), [("Succeeded", 0), ("Failed", 1)])
def test_hook_of_a_test_is_as_its_pod_ends(api: KubernetesApi, tmp_path: Path, phase: str, code: int) -> None:
    settings = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"a": "b"}}
    done(api, "install", "tiny", chart(tmp_path / "tiny", settings=settings, check=hook("test")))
    assert things(api, "default") == {("configmaps", "settings")}

    def run() -> None:
        while api.get("pods", "check", "default") is None:
            time.sleep(0.02)
        kind = api.cluster.kind("pods")
        body = {**api.get("pods", "check", "default"), "status": {"phase": phase}}
        api.act(
            lambda: api.cluster.objects.update(
                kind, ("default", "check"), body, api.system, subresource="status"
            )
        )

    thread = threading.Thread(target=run)
    thread.start()
    result = helm(api, "test", "tiny", "--timeout", "20s")
    thread.join()
    assert bool(result.returncode) is bool(code), result.stderr


def test_chart_with_an_invalid_object_is_refused_and_says_where(api: KubernetesApi, tmp_path: Path) -> None:
    wrong = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "a"},
        "spec": {"template": {"spec": {}}},
    }
    result = helm(api, "install", "tiny", chart(tmp_path / "tiny", job=wrong))
    assert result.returncode != 0
    assert "spec.template.spec.containers: Required value" in result.stderr
    imagined = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "imagined": {"a": "b"}}
    result = helm(api, "install", "other", chart(tmp_path / "other", settings=imagined))
    assert result.returncode != 0
    assert "imagined" in result.stderr


def test_installer_without_rights_is_told_which_is_missing(api: KubernetesApi, tmp_path: Path) -> None:
    config = api.kubeconfig_of(api.user_token("ada"), "ada")
    settings = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}}
    result = helm(api, "install", "tiny", chart(tmp_path / "tiny", settings=settings), config=config)
    assert result.returncode != 0
    assert 'User "ada" cannot' in result.stderr


def test_what_another_manages_is_a_conflict_for_helm_too(api: KubernetesApi, tmp_path: Path) -> None:
    from builders.kube.clients import kubectl

    settings = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"a": "b"}}
    place = chart(tmp_path / "tiny", settings=settings)
    done(api, "install", "tiny", place)
    changed = kubectl(api, "patch", "configmap", "settings", "--type=merge", "-p", '{"data":{"a":"hand"}}')
    assert changed.returncode == 0
    result = helm(api, "upgrade", "tiny", place)
    assert result.returncode != 0
    assert 'conflict with "kubectl-patch" using v1: .data.a' in result.stderr
