"""The backend ``trainjob``: a TrainJob of Kubeflow's Trainer."""

from mashbill.launch.backend import Order
from mashbill.launch.kubernetes.cluster_jobs import ClusterJobs
from mashbill.launch.kubernetes.kinds import TRAINJOB
from mashbill.launch.kubernetes.objects import Object
from mashbill.launch.kubernetes.patches import trainjob


class TrainJobBackend(ClusterJobs):
    """Orders as TrainJobs."""

    name, kind = "trainjob", TRAINJOB

    def manifest(self, order: Order) -> Object:
        """The TrainJob."""
        return trainjob(order)
