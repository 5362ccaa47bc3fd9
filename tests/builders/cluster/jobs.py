"""What the Job controller does: pods for a Job until enough have succeeded, or it has failed."""

import copy
from collections import Counter
from collections.abc import Iterator, Sequence

from builders.cluster.changes import Create, Delete, Note, Patch, Wanted, status_change
from builders.cluster.job_accounts import (
    DEFAULT_BACKOFF_LIMIT,
    TRACKING,
    Accounts,
    accounts,
    active,
    index_of,
    replaces_only_failed,
    terminal,
    tracked,
    written_indexes,
)
from builders.cluster.job_pods import pod_of
from builders.cluster.kinds import (
    Object,
    condition,
    holds,
    key_of,
    leaving,
    now_text,
    status_of,
    uid_of,
    with_condition,
)
from builders.cluster.pace import Pace

SOURCE = "job-controller"
COMPLETE = ("CompletionsReached", "Reached expected number of succeeded pods")
BACKOFF = ("BackoffLimitExceeded", "Job has reached the specified backoff limit")
DEADLINE = ("DeadlineExceeded", "Job was active longer than specified deadline")
FAILED_INDEXES = ("FailedIndexes", "Job has failed indexes")
TOO_MANY_INDEXES = (
    "MaxFailedIndexesExceeded",
    "Job has exceeded the specified maximal number of failed indexes",
)
LONGEST_BACKOFF = 600


def reconcile(job: Object, pods: Sequence[Object], pace: Pace) -> Wanted:
    """What is to be done for a Job.

    Args:
        job: as it is.
        pods: those that it made, ended ones among them.
        pace: of the cluster's time.
    """
    if leaving(job):
        return Wanted([_released(pod) for pod in pods if tracked(pod)])
    if finished(job):
        return _after_the_end(job, pods, pace)
    wanted = Wanted()
    books = accounts(job, pods)
    status = _counted(job, pods, books)
    _decide(job, status, pods, books, pace, wanted)
    ending = any(
        one["type"] in ("FailureTarget", "SuccessCriteriaMet") and one["status"] == "True"
        for one in status["conditions"]
    )
    suspended = bool(job["spec"].get("suspend"))
    if ending:
        _end(status, pods, books)
    else:
        _suspend_or_resume(job, status, suspended, pace, wanted)
    wanted.changes += [*status_change(job, status), *map(_released, books.release)]
    failing = any(one["type"] == "FailureTarget" for one in status["conditions"])
    if failing:
        wanted.changes += [Delete("Pod", key_of(pod), uid_of(pod)) for pod in filter(active, pods)]
    elif ending or suspended:
        wanted.changes += [change for pod in filter(active, pods) for change in _removed(pod)]
    else:
        _fill(job, pods, books, pace, wanted)
    _tell_of_the_end(job, status, wanted)
    return wanted


def finished(job: Object) -> bool:
    """Whether a Job has ended, well or not."""
    return holds(job, "Complete") or holds(job, "Failed")


def _after_the_end(job: Object, pods: Sequence[Object], pace: Pace) -> Wanted:
    wanted = Wanted([_released(pod) for pod in pods if tracked(pod)])
    wanted.changes += [change for pod in filter(active, pods) for change in _removed(pod)]
    wanted.remove_after_ttl(job, pace)
    return wanted


def _counted(job: Object, pods: Sequence[Object], books: Accounts) -> Object:
    status = copy.deepcopy(status_of(job))
    going = sum(leaving(pod) and not terminal(pod) for pod in pods)
    ready = sum(active(pod) and holds(pod, "Ready") for pod in pods)
    status |= {"active": sum(map(active, pods)), "ready": ready, "terminating": going}
    for name, count in (("succeeded", books.succeeded), ("failed", books.failed)):
        if count or name in status:
            status[name] = count
    status["uncountedTerminatedPods"] = {fate: uids for fate, uids in books.uncounted.items() if uids}
    if job["spec"].get("completionMode") == "Indexed":
        status["completedIndexes"] = written_indexes(books.completed)
        if job["spec"].get("backoffLimitPerIndex") is not None:
            status["failedIndexes"] = written_indexes(books.given_up)
    status["conditions"] = list(status.get("conditions") or [])
    if not status["active"]:
        del status["active"]
    return status


def _decide(
    job: Object,
    status: Object,
    pods: Sequence[Object],
    books: Accounts,
    pace: Pace,
    wanted: Wanted,
) -> None:
    """Put the condition that ends a Job where its pods or its time say so."""
    if holds(job, "FailureTarget") or holds(job, "SuccessCriteriaMet"):
        return
    verdict = books.verdict or _verdict(job, pods, books)
    limit = job["spec"].get("activeDeadlineSeconds")
    if verdict is None and limit is not None and not job["spec"].get("suspend"):
        left = limit - pace.since(f"{uid_of(job)}/active")
        verdict = DEADLINE if left <= 0 else None
        wanted.look_again(max(left, 0))
    if verdict:
        _say(status, "FailureTarget", *verdict)
    elif _completed(job, pods, books):
        _say(status, "SuccessCriteriaMet", *COMPLETE)


