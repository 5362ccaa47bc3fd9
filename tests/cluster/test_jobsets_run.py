"""JobSets whose pods are processes: they meet by name, and one that loses a pod starts again."""

import pytest

from builders.cluster import Cluster
from builders.cluster.kinds import Object, condition, holds, status_of
from builders.cluster.samples import claim, config_map, container, jobset, python, template

SUM = """
import os, pathlib, signal, torch, torch.distributed as group
group.init_process_group("gloo")
ranks = torch.tensor([group.get_rank() + 1.0])
group.all_reduce(ranks)
print("sum", ranks.item(), flush=True)
first = pathlib.Path("/data/first")
again = first.exists()
group.barrier()
if not again:
    first.touch()
    signal.pause()
print("again", flush=True)
group.barrier()
"""
TORCHRUN = [
    "torchrun",
    "--nnodes=2",
    "--nproc-per-node=1",
    "--rdzv-backend=c10d",
    "--rdzv-endpoint=train-node-0-0.train:29400",
    "--rdzv-id=train",
    "/code/sum.py",
]
VOLUMES = {"code": {"configMap": {"name": "code"}}, "data": {"persistentVolumeClaim": {"claimName": "data"}}}


def two_nodes(*, command: list[str] = TORCHRUN) -> Object:
    """A template of pods that have code and a claim."""
    mounts = [{"name": name, "mountPath": f"/{name}"} for name in VOLUMES]
    volumes = [{"name": name, **source} for name, source in VOLUMES.items()]
    pod = {"volumes": volumes, "terminationGracePeriodSeconds": 1}
    return template(command, pod=pod, volumeMounts=mounts)


@pytest.mark.slow
def test_two_pods_meet_by_name_and_a_lost_one_starts_the_jobset_again(c: Cluster) -> None:
    c.create(config_map("code", sum__py=SUM))
    c.create(claim("data"))
    c.create(jobset("train", two_nodes(), 2, failurePolicy={"maxRestarts": 1}))
    first = c.folder / "claims" / "default" / "data" / "first"
    c.wait_until(first.exists)
    assert [c.log(f"train-node-0-{index}").splitlines() for index in (0, 1)] == [["sum 3.0"]] * 2
    c.kill("train-node-0-1")
    ended = c.wait_for("JobSet", "train", lambda one: status_of(one).get("terminalState"))
    assert status_of(ended)["terminalState"] == "Completed", status_of(ended)
    assert status_of(ended)["restarts"] == 1
    assert "again" in c.log("train-node-0-0")


def test_a_jobset_without_restarts_left_fails_and_says_which_job_was_first(c: Cluster) -> None:
    c.create(jobset("train", template(python("raise SystemExit(3)")), 2))
    ended = c.wait_for("JobSet", "train", lambda one: holds(one, "Failed"))
    failed = condition(ended, "Failed")
    assert failed
    assert failed["reason"] == "FailedJobs"
    assert failed["message"].endswith("(first failed job: train-node-0)")
    assert status_of(ended)["replicatedJobsStatus"][0]["failed"] == 1


def test_restarts_that_do_not_count_leave_those_that_do(c: Cluster) -> None:
    rule = {
        "name": "preempted",
        "action": "RestartJobSetAndIgnoreMaxRestarts",
        "onJobFailureReasons": ["PodFailurePolicy"],
    }
    disrupted = {"action": "FailJob", "onPodConditions": [{"type": "DisruptionTarget"}]}
    c.create(
        jobset(
            "train",
            template(["sleep", "600"], pod={"terminationGracePeriodSeconds": 1}),
            1,
            job_spec={"podFailurePolicy": {"rules": [disrupted]}},
            failurePolicy={"maxRestarts": 0, "rules": [rule]},
        )
    )
    c.evict("train-node-0-0")
    c.wait_for("JobSet", "train", lambda one: status_of(one).get("restarts") == 1)
    c.kill("train-node-0-0")
    ended = c.wait_for("JobSet", "train", lambda one: holds(one, "Failed"))
    assert status_of(ended)["restartsCountTowardsMax"] == 0
    assert (condition(ended, "Failed") or {})["reason"] == "ReachedMaxRestarts"


def test_pods_of_a_jobset_know_where_they_are(c: Cluster) -> None:
    script = (
        "import os, socket; print(socket.gethostname(), socket.getfqdn(), os.environ['JOB_COMPLETION_INDEX'])"
    )
    spec = jobset("train", template(python(script)), 2, network={"subdomain": "hosts"})
    c.create(spec)
    c.wait_for("JobSet", "train", lambda one: holds(one, "Completed"))
    for index in (0, 1):
        name = f"train-node-0-{index}"
        assert c.log(name).split() == [name, f"{name}.hosts.default.svc.cluster.local", str(index)]


def test_a_coordinator_is_named_to_every_pod(c: Cluster) -> None:
    label = "metadata.labels['jobset.sigs.k8s.io/coordinator']"
    told = container(
        python("import os, socket; print(os.environ['WHO'], socket.gethostbyname(os.environ['WHO']))"),
        env=[{"name": "WHO", "valueFrom": {"fieldRef": {"fieldPath": label}}}],
    )
    pods = {"spec": {"restartPolicy": "Never", "containers": [told]}}
    c.create(jobset("train", pods, 1, coordinator={"replicatedJob": "node"}))
    c.wait_for("JobSet", "train", lambda one: holds(one, "Completed"))
    name, address = c.log("train-node-0-0").split()
    assert name == "train-node-0-0.train"
    assert address == status_of(c.pods("train-node-0-0")[0])["podIP"]
