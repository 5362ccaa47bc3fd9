"""The real kubectl against the API of the tests, as one uses it."""

import json
import subprocess
import threading
import time
from typing import Any

import pytest

from builders.kube import KubernetesApi
from builders.kube.clients import kubectl
from builders.kube.samples import config_map, job, jobset, pod, runtime, trainjob

pytestmark = pytest.mark.slow


def told(api: KubernetesApi, *arguments: str, given: Any = None) -> str:
    """What kubectl says where it succeeds."""
    result = kubectl(api, *arguments, given=given)
    assert result.returncode == 0, result.stderr
    return result.stdout


def refused(api: KubernetesApi, *arguments: str, given: Any = None, config: Any = None) -> str:
    """What it says where it fails."""
    result = kubectl(api, *arguments, given=given, config=config)
    assert result.returncode != 0, result.stdout
    return result.stderr


def running(api: KubernetesApi, name: str = "p") -> None:
    """A pod on a node, whose container runs."""
    if api.get("nodes", "n") is None:
        api.put({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}})
    item = pod(name, nodeName="n")
    item["metadata"]["namespace"] = "default"
    api.put(item)
    status = {
        "phase": "Running",
        "containerStatuses": [_state(True)],
        "conditions": [{"type": "Ready", "status": "True"}],
    }
    told(api, "patch", "pod", name, "--subresource=status", "-p", json.dumps({"status": status}))


def _state(ready: bool) -> dict[str, Any]:
    started = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
    names = {"name": "main", "image": "lab:1", "imageID": "lab:1", "restartCount": 0}
    return {**names, "ready": ready, "started": True, "state": started}


@pytest.mark.parametrize("way", [(), ("--server-side",)])
@pytest.mark.parametrize("make", [job, jobset, trainjob])
def test_applied_twice_is_applied_once(api: KubernetesApi, make: Any, way: tuple[str, ...]) -> None:
    api.put(runtime())
    item = make("train")
    name = f"{item['kind'].lower()}/train"
    assert " created" in told(api, "apply", *way, "-f", "-", given=item) or way
    version = ("get", name, "-o", "jsonpath={.metadata.resourceVersion}/{.metadata.generation}")
    before = told(api, *version)
    told(api, "apply", *way, "-f", "-", given=item)
    assert told(api, *version) == before
    item["spec"]["suspend"] = True
    told(api, "apply", *way, "-f", "-", given=item)
    assert told(api, "get", name, "-o", "jsonpath={.spec.suspend} {.metadata.generation}") == "true 2"
    del item["spec"]["suspend"]
    told(api, "apply", *way, "-f", "-", given=item)
    assert told(api, "get", name, "-o", "jsonpath={.spec.suspend}") in ("", "false")


def test_field_that_no_schema_has_is_refused(api: KubernetesApi) -> None:
    for item in (job("a", imagined=1), jobset("a", imagined=1)):
        for way in ((), ("--server-side",)):
            words = refused(api, "apply", *way, "-f", "-", given=item)
            assert 'strict decoding error: unknown field "spec.imagined"' in words


def test_invalid_object_is_told_field_by_field(api: KubernetesApi) -> None:
    words = refused(api, "create", "-f", "-", given=job("a", parallelism=-1))
    assert words.strip() == (
        'The Job "a" is invalid: spec.parallelism: Invalid value: -1: must be greater than or equal to 0'
    )


def test_every_kind_is_found_by_its_names(api: KubernetesApi) -> None:
    listed = told(api, "api-resources", "--no-headers")
    for name in ("jobs", "jobsets", "trainjobs", "localqueues", "rayjobs", "rayclusters", "roles"):
        assert f"\n{name} " in listed
    for name in ("po", "cm", "ns", "jobset", "trainjob", "lq", "crd", "sa"):
        told(api, "get", name)
    assert "the server doesn't have a resource type" in refused(api, "get", "imaginaries")


def test_describe_tells_events_and_conditions(api: KubernetesApi) -> None:
    running(api)
    there = api.get("pods", "p", "default")
    about = {
        "apiVersion": "v1",
        "kind": "Pod",
        "name": "p",
        "namespace": "default",
        "uid": there["metadata"]["uid"],
    }
    event = {
        "involvedObject": about,
        "reason": "Started",
        "message": "Started container main",
        "type": "Normal",
    }
    event |= {"firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": "2026-01-01T00:00:00Z", "count": 1}
    api.put(
        {"apiVersion": "v1", "kind": "Event", "metadata": {"name": "p.1", "namespace": "default"}, **event}
    )
    words = told(api, "describe", "pod", "p")
    assert "Started container main" in words
    assert "Node:             n" in words
    assert "Started" in told(api, "get", "events", "--field-selector=involvedObject.name=p", "-o", "wide")
    told(api, "describe", "node", "n")


