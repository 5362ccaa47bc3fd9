"""The kinds of object that a job can be, and what their conditions are called."""

from dataclasses import dataclass

from mashbill.launch.kubernetes.objects import Object, condition


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
