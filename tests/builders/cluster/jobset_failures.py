"""What a JobSet's failure policy makes of a failed Job: the end, or everything once more."""

import re
from collections.abc import Sequence

from builders.cluster.changes import Note, Wanted
from builders.cluster.kinds import Object, condition, labels_of, with_condition

RESTARTS = "jobset.sigs.k8s.io/restart-attempt"
SOURCE = "jobset-controller"
FAILED = ("FailedJobs", "jobset failed due to one or more job failures")
USED_UP = ("ReachedMaxRestarts", "jobset failed due to reaching max number of restarts")
RESTART, IGNORING = "RestartJobSet", "RestartJobSetAndIgnoreMaxRestarts"


def apply_failure_policy(jobset: Object, failed: Sequence[Object], status: Object, wanted: Wanted) -> None:
    """Write into a status what follows from failed Jobs.

    Args:
        jobset: as it is.
        failed: its failed Jobs of this attempt.
        status: its status, which is changed.
        wanted: where events go.
    """
    policy = jobset["spec"].get("failurePolicy")
    first = min(failed, key=lambda job: (_failure(job)["lastTransitionTime"], job["metadata"]["name"]))
    if not policy:
        _fail(jobset, first, status, FAILED, wanted)
        return
    action, cause = RESTART, first
    for rule in policy.get("rules") or []:
        matching = [job for job in (first, *failed) if _applies(rule, job)]
        if matching:
            action, cause = rule["action"], matching[0]
            break
    if action == "FailJobSet":
        why = ("FailJobSetFailurePolicyAction", "applying FailJobSet failure policy action")
        _fail(jobset, cause, status, why, wanted)
    elif action == RESTART and status["restartsCountTowardsMax"] >= policy.get("maxRestarts", 0):
        _fail(jobset, cause, status, USED_UP, wanted)
    else:
        status["restarts"] += 1
        status["restartsCountTowardsMax"] += action == RESTART
        message = _naming(f"applying {action} failure policy action", cause)
        wanted.changes.append(Note(jobset, f"{action}FailurePolicyAction", message, SOURCE, warning=True))


def _applies(rule: Object, job: Object) -> bool:
    targets = rule.get("targetReplicatedJobs") or []
    if targets and labels_of(job)["jobset.sigs.k8s.io/replicatedjob-name"] not in targets:
        return False
    failure = _failure(job)
    reasons = rule.get("onJobFailureReasons") or []
    if reasons and failure["reason"] not in reasons:
        return False
    patterns = rule.get("onJobFailureMessagePatterns") or []
    return not patterns or any(re.search(pattern, failure["message"]) for pattern in patterns)


def _failure(job: Object) -> Object:
    found = condition(job, "Failed")
    assert found is not None
    return found


def _naming(message: str, job: Object) -> str:
    return f"{message} (first failed job: {job['metadata']['name']})"


def _fail(jobset: Object, job: Object, status: Object, why: tuple[str, str], wanted: Wanted) -> None:
    reason, message = why[0], _naming(why[1], job)
    new = {"type": "Failed", "status": "True", "reason": reason, "message": message}
    status["conditions"] = with_condition(status["conditions"], new)
    status["terminalState"] = "Failed"
    wanted.changes.append(Note(jobset, reason, message, SOURCE, warning=True))
