"""Deletion: propagation, finalizers, grace, namespaces, and what the garbage collector takes."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from kubernetes import client

from builders.kube import KubernetesApi
from builders.kube.clients import client_of, refusal
from builders.kube.samples import config_map, job, jobset, pod

JOBSETS = ("jobset.x-k8s.io", "v1alpha2", "default", "jobsets")


def until(true: Callable[[], Any]) -> None:
    """Wait for what the collector does after the answer."""
    end = time.monotonic() + 10
    while not true():
        assert time.monotonic() < end, "it has not come"
        time.sleep(0.01)


def owned(
    item: dict[str, Any], owner: Any, kind: str = "Job", version: str = "batch/v1", **more: Any
) -> dict[str, Any]:
    metadata = owner.metadata.to_dict() if hasattr(owner, "metadata") else owner["metadata"]
    reference = {
        "apiVersion": version,
        "kind": kind,
        "name": metadata["name"],
        "uid": metadata["uid"],
        **more,
    }
    item["metadata"]["ownerReferences"] = [reference]
    return item


def names(core: client.CoreV1Api) -> set[str]:
    return {item.metadata.name for item in core.list_namespaced_pod("default").items}


def test_job_deleted_without_a_policy_leaves_its_pods_and_warns(
    api: KubernetesApi, core: client.CoreV1Api, batch: client.BatchV1Api
) -> None:
    made = batch.create_namespaced_job("default", job("train"))
    core.create_namespaced_pod("default", owned(pod("p"), made))
    _, code, headers = batch.delete_namespaced_job_with_http_info("train", "default")
    assert code == 200
    assert "child pods are preserved by default when jobs are deleted" in headers["Warning"]
    until(lambda: api.get("jobs.batch", "train", "default") is None)
    assert not core.read_namespaced_pod("p", "default").metadata.owner_references


def test_background_takes_dependents_after_their_owner(
    core: client.CoreV1Api, batch: client.BatchV1Api
) -> None:
    made = batch.create_namespaced_job("default", job("train"))
    core.create_namespaced_pod("default", owned(pod("p"), made))
    status = batch.delete_namespaced_job("train", "default", propagation_policy="Background")
    assert (status.status, status.details.kind, status.details.uid) == ("Success", "jobs", made.metadata.uid)
    until(lambda: not names(core))


def test_foreground_waits_for_dependents_that_block(
    api: KubernetesApi, core: client.CoreV1Api, batch: client.BatchV1Api
) -> None:
    made = batch.create_namespaced_job("default", job("train"))
    held = owned(pod("held"), made, blockOwnerDeletion=True)
    held["metadata"]["finalizers"] = ["mashbill.dev/hold"]
    core.create_namespaced_pod("default", held)
    batch.delete_namespaced_job("train", "default", propagation_policy="Foreground")
    until(lambda: "deletionTimestamp" in (api.get("pods", "held", "default") or {"metadata": {}})["metadata"])
    waiting = batch.read_namespaced_job("train", "default").metadata
    assert waiting.finalizers == ["foregroundDeletion"]
    assert waiting.deletion_timestamp
    core.patch_namespaced_pod("held", "default", {"metadata": {"finalizers": None}})
    until(lambda: api.get("jobs.batch", "train", "default") is None)
    assert not names(core)


def test_foreground_waits_for_none_that_does_not_block(
    api: KubernetesApi, core: client.CoreV1Api, batch: client.BatchV1Api
) -> None:
    made = batch.create_namespaced_job("default", job("train"))
    held = owned(pod("held"), made)
    held["metadata"]["finalizers"] = ["mashbill.dev/hold"]
    core.create_namespaced_pod("default", held)
    batch.delete_namespaced_job("train", "default", propagation_policy="Foreground")
    until(lambda: api.get("jobs.batch", "train", "default") is None)
    assert core.read_namespaced_pod("held", "default").metadata.deletion_timestamp


def test_foreground_leaves_what_another_owner_has(
    api: KubernetesApi, core: client.CoreV1Api, batch: client.BatchV1Api
) -> None:
    one, two = (batch.create_namespaced_job("default", job(name)) for name in ("one", "two"))
    shared = owned(pod("p"), one, blockOwnerDeletion=True)
    shared["metadata"]["ownerReferences"] += owned(pod("p"), two)["metadata"]["ownerReferences"]
    core.create_namespaced_pod("default", shared)
    batch.delete_namespaced_job("one", "default", propagation_policy="Foreground")
    until(lambda: api.get("jobs.batch", "one", "default") is None)
    left = core.read_namespaced_pod("p", "default").metadata
    assert ([r.name for r in left.owner_references], left.deletion_timestamp) == (["two"], None)


def test_dependents_of_dependents_go_too(api: KubernetesApi, custom: client.CustomObjectsApi) -> None:
    clients = client_of(api)
    batch, core = client.BatchV1Api(clients), client.CoreV1Api(clients)
    made = custom.create_namespaced_custom_object(*JOBSETS, jobset("set"))
    version = "jobset.x-k8s.io/v1alpha2"
    child = batch.create_namespaced_job("default", owned(job("set-node-0"), made, "JobSet", version))
    core.create_namespaced_pod("default", owned(pod("set-node-0-0"), child))
    custom.delete_namespaced_custom_object(*JOBSETS, "set")
    until(lambda: not api.all("jobs.batch") and not names(core))


def test_dependent_with_another_owner_stays(
    api: KubernetesApi, core: client.CoreV1Api, batch: client.BatchV1Api
) -> None:
    one, two = (batch.create_namespaced_job("default", job(name)) for name in ("one", "two"))
    shared = owned(pod("p"), one)
    shared["metadata"]["ownerReferences"] += owned(pod("p"), two)["metadata"]["ownerReferences"]
    core.create_namespaced_pod("default", shared)
    batch.delete_namespaced_job("one", "default", propagation_policy="Background")
    until(lambda: len(api.get("pods", "p", "default")["metadata"]["ownerReferences"]) == 1)
    assert names(core) == {"p"}


def test_child_of_an_owner_that_never_was_is_collected(core: client.CoreV1Api) -> None:
    owner = {"metadata": {"name": "ghost", "uid": "00000000-0000-0000-0000-000000000000"}}
    core.create_namespaced_pod("default", owned(pod("p"), owner))
    until(lambda: not names(core))


def test_object_with_finalizers_stays_until_the_last_is_gone(
    api: KubernetesApi, core: client.CoreV1Api
) -> None:
    held = config_map("c", a="b")
    held["metadata"]["finalizers"] = ["mashbill.dev/one", "mashbill.dev/two"]
    core.create_namespaced_config_map("default", held)
    core.delete_namespaced_config_map("c", "default")
    core.patch_namespaced_config_map("c", "default", {"metadata": {"finalizers": ["mashbill.dev/two"]}})
    code, _, message = refusal(
        core.patch_namespaced_config_map, "c", "default", {"metadata": {"finalizers": ["mashbill.dev/three"]}}
    )
    assert code == 422
    assert "no new finalizers can be added if the object is being deleted" in message
    core.patch_namespaced_config_map("c", "default", {"metadata": {"finalizers": None}})
    assert api.get("configmaps", "c", "default") is None


def test_bound_pod_is_given_its_grace_and_its_kubelet_ends_it(
    api: KubernetesApi, core: client.CoreV1Api
) -> None:
    api.put({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}})
    core.create_namespaced_pod("default", pod("p", terminationGracePeriodSeconds=300))
    bind = core.create_namespaced_pod_binding
    body = client.V1Binding(target=client.V1ObjectReference(kind="Node", name="n"))
    bind("p", "default", body, _preload_content=False)
    code, reason, message = refusal(bind, "p", "default", body)
    assert (code, reason) == (409, "Conflict")
    assert 'pod p is already assigned to node "n"' in message
    gone = core.delete_namespaced_pod("p", "default")
    assert gone.metadata.deletion_grace_period_seconds == 300
    assert (
        core.delete_namespaced_pod(
            "p", "default", grace_period_seconds=5
        ).metadata.deletion_grace_period_seconds
        == 5
    )
    core.delete_namespaced_pod("p", "default", grace_period_seconds=0)
    assert api.get("pods", "p", "default") is None


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_ended_pod_goes_at_once(api: KubernetesApi, core: client.CoreV1Api, phase: str) -> None:
    core.create_namespaced_pod("default", pod("p", nodeName="n"))
    core.patch_namespaced_pod_status("p", "default", {"status": {"phase": phase}})
    core.delete_namespaced_pod("p", "default")
    assert api.get("pods", "p", "default") is None


def test_evicted_pod_is_told_why(api: KubernetesApi, core: client.CoreV1Api) -> None:
    core.create_namespaced_pod("default", pod("p", nodeName="n"))
    core.create_namespaced_pod_eviction("p", "default", {"metadata": {"name": "p"}}, _preload_content=False)
    there = core.read_namespaced_pod("p", "default")
    assert there.metadata.deletion_timestamp
    assert [c.reason for c in there.status.conditions if c.type == "DisruptionTarget"] == [
        "EvictionByEvictionAPI"
    ]


def test_namespace_goes_when_it_is_empty_and_takes_in_nothing_new(
    api: KubernetesApi, core: client.CoreV1Api
) -> None:
    core.create_namespace({"metadata": {"name": "lab"}})
    held = pod("held")
    held["metadata"]["finalizers"] = ["mashbill.dev/hold"]
    core.create_namespaced_pod("lab", held)
    core.delete_namespace("lab")
    until(lambda: len(core.list_namespaced_config_map("lab").items) == 0)
    assert core.read_namespace("lab").status.phase == "Terminating"
    code, reason, message = refusal(core.create_namespaced_pod, "lab", pod("late"))
    assert (code, reason) == (403, "Forbidden")
    assert message.endswith("unable to create new content in namespace lab because it is being terminated")
    core.patch_namespaced_pod("held", "lab", {"metadata": {"finalizers": None}})
    until(lambda: api.get("namespaces", "lab") is None)


@pytest.mark.parametrize("name", ["default", "kube-system"])
def test_lasting_namespace_is_not_deleted(core: client.CoreV1Api, name: str) -> None:
    words = f'namespaces "{name}" is forbidden: this namespace may not be deleted'
    assert refusal(core.delete_namespace, name) == (403, "Forbidden", words)


def test_collection_is_deleted_by_its_selector(core: client.CoreV1Api) -> None:
    for name in ("a", "b", "c"):
        made = pod(name)
        made["metadata"]["labels"] = {"keep": str(name == "b").lower()}
        core.create_namespaced_pod("default", made)
    core.delete_collection_namespaced_pod("default", label_selector="keep=false")
    assert names(core) == {"b"}


def test_dry_runs_change_nothing(core: client.CoreV1Api, batch: client.BatchV1Api) -> None:
    made = batch.create_namespaced_job("default", job("a"), dry_run="All")
    assert made.metadata.uid
    assert not batch.list_namespaced_job("default").items
    core.create_namespaced_pod("default", pod("p"))
    core.delete_namespaced_pod("p", "default", dry_run="All")
    assert core.patch_namespaced_pod(
        "p", "default", {"metadata": {"labels": {"a": "b"}}}, dry_run="All"
    ).metadata.labels
    assert not core.read_namespaced_pod("p", "default").metadata.labels
