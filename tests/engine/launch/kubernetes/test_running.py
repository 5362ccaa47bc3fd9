"""Orders whose pods really run: what becomes of them is told, and nothing is left of what can't run."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from builders.cluster import Cluster
from builders.cluster.quick import own_cluster
from builders.cluster.samples import claim
from builders.orders import order
from mashbill.errors import RunError
from mashbill.launch.backend import Handle, JobState
from mashbill.launch.kubernetes import waiting
from mashbill.launch.kubernetes.cluster_jobs import ClusterJobs
from mashbill.launch.kubernetes.job import JobBackend
from mashbill.launch.kubernetes.jobset import JobSetBackend
from mashbill.launch.kubernetes.rights import rights_of
from mashbill.launch.kubernetes.trainjob import TrainJobBackend

pytestmark = pytest.mark.slow
SECONDS = 90
BACKENDS: dict[str, type[ClusterJobs]] = {
    "job": JobBackend,
    "jobset": JobSetBackend,
    "trainjob": TrainJobBackend,
}
QUICK = {"grace_seconds": 1}
CLAIM = QUICK | {"volumes": [{"claim": "shared", "path": "/shared"}]}
MEET = """
import os, socket
node, nodes = int(os.environ["MASHBILL_NODE"]), int(os.environ["MASHBILL_NODES"])
host, _, port = os.environ["MASHBILL_RENDEZVOUS"].rpartition(":")
def met():
    while True:
        try:
            if node:
                return socket.create_connection((host, int(port)))
            return socket.create_server((socket.gethostbyname(host), int(port)))
        except OSError:
            pass
meeting = met()
for _ in range(nodes - 1 if node == 0 else 0):
    meeting.accept()
print("node", node, "of", nodes, "met at", port)
"""
ONCE = """
import pathlib, sys
first = pathlib.Path("/shared/first")
if first.exists():
    print("again")
else:
    first.touch()
    {first}
