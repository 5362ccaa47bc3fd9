"""Jobs: what the server fills in, what it refuses, and what may not change once a job is there."""

import copy
from collections.abc import Iterator
from typing import Any

from builders.kube.metadata import LABEL
from builders.kube.pod_rules import fill_spec, template_causes
from builders.kube.selectors import matches_labels
from builders.kube.status import Cause, required, unsupported, wrong

Object = dict[str, Any]
UID_LABEL, NAME_LABEL = "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name"
UNBOUNDED = 2**31 - 1
FIXED = (
    "completionMode",
    "podFailurePolicy",
    "backoffLimitPerIndex",
    "managedBy",
    "successPolicy",
    "selector",
)
NOT_NEGATIVE = (
    "parallelism",
    "completions",
    "activeDeadlineSeconds",
    "backoffLimit",
    "ttlSecondsAfterFinished",
    "backoffLimitPerIndex",
    "maxFailedIndexes",
)
ACTIONS = ("FailJob", "FailIndex", "Ignore", "Count")
UNSTARTED = ("nodeSelector", "affinity", "tolerations", "schedulingGates", "containers", "initContainers")
"""What a pod template may be given while its job is suspended and has not started: Kueue gives it."""


def fill_job(job: Object) -> None:
    """Defaults of a job."""
    spec = job["spec"]
    fill_job_spec(spec)
    if spec.get("manualSelector"):
        return
    uid, name = job["metadata"]["uid"], job["metadata"]["name"]
    labels = spec["template"].setdefault("metadata", {}).setdefault("labels", {})
    for prefix in ("batch.kubernetes.io/", ""):
        labels.setdefault(f"{prefix}controller-uid", uid)
        labels.setdefault(f"{prefix}job-name", name)
    spec.setdefault("selector", {"matchLabels": {UID_LABEL: uid}})


def fill_job_spec(spec: Object) -> None:
    """Defaults of a job's spec, also of one within another object."""
    if "completions" not in spec and "parallelism" not in spec:
        spec["completions"] = 1
    spec.setdefault("parallelism", 1)
    spec.setdefault("backoffLimit", UNBOUNDED if "backoffLimitPerIndex" in spec else 6)
    spec.setdefault("completionMode", "NonIndexed")
    spec.setdefault("suspend", False)
    failing = "Failed" if "podFailurePolicy" in spec else "TerminatingOrFailed"
    spec.setdefault("podReplacementPolicy", failing)
    for rule in (spec.get("podFailurePolicy") or {}).get("rules", []):
        for pattern in rule.get("onPodConditions", []):
            pattern.setdefault("status", "True")
    if isinstance(spec.get("template", {}).get("spec"), dict):
        fill_spec(spec["template"]["spec"])


def begin_job(job: Object) -> None:
    """A new job's state."""
    job["status"] = {}


def job_causes(job: Object, before: Object | None, subresource: str = "") -> Iterator[Cause]:
    """What is wrong with a job, or with a change of one."""
    if subresource == "status" and before:
        yield from _status_causes(job.get("status") or {}, before.get("status") or {})
        return
    spec = job["spec"]
    yield from job_spec_causes(spec, "spec")
    if before is None:
        yield from _selector_causes(job)
        last = f"{job['metadata']['name']}-{max(0, (spec.get('completions') or 1) - 1)}"
        if spec["completionMode"] == "Indexed" and not LABEL.match(last):
            words = f"will not able to create pod with invalid DNS label: {last}"
            yield wrong("metadata.name", job["metadata"]["name"], words)
    else:
        yield from _change_causes(spec, before)


def job_spec_causes(spec: Object, path: str) -> Iterator[Cause]:
    """What is wrong with a job's spec."""
    for name in NOT_NEGATIVE:
        if spec.get(name, 0) < 0:
            yield wrong(f"{path}.{name}", spec[name], "must be greater than or equal to 0")
    if spec["completionMode"] == "Indexed":
        if "completions" not in spec:
            yield required(f"{path}.completions", "when completion mode is Indexed")
    else:
        if spec["completionMode"] != "NonIndexed":
            yield unsupported(f"{path}.completionMode", spec["completionMode"], ["NonIndexed", "Indexed"])
        for name in ("backoffLimitPerIndex", "maxFailedIndexes", "successPolicy"):
            if name in spec:
                yield wrong(f"{path}.{name}", spec[name], "requires indexed completion mode")
    if "template" in spec and "spec" in spec["template"]:
        yield from template_causes(spec["template"], f"{path}.template")
        restarts = spec["template"]["spec"].get("restartPolicy")
        if restarts not in ("OnFailure", "Never"):
            yield required(f"{path}.template.spec.restartPolicy", 'valid values: "OnFailure", "Never"')
        if "podFailurePolicy" in spec:
            yield from _failure_policy_causes(spec, f"{path}.podFailurePolicy", path)
    else:
        yield required(f"{path}.template.spec.containers")


def _failure_policy_causes(spec: Object, at: str, path: str) -> Iterator[Cause]:
    restarts = spec["template"]["spec"].get("restartPolicy")
    if restarts != "Never":
        words = 'only "Never" is supported when podFailurePolicy is specified'
        yield wrong(f"{path}.template.spec.restartPolicy", restarts, words)
    containers = {c["name"] for c in spec["template"]["spec"].get("containers", []) if "name" in c}
    for index, rule in enumerate(spec["podFailurePolicy"].get("rules", [])):
        where = f"{at}.rules[{index}]"
        if rule.get("action") not in ACTIONS:
            yield unsupported(f"{where}.action", rule.get("action"), ACTIONS)
        if rule.get("action") == "FailIndex" and "backoffLimitPerIndex" not in spec:
            yield wrong(f"{where}.action", "FailIndex", "requires the backoffLimitPerIndex to be set")
        codes, conditions = rule.get("onExitCodes"), rule.get("onPodConditions")
        if bool(codes) and bool(conditions):
            words = "specifying both OnExitCodes and OnPodConditions is not supported"
            yield wrong(where, rule, words)
        elif not codes and not conditions:
            yield wrong(where, rule, "specifying one of OnExitCodes and OnPodConditions is required")
        if codes:
            yield from _exit_code_causes(codes, containers, f"{where}.onExitCodes")


