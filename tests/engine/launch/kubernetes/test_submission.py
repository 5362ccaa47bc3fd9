"""An order becomes one job, whatever happens to connections, and never another's."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from builders.kube import KubernetesApi, kubernetes_api
from builders.kube.calls import Call
from builders.orders import order
from builders.pods import placed_in, pod_of, running
from mashbill.errors import ConfigError, RunError
from mashbill.launch.backend import TOKEN, Handle
from mashbill.launch.kubernetes.cluster_jobs import ClusterJobs
from mashbill.launch.kubernetes.job import JobBackend
from mashbill.launch.kubernetes.jobset import JobSetBackend
from mashbill.launch.kubernetes.manifests import service
from mashbill.launch.kubernetes.rayjob import RayJobBackend
from mashbill.launch.kubernetes.trainjob import TrainJobBackend

BACKENDS: dict[str, type[ClusterJobs]] = {
    "job": JobBackend,
    "jobset": JobSetBackend,
    "trainjob": TrainJobBackend,
    "rayjob": RayJobBackend,
}
SEVERAL = {name: {"ray": {"workers": 2}} if name == "rayjob" else {"nodes": 2} for name in BACKENDS}
RESOURCES = {
    "job": "jobs.batch",
    "jobset": "jobsets.jobset.x-k8s.io",
    "trainjob": "trainjobs.trainer.kubeflow.org",
    "rayjob": "rayjobs.ray.io",
}


def creating(resource: str) -> Any:
    def which(call: Call) -> bool:
        return call.verb == "create" and call.resource == resource

    return which


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest, api: KubernetesApi) -> ClusterJobs:
    if request.param == "trainjob":
        from builders.kube.samples import runtime

        api.put(runtime())
    return BACKENDS[request.param]()


def jobs(api: KubernetesApi, backend: ClusterJobs) -> list[dict[str, Any]]:
    return api.all(RESOURCES[backend.name])


def test_submitting_twice_makes_one_job(api: KubernetesApi, backend: ClusterJobs) -> None:
    given = order(backend.name, queue="research", **SEVERAL[backend.name])
    handle = backend.submit(given)
    assert backend.submit(given) == handle
    (made,) = jobs(api, backend)
    assert made["metadata"]["uid"] == handle.uid
    assert made["metadata"]["annotations"][TOKEN] == given.token
    assert Handle.of(handle.text()) == handle
    assert handle.place == {"context": "admin", "namespace": "default", "server": api.url}


def test_a_job_whose_answer_was_lost_is_found(api: KubernetesApi, backend: ClusterJobs) -> None:
    api.faults.drop(done=True, which=creating(backend.kind.plural))
    handle = backend.submit(order(backend.name))
    assert [job["metadata"]["uid"] for job in jobs(api, backend)] == [handle.uid]


@pytest.mark.parametrize("code", [429, 500, 503, 504])
def test_what_was_not_made_is_told_and_made_by_the_next_try(
    api: KubernetesApi, backend: ClusterJobs, code: int
) -> None:
    api.faults.refuse(code, which=creating(backend.kind.plural))
    with pytest.raises(RunError, match=f"job train-1b-0: .*{code}"):
        backend.submit(order(backend.name))
    api.faults.drop(which=creating(backend.kind.plural))
    with pytest.raises(RunError, match=re.escape(f"context admin at {api.url} breaks the connection off")):
        backend.submit(order(backend.name))
    assert jobs(api, backend) == []
    backend.submit(order(backend.name))
    assert len(jobs(api, backend)) == 1


def test_a_full_quota_is_told_as_what_passes(api: KubernetesApi, backend: ClusterJobs) -> None:
    resource = f"count/{RESOURCES[backend.name]}"
    named = {"kind": "ResourceQuota", "metadata": {"name": "few", "namespace": "default"}}
    api.put({"apiVersion": "v1", **named, "spec": {"hard": {resource: "1"}}})
    backend.submit(order(backend.name, name="others"))
    with pytest.raises(RunError, match=r"has no room in the quota of .*exceeded quota: few, .*; wait until"):
        backend.submit(order(backend.name))
    assert [job["metadata"]["name"] for job in jobs(api, backend)] == ["others"]


def test_a_job_of_the_name_that_is_anothers_is_left_alone(api: KubernetesApi, backend: ClusterJobs) -> None:
    theirs = backend.submit(order(backend.name, token="theirs"))
    with pytest.raises(
        ConfigError, match=f"{backend.kind.name} of that name that is another's; .*kubectl delete"
    ):
        backend.submit(order(backend.name, token="ours"))
    assert [job["metadata"]["uid"] for job in jobs(api, backend)] == [theirs.uid]


def test_a_job_that_is_still_being_removed_is_not_taken_up(api: KubernetesApi) -> None:
    backend = JobBackend()
    given = order(token="again")
    handle = backend.submit(given)
    placed_in_owner(api, handle)
    backend.cancel(handle)
    assert api.get("jobs.batch", given.name, "default") is not None
    with pytest.raises(RunError, match="still being removed; try again"):
        backend.submit(given)


def placed_in_owner(api: KubernetesApi, handle: Handle) -> None:
    """A running pod of a job, which a foreground deletion waits for."""
    job = api.get("jobs.batch", handle.name, "default")
    assert job is not None
    pod = pod_of(job, status=running())
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": handle.name, "uid": handle.uid}
    pod["metadata"]["ownerReferences"] = [owner | {"controller": True, "blockOwnerDeletion": True}]
    placed_in(api, pod)


def test_nodes_of_a_job_meet_by_a_service_that_goes_with_it(api: KubernetesApi) -> None:
    handle = JobBackend().submit(order(nodes=2))
    (service,) = [s for s in api.all("services") if s["metadata"]["name"] == handle.name]
    assert service["metadata"]["ownerReferences"][0]["uid"] == handle.uid
    assert service["spec"]["clusterIP"] == "None"


def test_a_service_that_was_not_made_is_made_by_the_next_try(api: KubernetesApi) -> None:
    backend, given = JobBackend(), order(nodes=2)
    api.faults.drop(which=creating("services"))
    with pytest.raises(RunError):
        backend.submit(given)
    handle = backend.submit(given)
    assert len(jobs(api, backend)) == 1
    assert api.get("services", handle.name, "default") is not None


def test_a_service_that_an_earlier_job_left_is_made_anew(api: KubernetesApi) -> None:
    earlier = JobBackend().submit(order(name="earlier"))
    left = service(order(nodes=2), earlier.uid)
    left["metadata"]["ownerReferences"][0]["name"] = "earlier"
    api.put(left | {"metadata": left["metadata"] | {"namespace": "default"}})
    handle = JobBackend().submit(order(nodes=2))
    (now,) = [s for s in api.all("services") if s["metadata"]["name"] == handle.name]
    assert now["metadata"]["ownerReferences"][0]["uid"] == handle.uid


def test_no_job_is_left_where_its_service_is_refused(api: KubernetesApi) -> None:
    ports = [{"port": 80}]
    api.put(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "train-1b-0", "namespace": "default"},
            "spec": {"ports": ports, "clusterIP": "None"},
        }
    )
    with pytest.raises(ConfigError, match=r"service train-1b-0: .* is another's; remove it"):
        JobBackend().submit(order(nodes=2))
    left = [job for job in jobs(api, JobBackend()) if "deletionTimestamp" not in job["metadata"]]
    assert left == []


def test_cancelling_twice_is_once_and_takes_no_other_job(api: KubernetesApi, backend: ClusterJobs) -> None:
    handle = backend.submit(order(backend.name, queue="research"))
    backend.cancel(handle)
    assert jobs(api, backend) == []
    backend.cancel(handle)
    later = backend.submit(order(backend.name, token="later"))
    backend.cancel(handle)
    assert [job["metadata"]["uid"] for job in jobs(api, backend)] == [later.uid]
    assert backend.state(handle).phase == "gone"
    assert backend.state(later).phase != "gone"


def test_a_key_that_kubernetes_does_not_know_is_refused(api: KubernetesApi, tmp_path: Path) -> None:
    template = tmp_path / "pod.yaml"
    template.write_text(yaml.safe_dump({"spec": {"imagined": 1}}))
    with pytest.raises(ConfigError, match=r'unknown field "spec.template.spec.imagined"'):
        JobBackend().submit(order(kubernetes={"template": str(template)}))
    asked = [call.query.get("fieldValidation") for call in api.audit if call.verb == "create"]
    assert asked == ["Strict"]


def test_a_namespace_that_is_not_there_is_named(api: KubernetesApi, backend: ClusterJobs) -> None:
    with pytest.raises(ConfigError, match=r"kubernetes.namespace: namespace nowhere of .* is not there"):
        backend.submit(order(backend.name, kubernetes={"namespace": "nowhere"}))


@pytest.mark.parametrize("name", ["jobset", "trainjob", "rayjob"])
def test_a_kind_that_is_not_installed_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with kubernetes_api(custom=()) as bare:
        monkeypatch.setenv("KUBECONFIG", str(bare.kubeconfig))
        backend = BACKENDS[name]()
        with pytest.raises(ConfigError, match=f"backend {name}: .* is not installed in {bare.url}"):
            backend.submit(order(name))


def test_a_missing_right_is_told_and_nothing_is_made(
    api: KubernetesApi, backend: ClusterJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(api.kubeconfig_of(api.user_token("ann"), "ann")))
    with pytest.raises(ConfigError, match=r'job train-1b-0: is forbidden .*"ann" cannot create') as told:
        backend.submit(order(backend.name))
    assert "\n" not in str(told.value)
    assert jobs(api, backend) == []


def test_a_cluster_that_does_not_answer_is_told_by_context_and_server(api: KubernetesApi) -> None:
    api.stop()
    with pytest.raises(RunError, match=re.escape(f"context admin at {api.url} does not answer")) as told:
        JobBackend().submit(order())
    assert "\n" not in str(told.value)
    api.start()


def test_a_context_that_is_not_there_is_told_with_those_that_are(
    api: KubernetesApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match=r"kubernetes.context: lab is none of the kubeconfig's .*\(admin\)"):
        JobBackend().submit(order(kubernetes={"context": "lab"}))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    with pytest.raises(ConfigError, match=r"kubernetes.context: no context can be used"):
        JobBackend().submit(order())


def test_a_job_of_another_cluster_is_not_taken_for_gone(
    api: KubernetesApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = JobBackend().submit(order())
    with kubernetes_api() as other:
        monkeypatch.setenv("KUBECONFIG", str(other.kubeconfig))
        with pytest.raises(RunError, match=f"was submitted to {api.url}"):
            JobBackend().state(handle)
    monkeypatch.setenv("KUBECONFIG", str(api.kubeconfig))
    assert JobBackend().state(handle).phase == "starting"
