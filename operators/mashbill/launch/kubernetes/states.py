"""How a job is, from its object, its pods and what the cluster tells of them: a function of what was seen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from mashbill.launch.backend import Failure, JobState, Phase
from mashbill.launch.kubernetes import waiting
from mashbill.launch.kubernetes.failures import (
    ended_badly,
    excused,
    failure_of,
    line_of,
    newest,
    terminated,
    why_exited,
    with_log,
)
from mashbill.launch.kubernetes.kinds import Kind, exit_code_in
from mashbill.launch.kubernetes.objects import Object, at, how_long, label, name_of, time_of
from mashbill.launch.kubernetes.pods import QUEUE

SOON_SECONDS, SLOW_SECONDS = 3, 15
"""After which a job should have pods, and a pod that has a machine should run."""
GONE = JobState("gone", "was removed by someone else, or by its time to live")


@dataclass(frozen=True)
class Seen:
    """What was seen of a job.

    Attributes:
        kind: of object.
        job: the object.
        pods: all that are there, of all attempts.
        now: when.
        events: of the job and its pods; they are looked up only where they can tell something.
        workload: Kueue's, of a job that it has not admitted.
    """

    kind: Kind
    job: Object
    pods: Sequence[Object]
    now: datetime
    events: Sequence[Object] = ()
    workload: Object | None = None

    @property
    def tells_by_events(self) -> bool:
        """Whether events may say more: pods do not come or start, or none is left of a job that failed."""
        if self.kind.ended(self.job):
            return self.kind.failed(self.job) is not None and failing(self) is None
        if suspended(self.job):
            return False
        slow = [pod for pod in self.kind.last_pods(self.pods) if at(pod, "status", "phase") == "Pending"]
        if not self.pods:
            return self._age(self.job) > SOON_SECONDS
        return any(at(pod, "spec", "nodeName") and self._age(pod) > SLOW_SECONDS for pod in slow)

    def _age(self, thing: Object) -> float:
        since = time_of(at(thing, "metadata", "creationTimestamp"))
        return 0.0 if since is None else (self.now - since).total_seconds()


def suspended(job: Object) -> bool:
    """Whether it is kept from running."""
    return bool(at(job, "spec", "suspend"))


def failing(seen: Seen) -> Object | None:
    """The pod whose log says why the job failed; None where it has not failed, or no pod is left of it."""
    failed = seen.kind.failed(seen.job)
    return None if failed is None else seen.kind.culprit(seen.pods, str(failed.get("message") or ""))


def state_of(seen: Seen, log: str = "") -> JobState:
    """How a job is.

    Args:
        seen: what was seen of it.
        log: the end of the log of the pod that it failed by.
    """
    version = str(at(seen.job, "metadata", "resourceVersion") or "")
    if seen.kind.succeeded(seen.job):
        return JobState("succeeded", _after_restarts(seen), version=version)
    if seen.kind.failed(seen.job) is not None:
        failure = _failure(seen, log)
        return JobState("failed", line_of(failure), failure, version)
    if not suspended(seen.job):
        doom = waiting.hopeless(seen.kind.last_pods(seen.pods), seen.events, seen.now)
        if doom is not None:
            return JobState("failed", line_of(doom), doom, version)
    phase, message = _phase(seen)
    words = [message, _after_restarts(seen), _progress(seen.job)]
    if at(seen.job, "metadata", "deletionTimestamp"):
        words.insert(0, "being removed")
    return JobState(phase, "; ".join(word for word in words if word), version=version)


def _phase(seen: Seen) -> tuple[Phase, str]:
    """Of a job that has not ended, and why it is so."""
    if suspended(seen.job):
        return "queued", _queued(seen)
    told = seen.kind.phase(seen.job)
    if told is not None:
        return told, "was stopped" if told == "gone" else ""
    nodes, pods = _nodes(seen), seen.kind.last_pods(seen.pods)
    at_work = [pod for pod in pods if _at_work(pod)]
    if len(at_work) >= nodes:
        return "running", f"{nodes} nodes run" if nodes > 1 else ""
    ended = [pod for pod in pods if ended_badly(pod)]
    if ended and not at_work and all(excused(pod) for pod in ended) and len(ended) == len(pods):
        return "paused", f"{line_of(failure_of(ended[0]))}; will be started again"
    if not pods:
        full = waiting.no_quota(seen.events)
        return ("queued", full) if full else ("starting", waiting.not_started((), seen.events))
    unplaced = waiting.unplaced(pods, seen.now)
    some = f"{len(at_work)} of {nodes} nodes run" if at_work else ""
    if unplaced:
        return ("starting", f"{some}; {unplaced}") if some else ("queued", unplaced)
    again = [line_of(failure_of(pod)) for pod in ended[:1]]
    why = again or [waiting.not_started(pods, seen.events)]
    return "starting", "; ".join(word for word in (some, *why) if word)


def _queued(seen: Seen) -> str:
    queue = label(seen.job, QUEUE)
    conditions: Sequence[Mapping[str, object]] = at(seen.job, "status", "conditions") or ()
    times = [c.get("lastTransitionTime") for c in conditions if c.get("type") in ("Suspended",)]
    since = time_of(times[0] if times else at(seen.job, "metadata", "creationTimestamp"))
    waited = f" for {how_long((seen.now - since).total_seconds())}" if since else ""
    said = waiting.in_queue(seen.workload)
    where = f"waits in queue {queue}" if queue else "is suspended"
    return f"{where}{waited}" + (f": {said}" if said else "")


def _at_work(pod: Object) -> bool:
    phase = at(pod, "status", "phase")
    leaves = at(pod, "metadata", "deletionTimestamp") is not None
    return phase == "Succeeded" or (phase == "Running" and not leaves and terminated(pod) is None)


def _nodes(seen: Seen) -> int:
    spec = at(seen.job, "spec") or {}
    if seen.kind.name == "TrainJob":
        return int(at(spec, "trainer", "numNodes") or 1)
    if seen.kind.name == "RayJob":  # the head, its workers, and who submits to them
        groups: Sequence[Object] = at(spec, "rayClusterSpec", "workerGroupSpecs") or ()
        return 2 + sum(int(group.get("replicas") or 0) for group in groups)
    if seen.kind.name == "JobSet":
        jobs: Sequence[Object] = spec.get("replicatedJobs") or ()
        return sum(int(at(job, "template", "spec", "completions") or 1) for job in jobs)
    return int(spec.get("completions") or 1)


def _failure(seen: Seen, log: str) -> Failure:
    pod = failing(seen)
    told = seen.kind.failed(seen.job) or {}
    restarts = _after_restarts(seen)
    reason, message = str(told.get("reason") or ""), str(told.get("message") or "")
    if reason == "DeadlineExceeded":
        return Failure(name_of(seen.job), "", None, f"ran longer than it may: {message}")
    if seen.kind.name == "RayJob" and (code := exit_code_in(message)) is not None:
        where = "driver" if pod is None else name_of(pod)
        driver = Failure(where, "", 0, "; ".join(w for w in (why_exited(code), restarts) if w), code)
        return with_log(driver, log or message)
    if pod is None or not ended_badly(pod):
        said = waiting.last_warning(seen.events)
        why = ": ".join(word for word in (reason, message, said) if word)
        return with_log(Failure(name_of(seen.job), "", None, why), log)
    failure = with_log(failure_of(pod), log)
    return replace(failure, why=f"{failure.why}; {restarts}") if restarts else failure


def _after_restarts(seen: Seen) -> str:
    """How often a job, or a node of it, was started again, and after what last."""
    if seen.kind.name == "Job":
        earlier = [pod for pod in seen.pods if ended_badly(pod) and pod not in newest(seen.pods)]
        if not earlier:
            return ""
        last = max(earlier, key=lambda pod: str(at(pod, "metadata", "creationTimestamp")))
        return f"{_times(len(earlier))}, the last after {line_of(failure_of(last))}"
    if seen.kind.name == "RayJob":
        failed = int(at(seen.job, "status", "failed") or 0)
        again = failed - (seen.kind.failed(seen.job) is not None)
        return _times(again) if again > 0 else ""
    restarts = int(at(seen.job, "status", "restarts") or 0)
    if not restarts:
        return ""
    counted = int(at(seen.job, "status", "restartsCountTowardsMax") or 0)
    most = at(seen.job, "spec", "failurePolicy", "maxRestarts")
    return f"{_times(restarts)}, {counted} of {most} counted"


def _times(count: int) -> str:
    return "restarted once" if count == 1 else f"restarted {count} times"


def _progress(job: Object) -> str:
    """What a TrainJob's trainer reports of itself."""
    status = at(job, "status", "trainerStatus")
    if not status:
        return ""
    words = []
    if status.get("progressPercentage") is not None:
        words.append(f"{status['progressPercentage']}%")
    if status.get("estimatedRemainingSeconds") is not None:
        words.append(f"{how_long(float(status['estimatedRemainingSeconds']))} left")
    words += [f"{metric.get('name')} {metric.get('value')}" for metric in status.get("metrics") or ()]
    return ", ".join(words)