def _exit_code_causes(codes: Object, containers: set[str], at: str) -> Iterator[Cause]:
    values = codes.get("values", [])
    if not values:
        yield wrong(f"{at}.values", values, "at least one value is required")
    if values != sorted(set(values)):
        yield wrong(f"{at}.values", values, "must be ordered and hold no value twice")
    if codes.get("operator") not in ("In", "NotIn"):
        yield unsupported(f"{at}.operator", codes.get("operator"), ["In", "NotIn"])
    if codes.get("operator") == "In" and 0 in values:
        yield wrong(f"{at}.values[{values.index(0)}]", 0, "must not be 0 for the In operator")
    if codes.get("containerName") and codes["containerName"] not in containers:
        words = "must be one of the container or initContainer names in the pod template"
        yield wrong(f"{at}.containerName", codes["containerName"], words)


def _selector_causes(job: Object) -> Iterator[Cause]:
    spec, uid = job["spec"], job["metadata"]["uid"]
    selector, labels = spec.get("selector"), spec["template"].get("metadata", {}).get("labels", {})
    if not spec.get("manualSelector") and selector != {"matchLabels": {UID_LABEL: uid}}:
        yield wrong("spec.selector", selector, "`selector` not auto-generated")
    elif not selector:
        yield required("spec.selector")
    elif not matches_labels(selector, labels):
        yield wrong("spec.template.metadata.labels", labels, "`selector` does not match template `labels`")


def _change_causes(spec: Object, before: Object) -> Iterator[Cause]:
    was = before["spec"]
    for name in FIXED:
        if spec.get(name) != was.get(name):
            yield wrong(f"spec.{name}", spec.get(name), "field is immutable")
    scaled = spec.get("completions") == spec.get("parallelism") and spec["completionMode"] == "Indexed"
    if spec.get("completions") != was.get("completions") and not scaled:
        yield wrong("spec.completions", spec.get("completions"), "field is immutable")
    unstarted = was.get("suspend") and "startTime" not in (before.get("status") or {})
    if _fixed_template(spec["template"], unstarted) != _fixed_template(was["template"], unstarted):
        yield wrong("spec.template", spec["template"], "field is immutable")


def _fixed_template(template: Object, unstarted: bool) -> Object:
    if not unstarted:
        return template
    fixed = copy.deepcopy(template)
    metadata = fixed.get("metadata", {})
    for name in ("labels", "annotations"):
        metadata.pop(name, None)
    for name in UNSTARTED:
        if name.endswith("ontainers"):
            for container in fixed["spec"].get(name, []):
                container.pop("resources", None)
        else:
            fixed["spec"].pop(name, None)
    return fixed


def _status_causes(status: Object, was: Object) -> Iterator[Cause]:
    """A job that ended stays so, and says so in the order that the real server wants."""
    has, had = _conditions(status), _conditions(was)
    for ended, first in (("Complete", "SuccessCriteriaMet"), ("Failed", "FailureTarget")):
        if ended in had and ended not in has:
            yield wrong("status.conditions", ended, f"cannot disable {ended}=True condition")
        if ended in has and first not in has:
            words = f"cannot set {ended}=True condition without the {first}=true condition"
            yield wrong("status.conditions", ended, words)
    if {"Complete", "Failed"} <= has:
        yield wrong("status.conditions", sorted(has), "cannot set Complete=True and Failed=true conditions")
    yield from _time_causes(status, was, has)
    yield from _count_causes(status, was, has)


def _conditions(status: Object) -> set[str]:
    return {c["type"] for c in status.get("conditions", []) if c["status"] == "True"}


def _time_causes(status: Object, was: Object, has: set[str]) -> Iterator[Cause]:
    ended = status.get("completionTime")
    if ended and "Complete" not in has:
        words = "cannot set completionTime when there is no Complete=True condition"
        yield wrong("status.completionTime", ended, words)
    if "Complete" in has and not ended:
        yield required("status.completionTime", "completionTime is required for Complete jobs")
    if "completionTime" in was and ended != was["completionTime"]:
        yield wrong("status.completionTime", ended, "completionTime cannot be mutated")
    if "startTime" in was and "startTime" not in status and "Suspended" not in has:
        yield required("status.startTime", "startTime cannot be removed for unsuspended job")


def _count_causes(status: Object, was: Object, has: set[str]) -> Iterator[Cause]:
    if {"Complete", "Failed"} & has and status.get("active", 0):
        yield wrong("status.active", status["active"], "active>0 is invalid for finished job")
    for name in ("active", "ready", "succeeded", "failed", "terminating"):
        if status.get(name, 0) < 0:
            yield wrong(f"status.{name}", status[name], "must be greater than or equal to 0")
    if status.get("ready", 0) > status.get("active", 0):
        yield wrong("status.ready", status["ready"], "cannot set more ready pods than active")
    for name in ("succeeded", "failed"):
        if status.get(name, 0) < was.get(name, 0):
            yield wrong(f"status.{name}", status.get(name, 0), f"cannot decrease the {name} counter")
