"""What the webhooks of JobSet and of Kubeflow's trainer fill in and refuse."""

import copy
from collections.abc import Iterator
from typing import Any

from builders.kube.job_rules import job_spec_causes
from builders.kube.metadata import LABEL, LABEL_WORDS
from builders.kube.pod_rules import fill_spec
from builders.kube.status import Cause, duplicate, lacking, required, unsupported, wrong

Object = dict[str, Any]
FIXED = ("successPolicy", "startupPolicy", "managedBy", "network")
STRATEGIES = ("Recreate", "BlockingRecreate", "InPlaceRestart")
ACTIONS = (
    "FailJobSet",
    "RestartJobSet",
    "RestartJobSetAndIgnoreMaxRestarts",
    "RestartJob",
    "RestartJobAndIgnoreMaxRestarts",
)
UNSTARTED = ("nodeSelector", "tolerations", "schedulingGates", "affinity")


def fill_jobset(jobset: Object) -> None:
    """Defaults of a JobSet."""
    spec = jobset.setdefault("spec", {})
    spec.setdefault("successPolicy", {"operator": "All", "targetReplicatedJobs": []})
    spec.setdefault("startupPolicy", {"startupPolicyOrder": "AnyOrder"})
    network = spec.setdefault("network", {})
    network.setdefault("enableDNSHostnames", True)
    network.setdefault("publishNotReadyAddresses", True)
    if "failurePolicy" in spec:
        spec["failurePolicy"].setdefault("maxRestarts", 0)
        spec["failurePolicy"].setdefault("restartStrategy", "Recreate")
        for index, rule in enumerate(spec["failurePolicy"].get("rules", [])):
            rule.setdefault("name", f"failurePolicyRule{index}")
    for replicated in spec.get("replicatedJobs", []):
        replicated.setdefault("groupName", "default")
        replicated.setdefault("replicas", 1)
        job = replicated["template"].setdefault("spec", {})
        job.setdefault("completionMode", "Indexed")
        if isinstance(job.get("template", {}).get("spec"), dict):
            job["template"]["spec"].setdefault("restartPolicy", "OnFailure")


def jobset_causes(jobset: Object, before: Object | None, subresource: str = "") -> Iterator[Cause]:
    """What is wrong with a JobSet, or with a change of one."""
    if subresource == "status":
        return
    spec = jobset["spec"]
    jobs = spec.get("replicatedJobs", [])
    names = [job["name"] for job in jobs]
    for index, job in enumerate(jobs):
        at = f"spec.replicatedJobs[{index}]"
        yield from _replicated_causes(jobset, job, names[:index], at)
    for index, name in enumerate(spec["successPolicy"].get("targetReplicatedJobs", [])):
        if name not in names:
            yield lacking(f"spec.successPolicy.targetReplicatedJobs[{index}]", name)
    if "failurePolicy" in spec:
        yield from _failure_causes(spec["failurePolicy"], names)
    subdomain = spec["network"].get("subdomain")
    if subdomain and not LABEL.match(subdomain):
        yield wrong("spec.network.subdomain", subdomain, LABEL_WORDS)
    if before:
        yield from _change_causes(spec, before["spec"])


def _replicated_causes(jobset: Object, job: Object, earlier: list[str], at: str) -> Iterator[Cause]:
    if job["name"] in earlier:
        yield duplicate(f"{at}.name", job["name"])
    if not LABEL.match(job["name"]):
        yield wrong(f"{at}.name", job["name"], LABEL_WORDS)
    if job["replicas"] < 0:
        yield wrong(f"{at}.replicas", job["replicas"], "must be greater than or equal to 0")
    for index, need in enumerate(job.get("dependsOn", [])):
        if need["name"] not in earlier:
            words = "must be the name of a replicated job before it"
            yield wrong(f"{at}.dependsOn[{index}].name", need["name"], words)
    spec = copy.deepcopy(job["template"]["spec"])
    longest = f"{jobset['metadata']['name']}-{job['name']}-{max(0, job['replicas'] - 1)}"
    pod = f"{longest}-{max(0, spec.get('completions', spec.get('parallelism', 1)) - 1)}"
    if len(pod) > 57 or not LABEL.match(longest):
        words = f"job or pod names made of it will be no valid DNS labels: {pod}-xxxxx"
        yield wrong(f"{at}.name", job["name"], words)
    if isinstance(spec.get("template", {}).get("spec"), dict):
        fill_spec(spec["template"]["spec"])
    if "parallelism" not in spec and "completions" not in spec:
        spec["completions"] = 1
    spec.setdefault("completions", spec.get("parallelism"))
    yield from job_spec_causes(spec, f"{at}.template.spec")


