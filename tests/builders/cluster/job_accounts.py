"""Which pods of a Job have ended, how each counts, and what a Job's failure policy makes of it.

A pod is counted once: its uid is noted in the status before its finalizer is taken off, and becomes a
number when it is off, as KEP-2307 has it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from builders.cluster.kinds import Object, annotations_of, leaving, status_of, uid_of

TRACKING = "batch.kubernetes.io/job-tracking"
INDEX = "batch.kubernetes.io/job-completion-index"
INDEX_FAILURES = "batch.kubernetes.io/job-index-failure-count"
DEFAULT_BACKOFF_LIMIT = 6


@dataclass
class Accounts:
    """What has come of a Job's pods so far.

    Attributes:
        succeeded, failed: pods that are counted, without those whose finalizer is on still.
        uncounted: uids of those, by their fate.
        completed, given_up: indexes.
        release: pods whose finalizers can go.
        verdict: why the Job fails at once by its policy, as reason and message.
        setbacks: pods that failed, counted or not: each lengthens the wait before the next.
    """

    succeeded: int
    failed: int
    uncounted: dict[str, list[str]]
    completed: set[int]
    given_up: set[int]
    release: list[Object] = field(default_factory=list)
    verdict: tuple[str, str] | None = None
    setbacks: int = 0

    @property
    def all_failed(self) -> int:
        """Failed pods, those not counted yet among them."""
        return self.failed + len(self.uncounted["failed"])

    @property
    def all_succeeded(self) -> int:
        """Pods that succeeded, those not counted yet among them."""
        return self.succeeded + len(self.uncounted["succeeded"])


def phase(pod: Object) -> str:
    """A pod's phase."""
    return status_of(pod).get("phase", "Pending")


def terminal(pod: Object) -> bool:
    """Whether a pod has ended."""
    return phase(pod) in ("Succeeded", "Failed")


def active(pod: Object) -> bool:
    """Whether a pod runs or will, and was not asked to go."""
    return not terminal(pod) and not leaving(pod)


def index_of(pod: Object) -> int:
    """Its completion index; -1 where it has none."""
    return int(annotations_of(pod).get(INDEX, -1))


def tracked(pod: Object) -> bool:
    """Whether the Job still has to count it."""
    return TRACKING in (pod["metadata"].get("finalizers") or [])


def replaces_only_failed(job: Object) -> bool:
    """Whether a pod that is going is waited for before another takes its place."""
    policy = job["spec"].get("podReplacementPolicy")
    return policy == "Failed" or (policy is None and bool(job["spec"].get("podFailurePolicy")))


def has_failed(job: Object, pod: Object) -> bool:
    """Whether a pod counts as failed: it has ended so, or it goes and nobody waits for how it ends."""
    if phase(pod) == "Failed":
        return True
    return leaving(pod) and not terminal(pod) and not replaces_only_failed(job)


def accounts(job: Object, pods: Sequence[Object]) -> Accounts:
    """What has come of a Job's pods, those that have ended since the last look among them."""
    status = status_of(job)
    noted = status.get("uncountedTerminatedPods") or {}
    held = {uid_of(pod) for pod in pods if tracked(pod)}
    fates = {fate: list(noted.get(fate) or []) for fate in ("succeeded", "failed")}
    result = Accounts(
        succeeded=status.get("succeeded", 0) + sum(uid not in held for uid in fates["succeeded"]),
        failed=status.get("failed", 0) + sum(uid not in held for uid in fates["failed"]),
        uncounted={fate: [uid for uid in uids if uid in held] for fate, uids in fates.items()},
        completed=set(parsed_indexes(status.get("completedIndexes", ""))),
        given_up=set(parsed_indexes(status.get("failedIndexes") or "")),
        setbacks=sum(has_failed(job, pod) for pod in pods),
    )
    for pod in pods:
        if tracked(pod):
            _judge(job, pod, result)
    result.release = [pod for pod in result.release if not _is_remembered_by(job, pod, pods, result)]
    return result


