"""What the JobSet controller does: Jobs under one name, restarted together when one of them fails."""

import copy
import hashlib
from collections.abc import Iterator, Mapping, Sequence

from builders.cluster.changes import Create, Delete, Note, Patch, Wanted, made_by, status_change
from builders.cluster.jobs import finished
from builders.cluster.jobset_failures import RESTARTS, apply_failure_policy
from builders.cluster.kinds import (
    Key,
    Object,
    holds,
    key_of,
    labels_of,
    leaving,
    status_of,
    uid_of,
    with_condition,
)
from builders.cluster.pace import Pace

PREFIX = "jobset.sigs.k8s.io/"
SOURCE = "jobset-controller"
COMPLETED = ("AllJobsCompleted", "jobset completed successfully")
SUSPENDED = ("SuspendedJobs", "jobset is suspended")
RESUMED = ("ResumeJobs", "jobset is resumed")


def reconcile(jobset: Object, jobs: Sequence[Object], services: Mapping[Key, Object], pace: Pace) -> Wanted:
    """What is to be done for a JobSet.

    Args:
        jobset: as it is.
        jobs: those that it made, of earlier attempts too.
        services: of its namespace.
        pace: of the cluster's time.
    """
    if leaving(jobset):
        return Wanted()
    if holds(jobset, "Completed") or holds(jobset, "Failed"):
        return _after_the_end(jobset, jobs, pace)
    wanted = Wanted()
    status = copy.deepcopy(status_of(jobset))
    status.setdefault("restarts", 0)
    status.setdefault("restartsCountTowardsMax", 0)
    status["conditions"] = list(status.get("conditions") or [])
    attempt = status["restarts"]
    current = [job for job in jobs if _attempt(job) == attempt]
    status["replicatedJobsStatus"] = _counts(jobset, current)
    failed = [job for job in current if holds(job, "Failed")]
    if failed:
        apply_failure_policy(jobset, failed, status, wanted)
    elif _succeeded(jobset, current):
        status["conditions"] = with_condition(status["conditions"], _true("Completed", *COMPLETED))
        status["terminalState"] = "Completed"
        wanted.changes.append(Note(jobset, COMPLETED[0], COMPLETED[1], SOURCE))
    else:
        _suspend_or_resume(jobset, current, status, wanted)
        old = [job for job in jobs if _attempt(job) < attempt and not leaving(job)]
        wanted.changes += [Delete("Job", key_of(job), uid_of(job), "Foreground") for job in old]
        _make_service(jobset, services, wanted)
        wanted.changes += [Create(body) for body in _missing(jobset, jobs, current, attempt)]
    wanted.changes += status_change(jobset, status)
    return wanted


def _after_the_end(jobset: Object, jobs: Sequence[Object], pace: Pace) -> Wanted:
    going = [job for job in jobs if not finished(job) and not leaving(job)]
    wanted = Wanted([Delete("Job", key_of(job), uid_of(job), "Foreground") for job in going])
    wanted.remove_after_ttl(jobset, pace)
    return wanted


def _attempt(job: Object) -> int:
    return int(labels_of(job).get(RESTARTS, 0))


def _true(kind: str, reason: str, message: str) -> Object:
    return {"type": kind, "status": "True", "reason": reason, "message": message}


def _of(jobs: Sequence[Object], name: str) -> list[Object]:
    return [job for job in jobs if labels_of(job).get(f"{PREFIX}replicatedjob-name") == name]


def _counts(jobset: Object, jobs: Sequence[Object]) -> list[Object]:
    counts = []
    for replicated in jobset["spec"].get("replicatedJobs", []):
        own = _of(jobs, replicated["name"])
        living = [job for job in own if not finished(job)]
        counts.append(
            {
                "name": replicated["name"],
                "ready": sum(map(_is_ready, living)),
                "succeeded": sum(holds(job, "Complete") for job in own),
                "failed": sum(holds(job, "Failed") for job in own),
                "active": sum(status_of(job).get("active", 0) > 0 for job in living),
                "suspended": sum(bool(job["spec"].get("suspend")) for job in living),
            }
        )
    return counts


def _is_ready(job: Object) -> bool:
    spec, status = job["spec"], status_of(job)
    enough = min(spec.get("parallelism", 1), spec.get("completions") or spec.get("parallelism", 1))
    return status.get("ready", 0) + status.get("succeeded", 0) >= enough


def _succeeded(jobset: Object, jobs: Sequence[Object]) -> bool:
    policy = jobset["spec"].get("successPolicy") or {}
    targets = policy.get("targetReplicatedJobs") or []
    done = wanted = 0
    for replicated in jobset["spec"].get("replicatedJobs", []):
        if targets and replicated["name"] not in targets:
            continue
        wanted += replicated.get("replicas", 1)
        done += sum(holds(job, "Complete") for job in _of(jobs, replicated["name"]))
    return done > 0 if policy.get("operator", "All") == "Any" else done >= wanted


def _suspend_or_resume(jobset: Object, jobs: Sequence[Object], status: Object, wanted: Wanted) -> None:
    suspended = bool(jobset["spec"].get("suspend"))
    said = holds(jobset, "Suspended")
    if suspended != said:
        reason, message = SUSPENDED if suspended else RESUMED
        new = _true("Suspended", reason, message) | {"status": "True" if suspended else "False"}
        status["conditions"] = with_condition(status["conditions"], new)
        wanted.changes.append(Note(jobset, reason, message, SOURCE))
    templates = {one["name"]: one["template"] for one in jobset["spec"].get("replicatedJobs", [])}
    for job in jobs:
        if bool(job["spec"].get("suspend")) == suspended or finished(job) or leaving(job):
            continue
        spec: Object = {"suspend": suspended}
        if not suspended:
            spec["template"] = _placement(templates[labels_of(job)[f"{PREFIX}replicatedjob-name"]])
        wanted.changes.append(Patch("Job", key_of(job), {"spec": spec}))