"""
WAITS = "import signal; print('waits', flush=True); signal.pause()"


@pytest.fixture
def c(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    with own_cluster(tmp_path / "cluster", monkeypatch) as here:
        yield here


def submitted(backend: str, script: str, **takes: Any) -> tuple[ClusterJobs, Handle]:
    made = BACKENDS[backend]()
    return made, made.submit(order(backend, command=("python", "-c", script), **takes))


def followed(
    jobs: ClusterJobs, handle: Handle, during: Callable[[JobState], None] = lambda state: None
) -> list[JobState]:
    """All states of a job; ``during`` is called with each."""

    async def follow() -> list[JobState]:
        states = []
        async with asyncio.timeout(SECONDS):
            async for state in jobs.watch(handle):
                states.append(state)
                await asyncio.to_thread(during, state)
        return states

    return asyncio.run(follow())


@pytest.mark.parametrize("backend", BACKENDS)
def test_nodes_run_know_themselves_and_meet(c: Cluster, backend: str) -> None:
    jobs, handle = submitted(backend, MEET, nodes=2)
    states = followed(jobs, handle)
    assert states[-1].phase == "succeeded"
    words = [jobs.logs(handle, rank) for rank in (0, 1)]
    assert words == [f"node {rank} of 2 met at 29400\n" for rank in (0, 1)]


def test_nodes_wait_for_a_name_that_is_not_known_yet(c: Cluster) -> None:
    script = (
        "import os; from mashbill.launch.network import address_towards; print('asks', flush=True);"
        "host, _, port = os.environ['MASHBILL_RENDEZVOUS'].rpartition(':');"
        "print(address_towards(host, int(port), patience=60), flush=True);"
        "import time; time.sleep(3 if os.environ['MASHBILL_NODE'] == '0' else 0)"
    )
    c.server.faults.drop(which=lambda call: call.verb == "create" and call.resource == "services")
    given = order(nodes=2, command=("python", "-c", script))
    with pytest.raises(RunError, match="breaks the connection off"):
        JobBackend().submit(given)
    c.wait_until(lambda: [c.log(pod["metadata"]["name"]) for pod in c.pods("train-1b-0")] == ["asks\n"] * 2)
    handle = JobBackend().submit(given)
    assert followed(JobBackend(), handle)[-1].phase == "succeeded"
    assert JobBackend().logs(handle, 1).startswith("asks\n127.")


@pytest.mark.parametrize("backend", ["job", "jobset"])
def test_a_wrong_setting_fails_at_once_and_says_so(c: Cluster, backend: str) -> None:
    script = "print('corpus.path: no file; list it', flush=True); raise SystemExit(2)"
    jobs, handle = submitted(backend, script, max_restarts=5)
    last = followed(jobs, handle)[-1]
    assert last.phase == "failed"
    assert last.failure is not None
    assert (last.failure.rank, last.failure.exit_code) == (0, 2)
    assert last.failure.machine in ("node-a", "node-b")
    assert last.failure.why == "exit code 2: a setting or the data is wrong"
    assert last.failure.last_words == "corpus.path: no file; list it"


@pytest.mark.parametrize("backend", ["job", "jobset"])
def test_a_failure_is_tried_again_as_often_as_it_may(c: Cluster, backend: str) -> None:
    c.create(claim("shared"))
    script = "open('/shared/runs', 'a').write('x'); print('no luck', flush=True); raise SystemExit(1)"
    jobs, handle = submitted(backend, script, max_restarts=1, kubernetes=CLAIM)
    last = followed(jobs, handle)[-1]
    assert last.phase == "failed"
    assert last.failure is not None
    assert last.failure.why.startswith("exit code 1; restarted once")
    assert last.failure.last_words == "no luck"
    assert (c.folder / "claims" / "default" / "shared" / "runs").read_text() == "xx"


@pytest.mark.parametrize("backend", ["job", "jobset"])
def test_work_that_saved_and_goes_on_later_counts_nothing(c: Cluster, backend: str) -> None:
    c.create(claim("shared"))
    script = ONCE.format(first="raise SystemExit(75)")
    jobs, handle = submitted(backend, script, max_restarts=0, kubernetes=CLAIM)
    assert followed(jobs, handle)[-1].phase == "succeeded"
    assert jobs.logs(handle) == "again\n"


@pytest.mark.parametrize("backend", ["job", "jobset"])
def test_a_disrupted_node_counts_nothing(c: Cluster, backend: str) -> None:
    c.create(claim("shared"))
    script = ONCE.format(first="import signal; signal.pause()")
    jobs, handle = submitted(backend, script, max_restarts=0, kubernetes=CLAIM)
    done: list[str] = []

    def disrupt(state: JobState) -> None:
        if state.phase == "running" and not done:
            c.wait_until((c.folder / "claims" / "default" / "shared" / "first").exists)
            c.evict(c.pods(handle.name)[0]["metadata"]["name"])
            done.append("evicted")

    states = followed(jobs, handle, disrupt)
    assert states[-1].phase == "succeeded"
    assert done == ["evicted"]


def test_a_node_that_runs_out_of_memory_is_named(c: Cluster) -> None:
    jobs, handle = submitted("job", WAITS, max_restarts=0, nodes=2, memory="1Gi", kubernetes=QUICK)

    def starve(state: JobState) -> None:
        if state.phase == "running":
            c.wait_until(lambda: "waits" in jobs.logs(handle, 1))
            c.run_out_of_memory(f"{handle.name}-1")

    last = followed(jobs, handle, starve)[-1]
    assert last.phase == "failed"
    assert last.failure is not None
    assert last.failure.rank == 1
    assert last.failure.why == "OOMKilled (limit 1Gi)"
    assert last.failure.last_words.startswith("waits")


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_image_that_is_not_there_is_said_and_nothing_is_left(c: Cluster, backend: str) -> None:
    jobs, handle = submitted(backend, WAITS, image="registry.example/lost:1", nodes=2)
    last = followed(jobs, handle)[-1]
    assert last.phase == "failed"
    assert "image can't be pulled: registry.example/lost:1" in last.message
    assert "not found" in last.message
    kinds = ("Job", "JobSet", "TrainJob", "Service")
    c.wait_until(lambda: not c.pods(handle.name))
    c.wait_until(
        lambda: not [t for kind in kinds for t in c.api.all(kind) if t["metadata"]["name"] == handle.name]
    )


def test_a_secret_that_is_not_there_is_said_and_nothing_is_left(
    c: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "PATIENCE_SECONDS", 1)
    jobs, handle = submitted("job", WAITS, kubernetes={"environment_from": ["lost"]})
    last = followed(jobs, handle)[-1]
    assert last.phase == "failed"
    assert 'secret "lost" not found' in last.message
    c.wait_until(lambda: not c.pods(handle.name))


def test_what_no_node_takes_is_waited_for_with_the_reason(c: Cluster) -> None:
    jobs, handle = submitted("job", WAITS, gpus=8)

    def give_up(state: JobState) -> None:
        if "has no machine" in state.message:
            jobs.cancel(handle)

    states = followed(jobs, handle, give_up)
    assert "Insufficient nvidia.com/gpu" in "".join(state.message for state in states)
    assert {state.phase for state in states} <= {"starting", "queued", "gone"}
    assert states[-1].phase == "gone"
    c.wait_until(lambda: not c.pods(handle.name))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_queued_job_waits_runs_when_admitted_and_waits_again_when_preempted(
    c: Cluster, backend: str
) -> None:
    c.add_queue("research", held=True)
    c.create(claim("shared"))
    jobs, handle = submitted(
        backend, ONCE.format(first=WAITS), queue="research", kubernetes=CLAIM, max_restarts=0
    )
    did: list[str] = []

    def act(state: JobState) -> None:
        if state.phase == "queued" and not did:
            did.append("admitted")
            c.admit_queue("research")
        elif state.phase == "running" and did == ["admitted"]:
            c.wait_until((c.folder / "claims" / "default" / "shared" / "first").exists)
            did.append("preempted")
            c.preempt(jobs.kind.name, handle.name)
        elif state.phase == "queued" and did[-1:] == ["preempted"]:
            did.append("admitted again")
            c.wait_until(lambda: not c.pods(handle.name))
            c.admit_queue("research")

    states = followed(jobs, handle, act)
    assert did == ["admitted", "preempted", "admitted again"]
    assert states[-1].phase == "succeeded"
    assert states[0].message.startswith("waits in queue research")


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_running_job_that_is_cancelled_leaves_nothing(c: Cluster, backend: str) -> None:
    jobs, handle = submitted(backend, WAITS, nodes=2, kubernetes=QUICK)

    def stop(state: JobState) -> None:
        if state.phase == "running":
            jobs.cancel(handle)

    assert followed(jobs, handle, stop)[-1].phase == "gone"
    kinds = ("Job", "JobSet", "TrainJob", "Service", "Pod")
    c.wait_until(
        lambda: not [t for kind in kinds for t in c.api.all(kind) if handle.name in t["metadata"]["name"]]
    )


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_job_that_runs_too_long_is_ended_and_not_tried_again(c: Cluster, backend: str) -> None:
    jobs, handle = submitted(backend, WAITS, time_limit_seconds=1, kubernetes=QUICK)
    last = followed(jobs, handle)[-1]
    assert last.phase == "failed"
    assert "deadline" in last.message.lower()


FROM_WITHIN = """
import asyncio
from builders.orders import order
from mashbill.launch.kubernetes.job import JobBackend
backend = JobBackend()
given = order(name="within", nodes=2, command=("python", "-c", "print('done')"))
print(backend.check(given.takes))
handle = backend.submit(given)
print(handle.place["context"], handle.place["namespace"])
async def last():
    return [state async for state in backend.watch(handle)][-1]