def _judge(job: Object, pod: Object, result: Accounts) -> None:
    uid = uid_of(pod)
    noted = uid in result.uncounted["succeeded"] or uid in result.uncounted["failed"]
    if phase(pod) == "Succeeded":
        if not noted:
            result.uncounted["succeeded"].append(uid)
        if job["spec"].get("completionMode") == "Indexed":
            result.completed.add(index_of(pod))
        result.release.append(pod)
    elif has_failed(job, pod):
        action, message = matched_rule(job, pod)
        if action == "FailJob":
            result.verdict = result.verdict or ("PodFailurePolicy", message)
        if action == "FailIndex" or _index_is_used_up(job, pod, ignored=action == "Ignore"):
            result.given_up.add(index_of(pod))
        if action != "Ignore" and not noted:
            result.uncounted["failed"].append(uid)
        result.release.append(pod)


def _index_is_used_up(job: Object, pod: Object, *, ignored: bool) -> bool:
    limit = job["spec"].get("backoffLimitPerIndex")
    return limit is not None and not ignored and index_failures(pod) + 1 > limit


def index_failures(pod: Object) -> int:
    """How often pods of its index had failed before it."""
    return int(annotations_of(pod).get(INDEX_FAILURES, 0))


def _is_remembered_by(job: Object, pod: Object, pods: Sequence[Object], result: Accounts) -> bool:
    """Whether a failed pod is all that says how often its index failed: it stays until another says so."""
    if job["spec"].get("backoffLimitPerIndex") is None or phase(pod) == "Succeeded":
        return False
    index = index_of(pod)
    if index in result.given_up or result.verdict:
        return False
    newer = [one for one in pods if index_of(one) == index and one is not pod]
    return not any(index_failures(one) > index_failures(pod) or active(one) for one in newer)


def matched_rule(job: Object, pod: Object) -> tuple[str, str]:
    """What the failure policy says of a failed pod: an action (Count where no rule matches) and a message."""
    for place, rule in enumerate((job["spec"].get("podFailurePolicy") or {}).get("rules", [])):
        found = _by_exit_code(rule, pod) or _by_condition(rule, pod)
        if found:
            return rule["action"], f"{found} matching {rule['action']} rule at index {place}"
    return "Count", ""


def _by_exit_code(rule: Object, pod: Object) -> str:
    wanted = rule.get("onExitCodes")
    if not wanted:
        return ""
    meta = pod["metadata"]
    for name, code in exit_codes(pod):
        if wanted.get("containerName") not in (None, name) or code == 0:
            continue
        if (code in wanted["values"]) == (wanted["operator"] == "In"):
            return f"Container {name} for pod {meta['namespace']}/{meta['name']} failed with exit code {code}"
    return ""


def _by_condition(rule: Object, pod: Object) -> str:
    meta = pod["metadata"]
    for wanted in rule.get("onPodConditions") or []:
        for one in status_of(pod).get("conditions") or []:
            if one["type"] == wanted["type"] and one["status"] == wanted.get("status", "True"):
                return f"Pod {meta['namespace']}/{meta['name']} has condition {one['type']}"
    return ""


def exit_codes(pod: Object) -> Iterable[tuple[str, int]]:
    """Each container that has ended, with its exit code."""
    status = status_of(pod)
    for one in (status.get("initContainerStatuses") or []) + (status.get("containerStatuses") or []):
        ended = (one.get("state") or {}).get("terminated")
        if ended:
            yield one["name"], ended["exitCode"]


def parsed_indexes(text: str) -> list[int]:
    """Indexes that are written as ``0,3-5``."""
    found: list[int] = []
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


def written_indexes(indexes: Iterable[int]) -> str:
    """Indexes as ``0,3-5``."""
    runs: list[list[int]] = []
    for index in sorted(indexes):
        if runs and index == runs[-1][1] + 1:
            runs[-1][1] = index
        else:
            runs.append([index, index])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)