def _placement(template: Object) -> Object:
    """What a queue may have changed in a template while its Job was suspended: where its pods go."""
    pods = template["spec"]["template"]
    places = ("nodeSelector", "tolerations", "schedulingGates")
    return {"spec": {name: pods["spec"][name] for name in places if name in pods["spec"]}}


def _make_service(jobset: Object, services: Mapping[Key, Object], wanted: Wanted) -> None:
    """Make the headless service that pods are known by, once, where the JobSet has names in the DNS."""
    namespace, name = key_of(jobset)
    network = jobset["spec"].get("network") or {}
    if network.get("enableDNSHostnames", True) is False or (namespace, _subdomain(jobset)) in services:
        return
    body = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": _subdomain(jobset), "namespace": namespace},
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": network.get("publishNotReadyAddresses", True),
            "selector": {f"{PREFIX}jobset-name": name},
        },
    }
    wanted.changes.append(Create(made_by(jobset, body)))


def _subdomain(jobset: Object) -> str:
    return (jobset["spec"].get("network") or {}).get("subdomain") or key_of(jobset)[1]


def _missing(
    jobset: Object, jobs: Sequence[Object], current: Sequence[Object], attempt: int
) -> Iterator[Object]:
    """Jobs that are to be made now: their names are free, and what they depend on is there."""
    names = {key_of(job)[1] for job in jobs}
    policy = jobset["spec"].get("failurePolicy") or {}
    if policy.get("restartStrategy") == "BlockingRecreate" and len(current) < len(jobs):
        return
    place = 0
    in_order = (jobset["spec"].get("startupPolicy") or {}).get("startupPolicyOrder") == "InOrder"
    earlier_are_ready = True
    for replicated in jobset["spec"].get("replicatedJobs", []):
        replicas = replicated.get("replicas", 1)
        may_start = _may_start(replicated, current, jobset) and (earlier_are_ready or not in_order)
        for index in range(replicas):
            name = f"{key_of(jobset)[1]}-{replicated['name']}-{index}"
            if name not in names and may_start:
                yield _job(jobset, replicated, (index, place), attempt)
            place += 1
        ready = [job for job in _of(current, replicated["name"]) if _is_ready(job) or holds(job, "Complete")]
        earlier_are_ready = earlier_are_ready and len(ready) >= replicas


def _may_start(replicated: Object, current: Sequence[Object], jobset: Object) -> bool:
    replicas = {one["name"]: one.get("replicas", 1) for one in jobset["spec"]["replicatedJobs"]}
    for needed in replicated.get("dependsOn") or []:
        own = _of(current, needed["name"])
        done = [job for job in own if holds(job, "Complete")]
        if needed["status"] == "Ready":
            done += [job for job in own if _is_ready(job) and job not in done]
        if len(done) < replicas[needed["name"]]:
            return False
    return True


def _job(jobset: Object, replicated: Object, places: tuple[int, int], attempt: int) -> Object:
    namespace, name = key_of(jobset)
    index, of_all = places
    template = copy.deepcopy(replicated["template"])
    own = f"{name}-{replicated['name']}-{index}"
    marks = _marks(jobset, replicated, own) | {
        f"{PREFIX}job-index": str(index),
        f"{PREFIX}job-global-index": str(of_all),
        RESTARTS: str(attempt),
    }
    pods = template["spec"]["template"]
    for thing in (template, pods):
        meta = thing.setdefault("metadata", {})
        meta["labels"] = {**meta.get("labels", {}), **marks}
        meta["annotations"] = {**meta.get("annotations", {}), **marks}
    if (jobset["spec"].get("network") or {}).get("enableDNSHostnames", True) is not False:
        pods["spec"]["subdomain"] = _subdomain(jobset)
    template["metadata"] |= {"name": own, "namespace": namespace}
    template["spec"].setdefault("completionMode", "Indexed")
    pods["spec"].setdefault("restartPolicy", "OnFailure")
    template["spec"]["suspend"] = bool(jobset["spec"].get("suspend"))
    return made_by(jobset, {"apiVersion": "batch/v1", "kind": "Job", **template})


def _marks(jobset: Object, replicated: Object, own: str) -> dict[str, str]:
    namespace, name = key_of(jobset)
    all_jobs = sum(one.get("replicas", 1) for one in jobset["spec"]["replicatedJobs"])
    marks = {
        f"{PREFIX}jobset-name": name,
        f"{PREFIX}jobset-uid": uid_of(jobset),
        f"{PREFIX}replicatedjob-name": replicated["name"],
        f"{PREFIX}replicatedjob-replicas": str(replicated.get("replicas", 1)),
        f"{PREFIX}global-replicas": str(all_jobs),
        f"{PREFIX}job-key": hashlib.sha1(f"{namespace}/{own}".encode()).hexdigest(),
    }
    coordinator = jobset["spec"].get("coordinator")
    if coordinator:
        where = f"{coordinator.get('jobIndex', 0)}-{coordinator.get('podIndex', 0)}"
        host = f"{name}-{coordinator['replicatedJob']}-{where}"
        marks[f"{PREFIX}coordinator"] = f"{host}.{_subdomain(jobset)}"
    return marks