def _verdict(job: Object, pods: Sequence[Object], books: Accounts) -> tuple[str, str] | None:
    spec = job["spec"]
    limit = spec.get("backoffLimit")
    if limit is None:
        limit = 2**31 - 1 if spec.get("backoffLimitPerIndex") is not None else DEFAULT_BACKOFF_LIMIT
    if books.all_failed > limit or _restarted_too_often(job, pods, limit):
        return BACKOFF
    most = spec.get("maxFailedIndexes")
    if most is not None and len(books.given_up) > most:
        return TOO_MANY_INDEXES
    if books.given_up and len(books.given_up | books.completed) >= spec.get("completions", 1):
        return FAILED_INDEXES
    return None


def _restarted_too_often(job: Object, pods: Sequence[Object], limit: int) -> bool:
    if job["spec"]["template"]["spec"].get("restartPolicy") != "OnFailure":
        return False
    restarts = sum(
        one.get("restartCount", 0)
        for pod in filter(active, pods)
        for one in status_of(pod).get("containerStatuses") or []
    )
    return restarts > 0 if limit == 0 else restarts >= limit


def _completed(job: Object, pods: Sequence[Object], books: Accounts) -> bool:
    completions = job["spec"].get("completions")
    if job["spec"].get("completionMode") == "Indexed":
        return len(books.completed) >= (1 if completions is None else completions)
    if completions is None:
        return books.all_succeeded > 0 and not any(map(active, pods))
    return books.all_succeeded >= completions


def _end(status: Object, pods: Sequence[Object], books: Accounts) -> None:
    """Put the last condition once every pod has ended and been counted."""
    if not all(map(terminal, pods)) or any(books.uncounted.values()):
        return
    why = next(one for one in status["conditions"] if one["type"] in ("FailureTarget", "SuccessCriteriaMet"))
    kind = "Failed" if why["type"] == "FailureTarget" else "Complete"
    _say(status, kind, why["reason"], why["message"])
    if kind == "Complete":
        status["completionTime"] = now_text()


def _say(status: Object, kind: str, reason: str, message: str, *, true: bool = True) -> None:
    new = {
        "type": kind,
        "status": "True" if true else "False",
        "reason": reason,
        "message": message,
        "lastProbeTime": now_text(),
    }
    status["conditions"] = with_condition(status["conditions"], new)


def _suspend_or_resume(job: Object, status: Object, suspended: bool, pace: Pace, wanted: Wanted) -> None:
    told = condition(job, "Suspended")
    if suspended:
        status.pop("startTime", None)
        pace.forget(f"{uid_of(job)}/active")
        if not holds(job, "Suspended"):
            _say(status, "Suspended", "JobSuspended", "Job suspended")
            wanted.changes.append(Note(job, "Suspended", "Job suspended", SOURCE))
        return
    status.setdefault("startTime", now_text())
    if told and told["status"] == "True":
        _say(status, "Suspended", "JobResumed", "Job resumed", true=False)
        wanted.changes.append(Note(job, "Resumed", "Job resumed", SOURCE))


def _fill(job: Object, pods: Sequence[Object], books: Accounts, pace: Pace, wanted: Wanted) -> None:
    """Make pods that are missing; remove those that are too many."""
    spec = job["spec"]
    here = [pod for pod in pods if active(pod)]
    parallelism = spec.get("parallelism", 1)
    for pod in here[parallelism:]:
        wanted.changes += _removed(pod)
    waiting = [pod for pod in pods if leaving(pod) and not terminal(pod)] if replaces_only_failed(job) else []
    places = list(_free_places(job, here + waiting, books))[: max(parallelism - len(here) - len(waiting), 0)]
    if not places:
        return
    if books.setbacks:
        wait = min(pace.backoff * 2 ** (books.setbacks - 1), LONGEST_BACKOFF)
        left = wait - pace.since(f"{uid_of(job)}/setback/{books.setbacks}")
        if left > 0:
            wanted.look_again(left)
            return
    made = Counter(map(index_of, pods))
    for place in places:
        body = pod_of(job, place, made[place], pods)
        made[place] += 1
        message = f"Created pod: {body['metadata']['name']}"
        wanted.changes += [Create(body), Note(job, "SuccessfulCreate", message, SOURCE)]


def _free_places(job: Object, taken: Sequence[Object], books: Accounts) -> Iterator[int]:
    """Indexes without a pod; -1 as often as pods are missing, where they have no index."""
    spec = job["spec"]
    if spec.get("completionMode") == "Indexed":
        busy = {index_of(pod) for pod in taken} | books.completed | books.given_up
        yield from (index for index in range(spec.get("completions", 1)) if index not in busy)
    elif spec.get("completions") is not None:
        yield from [-1] * (spec["completions"] - books.all_succeeded - len(taken))
    elif not books.all_succeeded:
        yield from [-1] * (spec.get("parallelism", 1) - len(taken))


def _released(pod: Object) -> Patch:
    rest = [one for one in pod["metadata"]["finalizers"] if one != TRACKING]
    return Patch("Pod", key_of(pod), {"metadata": {"finalizers": rest or None, "uid": uid_of(pod)}})


def _removed(pod: Object) -> list[Patch | Delete]:
    """A pod that is deleted by its Job is not counted."""
    before = [_released(pod)] if tracked(pod) else []
    return [*before, Delete("Pod", key_of(pod), uid_of(pod))]


def _tell_of_the_end(job: Object, status: Object, wanted: Wanted) -> None:
    for one in status["conditions"]:
        if one["type"] == "Complete":
            wanted.changes.append(Note(job, "Completed", "Job completed", SOURCE))
        elif one["type"] == "Failed":
            wanted.changes.append(Note(job, one["reason"], one["message"], SOURCE, warning=True))
