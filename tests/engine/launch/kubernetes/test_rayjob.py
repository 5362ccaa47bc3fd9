"""An order as a RayJob: what KubeRay takes, what its words mean, and one job from its birth to its end."""

import asyncio
import shlex
import subprocess
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml

from builders.kube import KubernetesApi
from builders.orders import order
from builders.pods import STARTED, ended, placed_in, running, told, unplaced, waiting
from mashbill.errors import ConfigError
from mashbill.launch.backend import Handle, JobState
from mashbill.launch.kubernetes.kinds import RAYJOB
from mashbill.launch.kubernetes.rayjob import RayJobBackend, rayjob
from mashbill.launch.kubernetes.states import Seen, state_of
from mashbill.launch.registry import backend_named

NOW = datetime(2026, 11, 28, 10, 10, tzinfo=UTC)
EVERYTHING: dict[str, Any] = {
    "gpus": 2,
    "cpus": "16",
    "memory": "64Gi",
    "time_limit_seconds": 3_600,
    "max_restarts": 5,
    "ray": {"workers": 4, "version": "2.60.0"},
    "kubernetes": {
        "service_account": "curation",
        "pull_secrets": ["registry"],
        "environment_from": ["s3"],
        "volumes": [{"claim": "lake", "path": "/lake"}],
        "shared_memory": "20Gi",
        "node_selector": {"pool": "curation"},
        "tolerations": [{"key": "curation", "operator": "Exists"}],
        "priority_class": "low",
        "topology": "cloud.example/rack",
    },
}
ROLES = {"head": "ray-head", "workers": "ray-worker", "submitter": "ray-job-submitter"}


def templates(made: dict[str, Any]) -> dict[str, Any]:
    """Pod templates of a RayJob by role; no workers where it has none."""
    cluster = made["spec"]["rayClusterSpec"]
    groups = {group["groupName"]: group["template"] for group in cluster.get("workerGroupSpecs", ())}
    head, submitter = cluster["headGroupSpec"]["template"], made["spec"]["submitterPodTemplate"]
    return {"head": head, "submitter": submitter, **groups}


def container(made: dict[str, Any], role: str) -> dict[str, Any]:
    found: dict[str, Any] = templates(made)[role]["spec"]["containers"][0]
    return found


def variables(made: dict[str, Any], role: str) -> dict[str, Any]:
    return {v["name"]: v.get("value", v.get("valueFrom")) for v in container(made, role)["env"]}


@pytest.mark.parametrize("takes", [{}, EVERYTHING, EVERYTHING | {"queue": "research"}], ids=len)
def test_the_api_takes_the_manifest_and_keeps_all_of_it(api: KubernetesApi, takes: dict[str, Any]) -> None:
    made = rayjob(order("rayjob", **takes))
    RayJobBackend().submit(order("rayjob", **takes))
    kept = api.get("rayjobs.ray.io", "train-1b-0", "default")
    assert kept is not None
    assert kept["spec"] == made["spec"]
    assert made["spec"].get("suspend", False) == ("queue" in takes)
    assert made["spec"].get("activeDeadlineSeconds") == takes.get("time_limit_seconds")
    assert made["spec"]["backoffLimit"] == takes.get("max_restarts", 3)
    assert made["spec"]["shutdownAfterJobFinishes"]  # its machines cost
    assert yaml.safe_load(yaml.safe_dump(made)) == made


