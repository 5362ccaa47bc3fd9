"""What a namespace lets in: quotas, limit ranges, pod security."""

from typing import Any

import pytest
from kubernetes import client

from builders.kube import KubernetesApi
from builders.kube.clients import refusal
from builders.kube.samples import job, pod


def quota(**hard: str) -> dict[str, Any]:
    metadata = {"name": "lab", "namespace": "default"}
    amounts = {name.replace("__", "/").replace("_", "."): value for name, value in hard.items()}
    return {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata, "spec": {"hard": amounts}}


def sized(name: str, **amounts: str) -> dict[str, Any]:
    resources = {"requests": amounts, "limits": amounts}
    return pod(name, containers=[{"name": "main", "image": "lab:1", "resources": resources}])


def test_quota_refuses_what_is_over_it_and_counts_what_has_ended_no_more(
    api: KubernetesApi, core: client.CoreV1Api
) -> None:
    api.put(quota(pods="2"))
    for name in ("a", "b"):
        core.create_namespaced_pod("default", pod(name))
    told = refusal(core.create_namespaced_pod, "default", pod("c"))
    words = "exceeded quota: lab, requested: pods=1, used: pods=2, limited: pods=2"
    assert told == (403, "Forbidden", f'pods "c" is forbidden: {words}')
    core.patch_namespaced_pod_status("a", "default", {"status": {"phase": "Succeeded"}})
    core.create_namespaced_pod("default", pod("c"))


def test_quota_of_an_amount_wants_every_pod_to_say_it(api: KubernetesApi, core: client.CoreV1Api) -> None:
    api.put(quota(requests_memory="3Gi"))
    told = refusal(core.create_namespaced_pod, "default", pod("a"))[2]
    assert told.endswith("failed quota: lab: must specify requests.memory")
    core.create_namespaced_pod("default", sized("a", memory="2Gi"))
    told = refusal(core.create_namespaced_pod, "default", sized("b", memory="2Gi"))[2]
    words = "requested: requests.memory=2Gi, used: requests.memory=2Gi, limited: requests.memory=3Gi"
    assert told.endswith(words)
    core.create_namespaced_pod("default", sized("b", memory="1024Mi"))


def test_quota_counts_jobs(api: KubernetesApi, batch: client.BatchV1Api) -> None:
    api.put(quota(count__jobs_batch="1"))
    batch.create_namespaced_job("default", job("a"))
    assert "exceeded quota: lab" in refusal(batch.create_namespaced_job, "default", job("b"))[2]


def test_limit_range_gives_what_a_container_lacks(api: KubernetesApi, core: client.CoreV1Api) -> None:
    rule = {
        "type": "Container",
        "default": {"memory": "1Gi"},
        "defaultRequest": {"cpu": "100m"},
        "max": {"memory": "4Gi"},
    }
    metadata = {"name": "lab", "namespace": "default"}
    api.put({"apiVersion": "v1", "kind": "LimitRange", "metadata": metadata, "spec": {"limits": [rule]}})
    made = core.create_namespaced_pod("default", pod("a")).spec.containers[0].resources
    assert (made.limits, made.requests["cpu"]) == ({"memory": "1Gi"}, "100m")
    told = refusal(core.create_namespaced_pod, "default", sized("b", memory="8Gi"))[2]
    assert told.endswith("maximum memory usage per Container is 4Gi, but limit is 8Gi")


SAFE = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}


@pytest.mark.parametrize(
    ("level", "context", "words"),
    [
        ("restricted", SAFE, ""),
        ("restricted", {**SAFE, "allowPrivilegeEscalation": True}, "allowPrivilegeEscalation != false"),
        ("restricted", {**SAFE, "capabilities": {}}, "unrestricted capabilities"),
        ("restricted", {**SAFE, "runAsNonRoot": False}, "runAsNonRoot != true"),
        ("restricted", {**SAFE, "seccompProfile": {"type": "Unconfined"}}, "seccompProfile"),
        ("baseline", {}, ""),
        ("baseline", {"privileged": True}, "privileged"),
        ("privileged", {"privileged": True}, ""),
    ],
)
def test_pod_security_of_a_namespace_is_enforced(
    api: KubernetesApi, core: client.CoreV1Api, level: str, context: dict[str, Any], words: str
) -> None:
    label = {"pod-security.kubernetes.io/enforce": level}
    api.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "lab", "labels": label}})
    given = pod("a", containers=[{"name": "main", "image": "lab:1", "securityContext": context}])
    if not words:
        core.create_namespaced_pod("lab", given)
        return
    code, reason, message = refusal(core.create_namespaced_pod, "lab", given)
    assert (code, reason) == (403, "Forbidden")
    assert f'violates PodSecurity "{level}:latest": {words}' in message


def test_pod_gets_its_accounts_token_and_priority(api: KubernetesApi, core: client.CoreV1Api) -> None:
    api.put(
        {
            "apiVersion": "scheduling.k8s.io/v1",
            "kind": "PriorityClass",
            "metadata": {"name": "high"},
            "value": 9,
        }
    )
    made = core.create_namespaced_pod("default", pod("a", priorityClassName="high")).spec
    assert made.priority == 9
    mount = made.containers[0].volume_mounts[0]
    assert mount.mount_path == "/var/run/secrets/kubernetes.io/serviceaccount"
    assert made.volumes[0].projected.sources[0].service_account_token.path == "token"
    bare = core.create_namespaced_pod("default", pod("b", automountServiceAccountToken=False)).spec
    assert not bare.volumes
