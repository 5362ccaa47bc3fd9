"""The template of jobs' pods, merged under what a stage takes: nothing is refused, nothing is lost."""

from pathlib import Path
from typing import Any

import pytest

from builders.chart import EVERYTHING, cases, jobs_template, rendered
from builders.manifests import refused
from builders.orders import order
from mashbill.launch.kubernetes import manifests
from mashbill.launch.kubernetes.trainjob import trainjob

MADE = {"job": manifests.job, "jobset": manifests.jobset, "trainjob": trainjob}
BACKENDS = pytest.mark.parametrize("backend", sorted(MADE))
OF_RELEASE = {
    "service_account": "lab-mashbill-jobs",
    "environment_from": ["aws"],
    "pull_secrets": ["registry"],
    "volumes": [{"claim": "lab-mashbill-artifacts", "path": "/opt/mashbill/artifacts"}],
}
"""What the notes of a release with everything give to a config."""


def pods(document: Any) -> dict[str, Any]:
    """The spec of a job's pods, wherever its kind has it."""
    spec = document["spec"]
    if document["kind"] == "JobSet":
        spec = spec["replicatedJobs"][0]["template"]["spec"]
    elif document["kind"] == "TrainJob":
        patched = spec["runtimePatches"][0]["trainingRuntimeSpec"]["template"]["spec"]
        spec = patched["replicatedJobs"][0]["template"]["spec"]
    found: dict[str, Any] = spec["template"]["spec"]
    return found


def made(backend: str, arguments: tuple[str, ...], folder: Path, **settings: Any) -> dict[str, Any]:
    path = folder / "pod.yaml"
    path.write_text(jobs_template(rendered(*arguments)))
    takes = order(backend, nodes=2, kubernetes={"template": str(path), **settings})
    return MADE[backend](takes)


@BACKENDS
@pytest.mark.parametrize("case", sorted(cases()))
def test_every_backend_takes_the_template(backend: str, case: str, tmp_path: Path) -> None:
    document = made(backend, cases()[case], tmp_path)
    assert refused(document) == ""
    assert pods(document)["securityContext"]["runAsUser"] == 50000


@BACKENDS
def test_template_and_the_config_s_own_lines_go_together(backend: str, tmp_path: Path) -> None:
    document = made(backend, EVERYTHING, tmp_path, **OF_RELEASE)
    assert refused(document) == ""
    spec = pods(document)
    assert spec["serviceAccountName"] == "lab-mashbill-jobs"
    assert spec["nodeSelector"] == {"pool": "gpu"}
    assert spec["tolerations"] == [{"key": "gpu", "operator": "Exists"}]
    assert spec["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 50000,
        "runAsGroup": 0,
        "fsGroup": 0,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    environment = (
        document["spec"]["trainer"]["env"] if backend == "trainjob" else spec["containers"][0]["env"]
    )
    plain = {variable["name"]: variable["value"] for variable in environment if "value" in variable}
    assert plain["NCCL_DEBUG"] == "WARN"
    assert plain["AWS_ENDPOINT_URL"] == "http://minio.storage:9000"


def test_jobs_pods_are_those_that_the_network_policy_selects(tmp_path: Path) -> None:
    from builders.chart import of_kind

    [policy] = of_kind(rendered("--set", "networkPolicies.enabled=true"), "NetworkPolicy")
    labels = policy["spec"]["podSelector"]["matchLabels"]
    for backend in MADE:
        document = made(backend, (), tmp_path)
        metadata = document["spec"] if backend == "job" else None
        template = metadata["template"] if metadata else _template(document)
        assert labels.items() <= template["metadata"]["labels"].items(), backend


def _template(document: Any) -> dict[str, Any]:
    spec = document["spec"]
    if document["kind"] == "TrainJob":
        spec = spec["runtimePatches"][0]["trainingRuntimeSpec"]["template"]["spec"]
    found: dict[str, Any] = spec["replicatedJobs"][0]["template"]["spec"]["template"]
    return found