def test_every_pod_is_restricted_has_the_jobs_marks_and_no_command_of_its_own() -> None:
    made = rayjob(order("rayjob", **EVERYTHING))
    assert set(templates(made)) == set(ROLES)
    for role, template in templates(made).items():
        one = container(made, role)
        assert one["name"] == ROLES[role]
        assert "command" not in one
        assert one["securityContext"]["readOnlyRootFilesystem"] is True
        assert one["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert template["spec"]["securityContext"]["runAsNonRoot"] is True
        assert template["spec"]["automountServiceAccountToken"] is False
        assert template["metadata"]["labels"]["mashbill.dev/job"] == "train-1b-0"
        assert template["metadata"]["annotations"]["mashbill.dev/token"] == "run-7/train/0"
        assert template["spec"]["nodeSelector"] == {"pool": "curation"}
        assert template["spec"]["priorityClassName"] == "low"
        assert template["spec"]["imagePullSecrets"] == [{"name": "registry"}]
        assert "/tmp" in {mount["mountPath"] for mount in one["volumeMounts"]}


def test_a_driver_is_the_first_node_of_one_and_no_index_is_referred_to() -> None:
    made = rayjob(order("rayjob", **EVERYTHING))
    for role in ROLES:
        found = variables(made, role)
        assert (found["MASHBILL_NODE"], found["MASHBILL_NODES"]) == ("0", "1")
        assert "MASHBILL_RENDEZVOUS" not in found
    assert "job-completion-index" not in yaml.safe_dump(made)


def test_secrets_and_volumes_are_the_clusters_and_not_the_submitters() -> None:
    made = rayjob(order("rayjob", environment={"SAID": "x"}, **EVERYTHING))
    for role in ("head", "workers"):
        assert container(made, role)["envFrom"] == [{"secretRef": {"name": "s3"}}]
        assert "/lake" in {mount["mountPath"] for mount in container(made, role)["volumeMounts"]}
        assert variables(made, role)["SAID"] == "x"
    submitter = container(made, "submitter")
    assert "envFrom" not in submitter
    assert "persistentVolumeClaim" not in yaml.safe_dump(templates(made)["submitter"])
    assert "SAID" not in variables(made, "submitter")
    assert "nvidia.com/gpu" not in submitter["resources"]["limits"]


def test_workers_do_the_work_where_there_are_any_and_else_the_head_does() -> None:
    made = rayjob(order("rayjob", **EVERYTHING))["spec"]["rayClusterSpec"]
    (workers,) = made["workerGroupSpecs"]
    assert {workers[name] for name in ("replicas", "minReplicas", "maxReplicas")} == {4}
    assert workers["rayStartParams"]["num-cpus"] == "16"
    assert workers["rayStartParams"]["num-gpus"] == "2"
    assert made["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    head = made["headGroupSpec"]["template"]["spec"]["containers"][0]["resources"]
    assert "nvidia.com/gpu" not in head["limits"]
    assert made["rayVersion"] == "2.60.0"
    alone = rayjob(order("rayjob", **EVERYTHING | {"ray": {"workers": 0}}))["spec"]["rayClusterSpec"]
    assert "workerGroupSpecs" not in alone
    assert alone["headGroupSpec"]["rayStartParams"]["num-cpus"] == "16"
    limits = alone["headGroupSpec"]["template"]["spec"]["containers"][0]["resources"]["limits"]
    assert limits["nvidia.com/gpu"] == "2"


def test_rays_object_store_fits_the_shared_memory() -> None:
    made = rayjob(order("rayjob", **EVERYTHING))["spec"]["rayClusterSpec"]
    for group in (made["headGroupSpec"], *made["workerGroupSpecs"]):
        assert int(group["rayStartParams"]["object-store-memory"]) == pytest.approx(0.9 * 20 * 2**30)


def test_a_cluster_costs_nothing_after_its_driver_and_a_failed_one_is_made_again_as_often_as_said() -> None:
    spec = rayjob(order("rayjob", **EVERYTHING))["spec"]
    assert spec["shutdownAfterJobFinishes"] is True
    assert spec["ttlSecondsAfterFinished"] == 0
    assert (spec["backoffLimit"], spec["activeDeadlineSeconds"]) == (5, 3_600)


@pytest.mark.parametrize(
    "words",
    [("a b", "c"), ("it's", '"so"'), ("$HOME", "`id`", ";", "&&"), ("back\\slash", "*", ""), ("é\n",)],
)
def test_a_command_comes_through_both_shells_as_it_is(words: tuple[str, ...]) -> None:
    entrypoint = rayjob(order("rayjob", command=("printf", r"%s\0", *words)))["spec"]["entrypoint"]
    split = ("bash", "-c", f"python3 -c 'import shlex, sys; print(shlex.join(sys.argv[1:]))' {entrypoint}")
    submitted = subprocess.run(split, capture_output=True, check=True, text=True).stdout
    said = subprocess.run(("bash", "-c", submitted), capture_output=True, check=True).stdout
    assert said.decode().split("\0")[:-1] == list(words)


def test_nothing_of_a_command_is_taken_for_a_variable_of_kubernetes() -> None:
    made = rayjob(order("rayjob", command=("echo", "$(HOME)")))
    assert made["spec"]["entrypoint"] == f"echo {shlex.quote('$$(HOME)')}"


def test_several_nodes_are_refused_in_a_line() -> None:
    with pytest.raises(ConfigError, match=r"^nodes: .*one driver.*; .*ray\.workers") as said:
        rayjob(order("rayjob", nodes=2))
    assert "\n" not in str(said.value)
    (problem,) = backend_named("rayjob").check(order("rayjob", nodes=2).takes)
    assert str(problem) == str(said.value)


def test_a_name_is_refused_exactly_where_kuberay_would_refuse_it() -> None:
    rayjob(order("rayjob", name="a" * 47))
    with pytest.raises(ConfigError, match="1 characters too long"):
        rayjob(order("rayjob", name="a" * 48))


def test_a_template_of_ones_own_is_under_the_pods(tmp_path: Any) -> None:
    path = tmp_path / "pod.yaml"
    probe = {"name": "mashbill", "imagePullPolicy": "Always"}
    path.write_text(yaml.safe_dump({"spec": {"runtimeClassName": "fast", "containers": [probe]}}))
    made = rayjob(order("rayjob", kubernetes={"template": str(path)}))
    for role in ("head", "workers"):
        assert templates(made)[role]["spec"]["runtimeClassName"] == "fast"
        assert container(made, role)["imagePullPolicy"] == "Always"


def job(status: dict[str, Any] | None = None, **takes: Any) -> dict[str, Any]:
    """A RayJob as a cluster has it."""
    document = rayjob(order("rayjob", **takes))
    document["metadata"] |= {"uid": "uid-1", "resourceVersion": "7", "creationTimestamp": STARTED}
    return document | {"status": status or {}}


def pod(
    document: dict[str, Any], role: str, status: dict[str, Any] | None = None, number: int = 0
) -> dict[str, Any]:
    """A pod of a RayJob, as KubeRay makes it."""
    template = templates(document)[role]
    name = f"{document['metadata']['name']}-{role}-{number}"
    metadata = {"name": name, "namespace": "default", "uid": f"uid-{name}", "creationTimestamp": STARTED}
    status = status or {"phase": "Pending"}
    for one in status.get("containerStatuses", ()):
        one["name"] = ROLES[role]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": template["metadata"] | metadata,
        "spec": template["spec"] | {"nodeName": f"machine-{number}"},
        "status": status,
    }


def state(document: dict[str, Any], *pods: dict[str, Any], log: str = "", **more: Any) -> JobState:
    return state_of(Seen(RAYJOB, document, pods, NOW, **more), log)


def failed(message: str, reason: str = "AppFailed", **more: Any) -> dict[str, Any]:
    words = {"jobStatus": "FAILED", "jobDeploymentStatus": "Failed", "reason": reason, "message": message}
    return words | more


SAYS = "Job entrypoint command failed with exit code {}, last available logs (truncated to 20,000 chars):\n{}"


@pytest.mark.parametrize(
    "deployment, word, phase",
    [
        ("", "", "starting"),
        ("Initializing", "", "starting"),
        ("Running", "PENDING", "starting"),
        ("Running", "RUNNING", "running"),
        ("Retrying", "", "starting"),
        ("Complete", "SUCCEEDED", "succeeded"),
        ("Complete", "STOPPED", "gone"),
        ("Failed", "FAILED", "failed"),
        ("Failed", "", "failed"),
        ("ValidationFailed", "", "failed"),
    ],
)
def test_kuberays_words_are_phases(deployment: str, word: str, phase: str) -> None:
    document = job({"jobDeploymentStatus": deployment, "jobStatus": word})
    assert state(document).phase == phase
    assert RAYJOB.ended(document) == (phase in {"succeeded", "failed", "gone"})


def test_a_queued_one_waits_in_its_queue() -> None:
    found = state(job({"jobDeploymentStatus": "Suspended"}, queue="research"))
    assert found.phase == "queued"
    assert found.message.startswith("waits in queue research for 10 min")


def test_pods_that_have_no_machine_or_no_image_are_told() -> None:
    document = job({"jobDeploymentStatus": "Initializing"})
    none = pod(document, "workers", unplaced("0/3 nodes are available: insufficient cpu"))
    found = state(document, pod(document, "head", running()), none)
    assert found.phase == "starting"
    assert "1 of 3 nodes run" in found.message
    assert "insufficient cpu" in found.message
    assert state(document, none).phase == "queued"
    lost = pod(document, "workers", waiting("ImagePullBackOff", "manifest unknown: not found"))
    found = state(document, pod(document, "head", running()), lost)
    assert found.phase == "failed"
    assert "image can't be pulled: registry.example/mashbill:0.2" in found.message
    assert not RAYJOB.ended(document)


def test_a_failed_driver_is_told_by_its_own_exit_code_and_its_last_words() -> None:
    document = job(failed(SAYS.format(2, "tail of the log"), failed=1))
    found = state(document, pod(document, "submitter", ended(1)), log="config.toml: no such file\n")
    assert found.failure is not None
    assert (found.failure.exit_code, found.failure.rank) == (2, 0)
    assert found.failure.why == "exit code 2: a setting or the data is wrong"
    assert found.failure.last_words == "config.toml: no such file"


def test_last_words_are_rays_own_where_no_pod_is_left_to_say_them() -> None:
    found = state(job(failed(SAYS.format(3, "the last word"), failed=4)))
    assert found.failure is not None
    assert found.failure.exit_code == 3
    assert "the last word" in found.failure.last_words
    assert "restarted 3 times" in found.failure.why


def test_what_no_other_try_can_mend_is_not_tried_again() -> None:
    status = failed(SAYS.format(2, "")) | {"jobDeploymentStatus": "Retrying"}
    assert state(job(status)).phase == "failed"
    assert not RAYJOB.ended(job(status))
    status = failed(SAYS.format(1, ""), failed=1) | {"jobDeploymentStatus": "Retrying"}
    found = state(job(status))
    assert (found.phase, found.message) == ("starting", "restarted once")


def test_a_job_out_of_time_or_that_cannot_be_submitted_says_so() -> None:
    late = state(job(failed("The RayJob has passed the activeDeadlineSeconds.", "DeadlineExceeded")))
    assert late.failure is not None
    assert late.failure.why.startswith("ran longer than it may")
    said = state(job(failed("BackoffLimitExceeded: the submitter failed", "SubmissionFailed")))
    assert said.failure is not None
    assert said.failure.why == "SubmissionFailed: BackoffLimitExceeded: the submitter failed"


def patched(api: KubernetesApi, handle: Handle, deployment: str, word: str = "", **more: Any) -> None:
    told(api, "rayjobs", handle.name, {"jobDeploymentStatus": deployment, "jobStatus": word, **more})


def test_one_is_followed_from_its_birth_to_its_end(api: KubernetesApi) -> None:
    backend = RayJobBackend()
    handle = backend.submit(order("rayjob"))
    assert backend.state(handle).phase == "starting"
    steps = iter([("Initializing", ""), ("Running", "RUNNING"), ("Complete", "SUCCEEDED")])

    async def follow() -> list[JobState]:
        found = []
        async for one in backend.watch(handle):
            found.append(one)
            if not one.ended:
                await asyncio.to_thread(patched, api, handle, *next(steps))
                if one.phase == "starting" and len(found) == 1:
                    await asyncio.to_thread(patched, api, handle, *next(steps))
        return found

    phases = [one.phase for one in asyncio.run(asyncio.wait_for(follow(), 60))]
    assert phases == ["starting", "running", "succeeded"]
    assert backend.state(handle).phase == "succeeded"


def test_its_log_is_the_submitters_and_cancelling_removes_it(api: KubernetesApi) -> None:
    backend = RayJobBackend()
    handle = backend.submit(order("rayjob"))
    document = api.get("rayjobs.ray.io", handle.name, "default")
    assert document is not None
    for role in ("head", "workers", "submitter"):
        one = pod(document, role, running())
        placed_in(api, one)
        made = api.get("pods", one["metadata"]["name"], "default")
        assert made is not None
        api.logs.write(made["metadata"]["uid"], ROLES[role], f"{role} says\n")
    assert backend.logs(handle).strip() == "submitter says"
    assert backend.logs(handle, rank=1) == ""
    patched(api, handle, "Failed", "FAILED", reason="AppFailed", message=SAYS.format(7, "x"), failed=1)
    found = backend.state(handle)
    assert found.failure is not None
    assert (found.failure.exit_code, found.failure.last_words) == (7, "submitter says")
    backend.cancel(handle)
    assert api.get("rayjobs.ray.io", handle.name, "default") is None
    assert backend.state(handle).phase == "gone"