def test_what_is_listed_is_told_in_columns(api: KubernetesApi) -> None:
    running(api)
    assert told(api, "get", "pods", "--no-headers").split()[:4] == ["p", "1/1", "Running", "0"]
    assert "NODE" in told(api, "get", "pods", "-o", "wide")
    told(api, "create", "-f", "-", given=job("train", completions=3))
    assert told(api, "get", "jobs", "--no-headers").split()[:3] == ["train", "Running", "0/3"]
    assert told(api, "get", "node", "n").split()[:2] == ["NAME", "STATUS"]


def test_wait_ends_when_what_it_waits_for_comes(api: KubernetesApi) -> None:
    told(api, "create", "-f", "-", given=pod("p"))

    def act() -> None:
        while not api.watches():
            time.sleep(0.02)
        patch = {"status": {"phase": "Succeeded", "conditions": [{"type": "Ready", "status": "True"}]}}
        told(api, "patch", "pod", "p", "--subresource=status", "-p", json.dumps(patch))

    thread = threading.Thread(target=act)
    thread.start()
    told(api, "wait", "--for=condition=Ready", "pod/p", "--timeout=20s")
    thread.join()
    told(api, "wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/p", "--timeout=5s")
    assert "timed out" in refused(api, "wait", "--for=delete", "pod/p", "--timeout=1s")
    told(api, "delete", "pod", "p")
    told(api, "wait", "--for=delete", "pod/p", "--timeout=5s")


def test_logs_are_what_the_container_said(api: KubernetesApi) -> None:
    assert "does not have a host assigned" in refused(api, "logs", _unscheduled(api))
    running(api)
    uid = api.get("pods", "p", "default")["metadata"]["uid"]
    api.logs.write(uid, "main", "one\ntwo\nthree")
    assert told(api, "logs", "p") == "one\ntwo\nthree\n"
    assert told(api, "logs", "p", "--tail=1", "-c", "main") == "three\n"
    assert told(api, "logs", "p", "--tail=1", "--timestamps").endswith("Z three\n")
    assert "container lost is not valid for pod p" in refused(api, "logs", "p", "-c", "lost")
    api.logs.restart(uid, "main")
    api.logs.write(uid, "main", "again")
    assert told(api, "logs", "p", "--previous", "--tail=1") == "three\n"
    assert told(api, "logs", "p") == "again\n"


def _unscheduled(api: KubernetesApi) -> str:
    told(api, "create", "-f", "-", given=pod("waiting"))
    return "waiting"


def test_followed_log_ends_with_its_pod(api: KubernetesApi) -> None:
    running(api)
    uid = api.get("pods", "p", "default")["metadata"]["uid"]
    api.logs.write(uid, "main", "first")
    seen: list[str] = []
    thread = threading.Thread(target=lambda: seen.append(told(api, "logs", "-f", "p")))
    thread.start()
    while not any(call.subresource == "log" for call in api.audit):
        time.sleep(0.02)
    api.logs.write(uid, "main", "second")
    told(api, "patch", "pod", "p", "--subresource=status", "-p", '{"status":{"phase":"Succeeded"}}')
    thread.join(20)
    assert seen == ["first\nsecond\n"]


def test_rights_are_asked_of_the_server(api: KubernetesApi) -> None:
    told(api, "create", "serviceaccount", "runner")
    told(api, "create", "role", "run", "--verb=create,get", "--resource=jobs.batch,pods/log")
    told(api, "create", "rolebinding", "run", "--role=run", "--serviceaccount=default:runner")
    token = told(api, "create", "token", "runner").strip()
    config = api.kubeconfig_of(token, "runner")

    def may(*what: str) -> str:
        return kubectl(api, "auth", "can-i", *what, config=config).stdout.strip()

    assert may("create", "jobs") == "yes"
    assert may("get", "pods", "--subresource=log") == "yes"
    assert may("delete", "jobs") == "no"
    assert may("create", "jobsets.jobset.x-k8s.io") == "no"
    assert may("create", "jobs", "-n", "kube-system") == "no"
    as_runner = ("--as=system:serviceaccount:default:runner",)
    assert told(api, "auth", "can-i", "create", "jobs", *as_runner).strip() == "yes"
    words = refused(api, "get", "jobs", config=config)
    assert words.strip() == (
        'Error from server (Forbidden): jobs.batch is forbidden: User "system:serviceaccount:default:runner" '
        'cannot list resource "jobs" in API group "batch" in the namespace "default"'
    )
    assert "runner" in kubectl(api, "auth", "whoami", config=config).stdout


