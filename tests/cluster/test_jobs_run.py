"""Jobs whose pods are processes: which failures count, what ends a Job, and what becomes of its pods."""

import random
import re
from pathlib import Path

import pytest

from builders.cluster import Cluster, Machine, Pace, cluster, unsharing
from builders.cluster.kinds import Object, condition, holds, labels_of, leaving, status_of, uid_of
from builders.cluster.samples import claim, indexed, job, python, template

MACHINES = [Machine("node-a", gpus=4)]
ON_CLAIM = {"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]}
SEEN = [{"name": "data", "mountPath": "/data"}]
PAUSED_FIRST = """
import os, pathlib
mark = pathlib.Path("/data") / os.environ["JOB_COMPLETION_INDEX"]
if not mark.exists():
    mark.touch()
    raise SystemExit(75)
"""
LASTS = python("import signal; signal.pause()")
QUICK = {"terminationGracePeriodSeconds": 1}


def ended(one: Object) -> bool:
    return holds(one, "Complete") or holds(one, "Failed")


def why(one: Object) -> tuple[str, str]:
    """Reason and message of a failed Job."""
    found = condition(one, "Failed")
    assert found
    return found["reason"], found["message"]


def fails_by(rules: list[Object]) -> Object:
    return {"podFailurePolicy": {"rules": rules}}


def test_an_exit_code_that_is_ignored_does_not_count(c: Cluster) -> None:
    c.create(claim("data"))
    ignored = {"action": "Ignore", "onExitCodes": {"operator": "In", "values": [75]}}
    pods = template(python(PAUSED_FIRST), pod=ON_CLAIM, volumeMounts=SEEN)
    c.create(indexed("parts", pods, 3, backoffLimit=0, **fails_by([ignored])))
    found = c.wait_for("Job", "parts", ended)
    assert holds(found, "Complete"), status_of(found)
    assert status_of(found)["completedIndexes"] == "0-2"
    assert (status_of(found)["succeeded"], status_of(found).get("failed", 0)) == (3, 0)
    assert len(c.pods("parts")) == 6


def test_an_exit_code_that_fails_the_job_ends_it_at_once(c: Cluster) -> None:
    fatal = {
        "action": "FailJob",
        "onExitCodes": {"containerName": "main", "operator": "In", "values": [42]},
    }
    script = "import os, signal; os.environ['JOB_COMPLETION_INDEX'] == '1' and exit(42); signal.pause()"
    pods = template(python(script), pod=QUICK)
    c.create(indexed("parts", pods, 2, backoffLimit=6, **fails_by([fatal])))
    found = c.wait_for("Job", "parts", ended)
    reason, message = why(found)
    assert reason == "PodFailurePolicy"
    pattern = r"Container main for pod default/parts-1-\w{5} failed with exit code 42 matching FailJob rule"
    assert re.fullmatch(f"{pattern} at index 0", message)
    assert not [pod for pod in c.pods("parts") if status_of(pod)["phase"] == "Running"]


def test_a_disruption_that_is_ignored_does_not_count(c: Cluster) -> None:
    ignored = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}
    c.create(indexed("parts", template(LASTS, pod=QUICK), 1, backoffLimit=0, **fails_by([ignored])))
    c.evict("parts-0")
    c.wait_until(lambda: len(c.pods("parts")) == 2)
    c.wait_for("Pod", "parts-0", lambda one: status_of(one).get("phase") == "Running")
    c.kill("parts-0")
    assert why(c.wait_for("Job", "parts", ended))[0] == "BackoffLimitExceeded"


def test_a_job_whose_pods_fail_too_often(c: Cluster) -> None:
    c.create(job("train", template(["false"]), backoffLimit=2))
    found = c.wait_for("Job", "train", ended)
    assert why(found) == ("BackoffLimitExceeded", "Job has reached the specified backoff limit")
    assert status_of(found)["failed"] == 3
    assert len(c.pods("train")) == 3
    told = ("BackoffLimitExceeded", "Job has reached the specified backoff limit")
    c.wait_until(lambda: told in c.events("train"))


def test_each_index_may_fail_so_often(c: Cluster) -> None:
    script = "import os; raise SystemExit(os.environ['JOB_COMPLETION_INDEX'] == '1')"
    c.create(indexed("parts", template(python(script)), 3, backoffLimitPerIndex=1))
    found = c.wait_for("Job", "parts", ended)
    assert why(found) == ("FailedIndexes", "Job has failed indexes")
    status = status_of(found)
    assert (status["completedIndexes"], status["failedIndexes"]) == ("0,2", "1")
    assert (status["succeeded"], status["failed"]) == (2, 2)


def test_a_job_without_indexes_makes_as_many_pods_as_it_needs(c: Cluster) -> None:
    c.create(job("parts", template(), completions=5, parallelism=2))
    found = c.wait_for("Job", "parts", ended)
    assert holds(found, "Complete")
    assert status_of(found)["succeeded"] == 5
    assert len(c.pods("parts")) == 5


