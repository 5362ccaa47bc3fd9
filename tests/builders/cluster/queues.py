"""What Kueue does: what names a queue stays suspended until the queue has room for it."""

from dataclasses import dataclass, field

from builders.cluster.changes import Create, Note, Patch, Wanted, made_by, status_change
from builders.cluster.kinds import (
    Key,
    Object,
    annotations_of,
    holds,
    key_of,
    labels_of,
    leaving,
    short_hash,
    status_of,
    uid_of,
    with_condition,
)

QUEUE = "kueue.x-k8s.io/queue-name"
SOURCE = "kueue-job-controller"
QUEUED = ("Job", "JobSet", "TrainJob")
NO_ROOM = (
    "couldn't assign flavors to pod set main: insufficient unused quota for nvidia.com/gpu in flavor "
    "default-flavor, 8 more needed"
)
PREEMPTED = "Preempted to accommodate a workload due to prioritization in the ClusterQueue"


@dataclass
class Admission:
    """What a test has decided for queues.

    Attributes:
        held: queues that admit nothing, as namespace and name.
        preempted: uids of what has to give way to more important work.
    """

    held: set[Key] = field(default_factory=set)
    preempted: set[str] = field(default_factory=set)


def is_queued(thing: Object) -> bool:
    """Whether a queue decides when a thing starts."""
    return thing["kind"] in QUEUED and QUEUE in labels_of(thing)


def workload_key(thing: Object) -> Key:
    """Where its Workload is."""
    namespace, name = key_of(thing)
    kind = thing["kind"].lower()
    return namespace, f"{kind}-{name}-{short_hash(kind, namespace, name, uid_of(thing))}"


def reconcile(thing: Object, queue: Object | None, workload: Object | None, admission: Admission) -> Wanted:
    """What is to be done for a Job, JobSet or TrainJob with a queue.

    Args:
        thing: as it is.
        queue: the LocalQueue that it names; None where there is none of this name.
        workload: what Kueue has noted of it.
        admission: what the test has decided.
    """
    wanted = Wanted()
    if leaving(thing):
        return wanted
    if workload is None:
        wanted.changes.append(Create(made_by(thing, _workload(thing))))
        name = "/".join(workload_key(thing))
        wanted.changes.append(Note(thing, "CreatedWorkload", f"Created Workload: {name}", SOURCE))
        if not thing["spec"].get("suspend"):
            wanted.changes.append(Patch(thing["kind"], key_of(thing), {"spec": {"suspend": True}}))
        return wanted
    if _has_ended(thing):
        wanted.changes += _noted(workload, ("Finished", "True", "JobFinished", "Job finished"))
        return wanted
    suspended = bool(thing["spec"].get("suspend"))
    obstacle = _obstacle(thing, queue, admission)
    if obstacle and not suspended and uid_of(thing) in admission.preempted:
        wanted.changes += _noted(
            workload,
            ("QuotaReserved", "False", "Pending", obstacle[1]),
            ("Admitted", "False", "NoReservation", "The workload has no reservation"),
            ("Evicted", "True", "Preempted", PREEMPTED),
        )
        wanted.changes.append(Patch(thing["kind"], key_of(thing), {"spec": {"suspend": True}}))
        wanted.changes.append(Note(thing, "Stopped", PREEMPTED, SOURCE))
    elif obstacle and suspended:
        wanted.changes += _noted(workload, ("QuotaReserved", "False", *obstacle))
    elif suspended and queue is not None:
        wanted.changes += _admitted(thing, queue, workload)
    return wanted


def _admitted(thing: Object, queue: Object, workload: Object) -> list[Patch | Note]:
    room = queue["spec"].get("clusterQueue", "cluster-queue")
    noted = _noted(
        workload,
        ("QuotaReserved", "True", "QuotaReserved", f"Quota reserved in ClusterQueue {room}"),
        ("Admitted", "True", "Admitted", "The workload is admitted"),
        ("Evicted", "False", "QuotaReserved", "Previously: " + PREEMPTED)
        if holds(workload, "Evicted")
        else None,
    )
    start = Patch(thing["kind"], key_of(thing), {"spec": {"suspend": False}})
    return [*noted, start, Note(thing, "Started", f"Admitted by clusterQueue {room}", SOURCE)]


def _obstacle(thing: Object, queue: Object | None, admission: Admission) -> tuple[str, str] | None:
    name = labels_of(thing)[QUEUE]
    if queue is None:
        return "Inadmissible", f"LocalQueue {name} doesn't exist"
    if queue["spec"].get("stopPolicy", "None") != "None":
        return "Inadmissible", f"LocalQueue {name} is inactive"
    if key_of(queue) in admission.held or uid_of(thing) in admission.preempted:
        return "Pending", NO_ROOM
    return None


def _has_ended(thing: Object) -> bool:
    return any(holds(thing, kind) for kind in ("Complete", "Completed", "Failed"))


def _noted(workload: Object, *new: tuple[str, str, str, str] | None) -> list[Patch]:
    conditions = list(status_of(workload).get("conditions") or [])
    for one in filter(None, new):
        fields = dict(zip(("type", "status", "reason", "message"), one, strict=True))
        conditions = with_condition(conditions, fields)
    return [*status_change(workload, {**status_of(workload), "conditions": conditions})]


def _workload(thing: Object) -> Object:
    namespace, name = workload_key(thing)
    return {
        "apiVersion": "kueue.x-k8s.io/v1beta1",
        "kind": "Workload",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {"kueue.x-k8s.io/job-uid": uid_of(thing)},
            "annotations": annotations_of(thing),
        },
        "spec": {"queueName": labels_of(thing)[QUEUE], "active": True, "podSets": _pod_sets(thing)},
    }


def _pod_sets(thing: Object) -> list[Object]:
    if thing["kind"] == "Job":
        template, count = thing["spec"]["template"], thing["spec"].get("parallelism", 1)
        return [{"name": "main", "count": count, "template": template}]
    if thing["kind"] == "JobSet":
        return [
            {
                "name": one["name"],
                "count": one.get("replicas", 1) * one["template"]["spec"].get("parallelism", 1),
                "template": one["template"]["spec"]["template"],
            }
            for one in thing["spec"]["replicatedJobs"]
        ]
    return []
