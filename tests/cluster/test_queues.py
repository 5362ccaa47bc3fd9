"""What waits in a queue of Kueue's, until a test lets the queue admit it."""

import pytest

from builders.cluster import Cluster
from builders.cluster.kinds import Object, condition, holds, status_of
from builders.cluster.samples import indexed, jobset, python, queued, template, trainjob

LASTS = template(python("import signal; signal.pause()"), pod={"terminationGracePeriodSeconds": 1})
KINDS = {
    "Job": queued(indexed("train", template(), 1), "research"),
    "JobSet": queued(jobset("train", template()), "research"),
    "TrainJob": queued(trainjob("train", ["true"]), "research"),
}


def over(one: Object) -> bool:
    return holds(one, "Complete") or holds(one, "Completed")


def reserved(one: Object) -> Object:
    """What its workload's quota is said to be."""
    return condition(one, "QuotaReserved") or {}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_queued_waits_suspended_until_it_is_admitted(c: Cluster, kind: str) -> None:
    c.add_queue("research", held=True)
    c.create(KINDS[kind])
    waiting = c.wait_for("Workload", f"{kind.lower()}-train", reserved)
    assert (reserved(waiting)["status"], reserved(waiting)["reason"]) == ("False", "Pending")
    assert "insufficient unused quota" in reserved(waiting)["message"]
    assert (c.get(kind, "train") or {})["spec"]["suspend"] is True
    assert not c.pods("train")
    c.admit_queue("research")
    c.wait_for(kind, "train", over)
    admitted = c.wait_for("Workload", f"{kind.lower()}-train", lambda one: holds(one, "Finished"))
    assert holds(admitted, "Admitted")
    c.wait_until(lambda: ("Started", "Admitted by clusterQueue cluster-queue") in c.events("train"))


def test_a_queue_that_is_not_there_is_waited_for(c: Cluster) -> None:
    c.create(KINDS["JobSet"])
    waiting = c.wait_for("Workload", "jobset-train", reserved)
    assert reserved(waiting)["reason"] == "Inadmissible"
    assert reserved(waiting)["message"] == "LocalQueue research doesn't exist"
    c.add_queue("research")
    c.wait_for("JobSet", "train", over)


def test_what_names_a_queue_is_suspended_though_it_did_not_say_so(c: Cluster) -> None:
    c.add_queue("research", held=True)
    eager = queued(indexed("train", template(), 1), "research")
    eager["spec"]["suspend"] = False
    c.create(eager)
    c.wait_for("Job", "train", lambda one: holds(one, "Suspended"))
    c.wait_until_gone("Pod", "train")


def test_what_gives_way_to_others_is_suspended_and_goes_on_later(c: Cluster) -> None:
    c.add_queue("research")
    c.create(queued(jobset("train", LASTS, failurePolicy={"maxRestarts": 0}), "research"))
    c.wait_for("Pod", "train", lambda one: status_of(one).get("phase") == "Running")
    c.preempt("JobSet", "train")
    c.wait_until_gone("Pod", "train")
    c.wait_for("JobSet", "train", lambda one: holds(one, "Suspended"))
    evicted = c.wait_for("Workload", "jobset-train", lambda one: holds(one, "Evicted"))
    assert (condition(evicted, "Evicted") or {})["reason"] == "Preempted"
    c.admit_queue("research")
    c.wait_for("Pod", "train", lambda one: status_of(one).get("phase") == "Running")
    again = c.wait_for("JobSet", "train", lambda one: not holds(one, "Suspended"))
    assert status_of(again)["restarts"] == 0


def test_only_what_names_a_queue_waits(c: Cluster) -> None:
    c.add_queue("research", held=True)
    c.create(indexed("free", template(), 1))
    c.wait_for("Job", "free", over)