print(asyncio.run(last()).phase, repr(backend.logs(handle)))
"""


def test_a_pod_launches_jobs_by_its_own_identity_and_no_more_than_the_needed_rights(c: Cluster) -> None:
    rules = [
        {"apiGroups": [right.group], "resources": [right.resource], "verbs": list(right.verbs)}
        for right in rights_of("job", needed_only=True)
    ]
    group = "rbac.authorization.k8s.io"
    role = {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": {"name": "launcher"}, "rules": rules}
    binding = {
        "apiVersion": f"{group}/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "launcher"},
        "roleRef": {"apiGroup": group, "kind": "Role", "name": "launcher"},
        "subjects": [{"kind": "ServiceAccount", "name": "launcher", "namespace": "default"}],
    }
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "launcher"}}
    for made in (account, role, binding):
        c.server.put(made | {"metadata": {**made["metadata"], "namespace": "default"}})
    container = {
        "name": "airflow",
        "image": "registry.example/mashbill:0.2",
        "command": ["python", "-c", FROM_WITHIN],
    }
    spec = {"serviceAccountName": "launcher", "restartPolicy": "Never", "containers": [container]}
    c.create({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "worker"}, "spec": spec})
    c.wait_for("Pod", "worker", lambda pod: pod["status"].get("phase") in ("Succeeded", "Failed"))
    assert c.log("worker").splitlines() == ["[]", "in-cluster default", "succeeded 'done\\n'"]