def test_what_is_made_by_hand_is_read_back(api: KubernetesApi) -> None:
    told(api, "create", "namespace", "lab")
    told(api, "create", "secret", "generic", "s3", "--from-literal=key=value", "-n", "lab")
    assert (
        told(api, "get", "secret", "s3", "-n", "lab", "-o", "jsonpath={.data.key} {.type}")
        == "dmFsdWU= Opaque"
    )
    told(api, "create", "configmap", "c", "--from-literal=a=b", "-n", "lab")
    told(api, "label", "configmap", "c", "stage=train", "-n", "lab")
    assert "c" in told(api, "get", "configmap", "-l", "stage=train", "-n", "lab", "-o", "name")
    told(api, "replace", "-n", "lab", "-f", "-", given=config_map("c", a="c"))
    assert told(api, "get", "configmap", "c", "-n", "lab", "-o", "jsonpath={.data.a}") == "c"
    told(api, "delete", "namespace", "lab")
    assert "not found" in refused(api, "get", "namespace", "lab")


def test_what_kubectl_makes_of_its_arguments_is_read(api: KubernetesApi) -> None:
    told(api, "create", "job", "train", "--image=lab:1", "--", "python", "-m", "mashbill")
    spec = api.get("jobs.batch", "train", "default")["spec"]["template"]["spec"]
    assert (spec["restartPolicy"], spec["containers"][0]["command"]) == (
        "Never",
        ["python", "-m", "mashbill"],
    )
    told(api, "create", "deployment", "web", "--image=lab:1", "--replicas=3", "--port=80")
    spec = api.get("deployments.apps", "web", "default")["spec"]
    assert (spec["replicas"], spec["selector"]) == (3, {"matchLabels": {"app": "web"}})
    assert spec["template"]["spec"]["containers"][0]["ports"] == [{"containerPort": 80, "protocol": "TCP"}]
    told(api, "scale", "deployment", "web", "--replicas=5")
    assert api.get("deployments.apps", "web", "default")["spec"]["replicas"] == 5
    told(api, "create", "service", "clusterip", "web", "--tcp=80:8080")
    assert api.get("services", "web", "default")["spec"]["ports"][0]["targetPort"] == 8080
    told(api, "create", "quota", "lab", "--hard=pods=2,requests.memory=3Gi")
    hard = api.get("resourcequotas", "lab", "default")["spec"]["hard"]
    assert hard == {"pods": "2", "requests.memory": "3Gi"}
    told(api, "create", "priorityclass", "high", "--value=1000", "--description=first")
    assert api.get("priorityclasses.scheduling.k8s.io", "high")["value"] == 1000
    words = refused(api, "create", "ingress", "x", "--rule=a.b/c=s:80")
    assert "the body of the request was in an unknown format" in words


def test_drained_node_has_no_pods_and_takes_none(api: KubernetesApi) -> None:
    running(api)
    words = refused(api, "drain", "n", "--timeout=1s", "--force")
    assert 'error when waiting for pod "p" in namespace "default" to terminate' in words
    there = api.get("pods", "p", "default")["metadata"]
    assert there["deletionGracePeriodSeconds"] == 30
    assert api.get("nodes", "n")["spec"]["unschedulable"] is True
    told(api, "delete", "pod", "p", "--grace-period=0", "--force")
    told(api, "drain", "n", "--timeout=10s")
    told(api, "uncordon", "n")
    assert not api.get("nodes", "n")["spec"].get("unschedulable")


def test_delete_takes_what_the_job_owns(api: KubernetesApi) -> None:
    told(api, "create", "-f", "-", given=job("train"))
    owner = api.get("jobs.batch", "train", "default")["metadata"]
    child = pod("p")
    child["metadata"]["ownerReferences"] = [
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "name": "train",
            "uid": owner["uid"],
            "blockOwnerDeletion": True,
        }
    ]
    told(api, "create", "-f", "-", given=child)
    told(api, "delete", "job", "train", "--cascade=foreground", "--timeout=20s")
    assert told(api, "get", "pods", "-o", "name") == ""


def test_explain_reads_the_schemas_of_custom_kinds_too(api: KubernetesApi) -> None:
    assert "FIELD: completions <integer>" in told(api, "explain", "job.spec.completions")
    assert "FIELD: maxRestarts <integer>" in told(api, "explain", "jobset.spec.failurePolicy.maxRestarts")
    assert "FIELD: numNodes <integer>" in told(api, "explain", "trainjob.spec.trainer.numNodes")


def test_token_of_nobody_is_told_so(api: KubernetesApi) -> None:
    config = api.kubeconfig_of("nobodys", "nobody")
    result: subprocess.CompletedProcess[str] = kubectl(api, "get", "pods", config=config)
    assert result.returncode != 0
    assert "You must be logged in to the server" in result.stderr
