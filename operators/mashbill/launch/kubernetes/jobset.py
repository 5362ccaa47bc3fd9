"""The backend ``jobset``: a JobSet, which starts all nodes again together."""

from mashbill.launch.backend import Order
from mashbill.launch.kubernetes.cluster_jobs import ClusterJobs
from mashbill.launch.kubernetes.kinds import JOBSET
from mashbill.launch.kubernetes.manifests import jobset
from mashbill.launch.kubernetes.objects import Object


class JobSetBackend(ClusterJobs):
    """Orders as JobSets."""

    name, kind = "jobset", JOBSET

    def manifest(self, order: Order) -> Object:
        """The JobSet."""
        return jobset(order)