def test_a_suspended_job_has_no_pods_until_it_is_resumed(c: Cluster) -> None:
    c.create(indexed("parts", template(LASTS, pod=QUICK), 1, suspend=True))
    c.wait_for("Job", "parts", lambda one: holds(one, "Suspended"))
    assert not c.pods("parts")
    c.api.patch("Job", ("default", "parts"), {"spec": {"suspend": False}})
    c.wait_for("Pod", "parts", lambda one: status_of(one).get("phase") == "Running")
    c.api.patch("Job", ("default", "parts"), {"spec": {"suspend": True}})
    c.wait_until_gone("Pod", "parts")
    found = c.wait_for("Job", "parts", lambda one: holds(one, "Suspended"))
    assert status_of(found).get("failed", 0) == 0
    assert "startTime" not in status_of(found)
    assert not c.processes()


def test_a_deleted_job_takes_its_pods_with_it(c: Cluster) -> None:
    c.create(indexed("parts", template(LASTS, pod=QUICK), 2))
    for index in (0, 1):
        c.wait_for("Pod", f"parts-{index}", lambda one: status_of(one).get("phase") == "Running")
    c.api.delete("Job", ("default", "parts"), {"propagationPolicy": "Foreground"})
    c.wait_until_gone("Job", "parts")
    assert not c.pods("parts")
    assert not c.processes()


def test_a_job_may_run_only_so_long_and_is_removed_after_its_time(tmp_path: Path) -> None:
    if not unsharing():
        pytest.skip("pods need namespaces of their own")
    with cluster(tmp_path, MACHINES, Pace(second=0.01)) as c:
        c.create(job("train", template(LASTS), activeDeadlineSeconds=100, ttlSecondsAfterFinished=100))
        found = c.wait_for("Job", "train", ended)
        assert why(found) == ("DeadlineExceeded", "Job was active longer than specified deadline")
        c.wait_until_gone("Job", "train")
        c.wait_until_gone("Pod", "train")


def test_a_job_whose_pod_is_on_a_lost_node_gets_another(c: Cluster) -> None:
    disrupted = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}
    c.create(indexed("parts", template(LASTS, pod=QUICK), 1, backoffLimit=0, **fails_by([disrupted])))
    first = c.wait_for("Pod", "parts-0", lambda one: status_of(one).get("phase") == "Running")
    c.remove_node(first["spec"]["nodeName"])

    def another(one: Object) -> bool:
        return uid_of(one) != uid_of(first) and status_of(one).get("phase") == "Running"

    found = c.wait_for("Pod", "parts-0", another)
    assert found["spec"]["nodeName"] != first["spec"]["nodeName"]
    assert not leaving(found)


def test_pods_carry_the_labels_that_clients_find_them_by(c: Cluster) -> None:
    made = c.create(indexed("parts", template(), 2))
    c.wait_for("Job", "parts", ended)
    for index, pod in enumerate(sorted(c.pods("parts"), key=lambda one: one["metadata"]["name"])):
        assert labels_of(pod)["batch.kubernetes.io/job-name"] == "parts"
        assert labels_of(pod)["batch.kubernetes.io/controller-uid"] == uid_of(made)
        assert labels_of(pod)["batch.kubernetes.io/job-completion-index"] == str(index)
        assert pod["spec"]["hostname"] == f"parts-{index}"


@pytest.mark.parametrize("seed", range(3))
def test_pods_are_made_and_counted_once_whatever_happens_to_connections(c: Cluster, seed: int) -> None:
    luck = random.Random(seed)
    faults = c.server.faults
    lost = faults.drop(None, lambda call: call.verb != "watch" and luck.random() < 0.1, done=True)
    faults.drop(None, lambda _: luck.random() < 0.05)
    faults.refuse(503, None, lambda _: luck.random() < 0.05)
    for at in range(6):
        c.server.put(
            indexed(f"parts-{at}", template(image="registry.k8s.io/pause:3.10"), 4, backoffLimit=0)
            | {"metadata": named(at)}
        )
        c.server.drop_watches()
    for at in range(6):
        for index in range(4):
            c.wait_for("Pod", f"parts-{at}-{index}", lambda one: status_of(one).get("phase") == "Running")
            c.finish(f"parts-{at}-{index}")
        c.server.expire_watches()
    for at in range(6):
        found = c.wait_for("Job", f"parts-{at}", ended)
        assert (status_of(found)["succeeded"], status_of(found).get("failed", 0)) == (4, 0)
    assert lost.happened
    faults.clear()
    assert len(c.pods("parts")) == 24


def named(at: int) -> Object:
    return {"name": f"parts-{at}", "namespace": "default"}
