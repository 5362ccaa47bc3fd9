"""The kinds of object that a job can be, and what their conditions are called."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mashbill.launch.backend import FINAL_EXIT, Phase
from mashbill.launch.kubernetes.failures import culprit, newest
from mashbill.launch.kubernetes.objects import Object, at, condition, name_of


@dataclass(frozen=True)
class Kind:
    """A kind of object that runs an order.

    Attributes:
        name: as manifests have it.
        group, version, plural: of its API.
        complete: its condition when it has succeeded.
        child: what its Job of pods is called, after the object's own name.
        needs: what has to be installed in the cluster for it.
        container: of its pods, which runs the command.
    """

    name: str
    group: str
    version: str
    plural: str
    complete: str
    child: str = ""
    needs: str = ""
    container: str = "mashbill"

    def path(self, namespace: str, name: str = "") -> str:
        """Of the objects in a namespace, or of one."""
        return f"/apis/{self.group}/{self.version}/namespaces/{namespace}/{self.plural}" + (
            f"/{name}" if name else ""
        )

    def succeeded(self, job: Object) -> bool:
        """Whether it is done."""
        return condition(job, self.complete) is not None

    def failed(self, job: Object) -> Object | None:
        """The condition by which it has failed."""
        return condition(job, "Failed")

    def ended(self, job: Object) -> bool:
        """Whether it will not start a pod any more."""
        return self.succeeded(job) or self.failed(job) is not None

    def phase(self, job: Object) -> Phase | None:
        """What its own status says besides; None where its pods tell."""
        return None

    def last_pods(self, pods: Sequence[Object]) -> list[Object]:
        """Of all pods those of the last attempt."""
        return newest(pods)

    def culprit(self, pods: Sequence[Object], told: str) -> Object | None:
        """The pod whose log says why it failed.

        Args:
            pods: of the job.
            told: the message of its failure.
        """
        return culprit(pods, told)

    def makers(self, job: Object) -> list[tuple[str, str]]:
        """Kind and name of what it makes its pods by."""
        return [("Job", f"{name_of(job)}{self.child}")] if self.child else []


@dataclass(frozen=True)
class RayKind(Kind):
    """KubeRay's RayJob, which has no conditions but words, and pods that are no ranks of one job."""

    def succeeded(self, job: Object) -> bool:
        """Whether its driver has."""
        return self._word(job, "jobStatus") == "SUCCEEDED"

    def failed(self, job: Object) -> Object | None:
        """Why it has failed: for good, or with a setting or data that no other try can mend."""
        status = at(job, "status") or {}
        if status.get("jobDeploymentStatus") not in RAY_FAILED and not (
            status.get("jobStatus") == "FAILED" and exit_code_in(status.get("message")) == FINAL_EXIT
        ):
            return None
        return {"reason": status.get("reason") or "", "message": status.get("message") or ""}

    def ended(self, job: Object) -> bool:
        """Whether KubeRay will not try again."""
        failed = self._word(job, "jobDeploymentStatus") in RAY_FAILED
        return self.succeeded(job) or failed or self.phase(job) == "gone"

    def phase(self, job: Object) -> Phase | None:
        """Running from the driver's start on; gone where someone stopped the driver."""
        word = self._word(job, "jobStatus")
        return {"RUNNING": "running", "STOPPED": "gone"}.get(word)  # type: ignore[return-value]

    def last_pods(self, pods: Sequence[Object]) -> list[Object]:
        """All that are not being removed, the submitter first: it has the driver's log."""
        kept = [pod for pod in pods if not at(pod, "metadata", "deletionTimestamp")]
        return sorted(kept, key=lambda pod: (not self._submits(pod), name_of(pod)))

    def culprit(self, pods: Sequence[Object], told: str) -> Object | None:
        """The last submitter."""
        found = [pod for pod in pods if self._submits(pod)]
        return max(found, key=lambda pod: str(at(pod, "metadata", "creationTimestamp")), default=None)

    def makers(self, job: Object) -> list[tuple[str, str]]:
        """The cluster, and the Job that submits to it."""
        cluster = self._word(job, "rayClusterName")
        return [("Job", name_of(job))] + ([("RayCluster", cluster)] if cluster else [])

    def _submits(self, pod: Object) -> bool:
        return any(c.get("name") == self.container for c in at(pod, "spec", "containers") or ())

    def _word(self, job: Object, name: str) -> str:
        return str(at(job, "status", name) or "")


RAY_FAILED = frozenset({"Failed", "ValidationFailed"})
"""Words of a RayJob's deployment status after which KubeRay does nothing more."""


def exit_code_in(message: object) -> int | None:
    """The driver's, as Ray's message of a failed job has it."""
    found = re.search(r"failed with exit code (-?[0-9]+)", str(message or ""))
    return int(found[1]) if found else None


JOB = Kind("Job", "batch", "v1", "jobs", "Complete")
JOBSET = Kind("JobSet", "jobset.x-k8s.io", "v1alpha2", "jobsets", "Completed", "-node-0", "JobSet")
TRAINJOB = Kind(
    name="TrainJob",
    group="trainer.kubeflow.org",
    version="v1alpha1",
    plural="trainjobs",
    complete="Complete",
    child="-node-0",
    needs="Kubeflow Trainer",
    container="node",
)
RAYJOB = RayKind(
    name="RayJob",
    group="ray.io",
    version="v1",
    plural="rayjobs",
    complete="",
    needs="KubeRay",
    container="ray-job-submitter",
)