def _failure_causes(policy: Object, names: list[str]) -> Iterator[Cause]:
    at = "spec.failurePolicy"
    if policy["maxRestarts"] < 0:
        yield wrong(f"{at}.maxRestarts", policy["maxRestarts"], "must be greater than or equal to 0")
    if policy["restartStrategy"] not in STRATEGIES:
        yield unsupported(f"{at}.restartStrategy", policy["restartStrategy"], STRATEGIES)
    seen: set[str] = set()
    for index, rule in enumerate(policy.get("rules", [])):
        if rule["name"] in seen:
            yield duplicate(f"{at}.rules[{index}].name", rule["name"])
        seen.add(rule["name"])
        if rule.get("action") not in ACTIONS:
            yield unsupported(f"{at}.rules[{index}].action", rule.get("action"), ACTIONS)
        for place, name in enumerate(rule.get("targetReplicatedJobs", [])):
            if name not in names:
                yield lacking(f"{at}.rules[{index}].targetReplicatedJobs[{place}]", name)


def _change_causes(spec: Object, was: Object) -> Iterator[Cause]:
    for name in FIXED:
        if spec.get(name) != was.get(name):
            yield wrong(f"spec.{name}", spec.get(name), "Value is immutable")
    unstarted = bool(was.get("suspend"))
    fixed = [[_fixed_job(job, unstarted) for job in one.get("replicatedJobs", [])] for one in (spec, was)]
    if fixed[0] != fixed[1]:
        yield wrong("spec.replicatedJobs", "", "field is immutable")


def _fixed_job(job: Object, unstarted: bool) -> Object:
    if not unstarted:
        return job
    fixed = copy.deepcopy(job)
    template = fixed["template"]["spec"].get("template", {})
    for name in ("labels", "annotations"):
        template.get("metadata", {}).pop(name, None)
    for name in UNSTARTED:
        template.get("spec", {}).pop(name, None)
    if not template.get("metadata"):
        template.pop("metadata", None)
    return fixed


def fill_trainjob(job: Object) -> None:
    """Defaults of a TrainJob."""
    spec = job["spec"]
    spec["runtimeRef"].setdefault("apiGroup", "trainer.kubeflow.org")
    spec["runtimeRef"].setdefault("kind", "ClusterTrainingRuntime")
    spec.setdefault("suspend", False)
    spec.setdefault("managedBy", "trainer.kubeflow.org/trainjob-controller")


def trainjob_causes(job: Object, before: Object | None, subresource: str = "") -> Iterator[Cause]:
    """What is wrong with a TrainJob, or with a change of one."""
    spec, name = job["spec"], job["metadata"]["name"]
    if not LABEL.match(name):
        yield wrong("metadata.name", name, LABEL_WORDS)
    if not spec["runtimeRef"].get("name"):
        yield required("spec.runtimeRef.name")
    if (spec.get("trainer") or {}).get("numNodes", 1) < 1:
        yield wrong(
            "spec.trainer.numNodes", spec["trainer"]["numNodes"], "must be greater than or equal to 1"
        )
    if spec["managedBy"] not in ("trainer.kubeflow.org/trainjob-controller", "kueue.x-k8s.io/multikueue"):
        yield wrong("spec.managedBy", spec["managedBy"], "must be the trainer's controller or multikueue")
    if before and subresource == "":
        was = before["spec"]
        for field in ("runtimeRef", "managedBy"):
            if spec[field] != was[field]:
                yield wrong(f"spec.{field}", spec[field], f"{field} is immutable")
        for field in ("trainer", "initializer", "runtimePatches"):
            if not was.get("suspend") and spec.get(field) != was.get(field):
                yield wrong(f"spec.{field}", "", f"{field} is immutable while the job is not suspended")
