"""A cluster in which pods really run: ``with cluster(folder) as c``."""

from builders.cluster.cluster import Cluster, cluster, of_clients
from builders.cluster.images import Image, of_this_environment
from builders.cluster.nodes import Machine
from builders.cluster.pace import Pace
from builders.cluster.sandbox import unsharing

__all__ = ["Cluster", "Image", "Machine", "Pace", "cluster", "of_clients", "of_this_environment", "unsharing"]
