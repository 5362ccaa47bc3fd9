"""A pod template of one's own: what it adds is there, and what it would change is named."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from builders.manifests import refused
from builders.orders import order
from mashbill.errors import ConfigError
from mashbill.launch.kubernetes.manifests import job, jobset
from mashbill.launch.kubernetes.patches import trainjob


def with_template(tmp_path: Path, template: Any, make: Any = job, **kubernetes: Any) -> dict[str, Any]:
    path = tmp_path / "pod.yaml"
    path.write_text(template if isinstance(template, str) else yaml.safe_dump(template))
    backend = {job: "job", jobset: "jobset", trainjob: "trainjob"}[make]
    made: dict[str, Any] = make(order(backend, kubernetes={"template": str(path), **kubernetes}))
    return made


ADDS = {
    "metadata": {"labels": {"team": "lab"}, "annotations": {"sidecar.istio.io/inject": "false"}},
    "spec": {
        "runtimeClassName": "nvidia",
        "hostNetwork": True,
        "topologySpreadConstraints": [
            {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "DoNotSchedule"}
        ],
        "securityContext": {"fsGroup": 1000, "runAsUser": 1000},
        "tolerations": [{"key": "spot", "operator": "Exists"}],
        "volumes": [{"name": "data", "hostPath": {"path": "/data"}}],
        "initContainers": [{"name": "warm", "image": "busybox:1"}],
        "containers": [
            {
                "name": "mashbill",
                "env": [{"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
                "envFrom": [{"configMapRef": {"name": "nccl"}}],
                "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                "securityContext": {"capabilities": {"add": ["IPC_LOCK"]}},
                "resources": {"limits": {"cpu": "8"}},
            },
            {"name": "logs", "image": "fluent:1"},
        ],
    },
}


@pytest.mark.parametrize("kind", [None, "Pod", "PodTemplate"])
def test_what_a_template_adds_is_there_beside_ours(tmp_path: Path, kind: str | None) -> None:
    given: dict[str, Any] = {None: ADDS, "Pod": {"kind": "Pod", "apiVersion": "v1", **ADDS}}.get(
        kind, {"kind": "PodTemplate", "apiVersion": "v1", "template": ADDS}
    )
    made = with_template(
        tmp_path, given, tolerations=[{"key": "gpu", "operator": "Exists"}], environment_from=["s3"]
    )
    assert refused(made) == ""
    template = made["spec"]["template"]
    assert template["metadata"]["labels"].items() >= {"team": "lab", "mashbill.dev/job": "train-1b-0"}.items()
    spec = template["spec"]
    assert (spec["runtimeClassName"], spec["hostNetwork"], spec["restartPolicy"]) == ("nvidia", True, "Never")
    assert spec["securityContext"].items() >= {"fsGroup": 1000, "runAsNonRoot": True}.items()
    assert [t["key"] for t in spec["tolerations"]] == ["gpu", "spot"]
    assert [v["name"] for v in spec["volumes"]] == ["scratch", "tmp", "shm", "data"]
    ours, logs = spec["containers"]
    assert (ours["name"], logs["name"]) == ("mashbill", "logs")
    assert ours["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["IPC_LOCK"]}
    assert ours["envFrom"] == [{"secretRef": {"name": "s3"}}, {"configMapRef": {"name": "nccl"}}]
    assert "POD_IP" in [v["name"] for v in ours["env"]]
    assert "/data" in [m["mountPath"] for m in ours["volumeMounts"]]
    assert ours["resources"]["limits"] == {"cpu": "8"}


@pytest.mark.parametrize(
    "spec, named",
    [
        ({"restartPolicy": "Always"}, "spec.restartPolicy is 'Always' and must be 'Never'"),
        ({"automountServiceAccountToken": True}, "spec.automountServiceAccountToken"),
        ({"securityContext": {"runAsNonRoot": False}}, "spec.securityContext.runAsNonRoot"),
        (
            {"containers": [{"name": "mashbill", "securityContext": {"readOnlyRootFilesystem": False}}]},
            r"spec.containers\[mashbill\].securityContext.readOnlyRootFilesystem is False and must be True",
        ),
        ({"containers": [{"name": "mashbill", "image": "other:1"}]}, r"spec.containers\[mashbill\].image"),
        ({"containers": [{"name": "mashbill", "command": ["sh"]}]}, r"spec.containers\[mashbill\].command"),
        (
            {"containers": [{"name": "mashbill", "env": [{"name": "MASHBILL_NODES", "value": "9"}]}]},
            r"env\[MASHBILL_NODES\].value is '9' and must be '1'",
        ),
        (
            {"containers": [{"name": "mashbill", "volumeMounts": [{"mountPath": "/tmp", "name": "mine"}]}]},
            r"volumeMounts\[/tmp\].name",
        ),
        ({"volumes": [{"name": "shm", "emptyDir": {"medium": ""}}]}, r"volumes\[shm\].emptyDir.medium"),
        ({"terminationGracePeriodSeconds": 5}, "spec.terminationGracePeriodSeconds is 5 and must be 300"),
        ({"containers": [{"image": "x"}]}, "without name"),
        ({"containers": ["x"]}, "without name"),
    ],
)
def test_what_must_be_ours_is_named_where_a_template_has_it_otherwise(
    tmp_path: Path, spec: dict[str, Any], named: str
) -> None:
    with pytest.raises(ConfigError, match=f"kubernetes.template: .*{named}") as told:
        with_template(tmp_path, {"spec": spec})
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    "text, named",
    [
        ("a: [", "is no YAML"),
        ("", "has no spec of a pod"),
        ("spec: 3", "has no spec of a pod"),
        ("- 1", "has no spec of a pod"),
        ("kind: Deployment\nspec: {}", "is a Deployment; give a Pod"),
    ],
)
def test_a_file_that_is_no_pods_is_refused(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(ConfigError, match=f"kubernetes.template: .*pod.yaml.*{named}"):
        with_template(tmp_path, text)


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match=r"kubernetes.template: /none.yaml can't be read"):
        job(order(kubernetes={"template": "/none.yaml"}))


def test_a_jobsets_pods_have_it_too(tmp_path: Path) -> None:
    made = with_template(tmp_path, ADDS, jobset)
    assert refused(made) == ""
    template = made["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]
    assert template["spec"]["runtimeClassName"] == "nvidia"


def test_a_trainjob_has_what_a_patch_carries(tmp_path: Path) -> None:
    carried = {
        "metadata": {"labels": {"team": "lab"}},
        "spec": {
            "tolerations": [{"key": "spot", "operator": "Exists"}],
            "securityContext": {"fsGroup": 1000},
            "containers": [{"name": "mashbill", "env": [{"name": "A", "value": "b"}]}],
        },
    }
    made = with_template(tmp_path, carried, trainjob)
    assert refused(made) == ""
    assert {"name": "A", "value": "b"} in made["spec"]["trainer"]["env"]
    patch = made["spec"]["runtimePatches"][0]["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"][0]
    pods = patch["template"]["spec"]["template"]
    assert pods["metadata"]["labels"]["team"] == "lab"
    assert pods["spec"]["securityContext"]["fsGroup"] == 1000


@pytest.mark.parametrize(
    "spec, named",
    [
        ({"runtimeClassName": "nvidia"}, "spec.runtimeClassName"),
        ({"containers": [{"name": "mashbill", "envFrom": [{"configMapRef": {"name": "x"}}]}]}, "envFrom"),
        ({"containers": [{"name": "logs", "image": "fluent:1"}]}, r"spec.containers\[logs\].image"),
    ],
)
def test_what_no_patch_carries_is_named(tmp_path: Path, spec: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=f"a TrainJob can't carry .*{named}"):
        with_template(tmp_path, {"spec": spec}, trainjob)
