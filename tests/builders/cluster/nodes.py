"""Machines of the cluster: what a test says of them, and the objects that say so."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from builders.cluster.kinds import Object, now_text

GPU = "nvidia.com/gpu"
LOST = {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}


@dataclass(frozen=True)
class Machine:
    """A node.

    Attributes:
        name: of it.
        cpus, memory: what it has.
        gpus: of which it has that resource, where there are any.
        labels: beside its name.
        taints: that pods have to bear.
        pods: at most.
        resources: further ones, such as rdma/ib.
    """

    name: str
    cpus: str = "16"
    memory: str = "64Gi"
    gpus: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: Sequence[Mapping[str, str]] = ()
    pods: int = 110
    resources: Mapping[str, str] = field(default_factory=dict)

    def body(self) -> Object:
        """The node as it joins."""
        labels = {
            "kubernetes.io/hostname": self.name,
            "kubernetes.io/os": "linux",
            "kubernetes.io/arch": "amd64",
        }
        return {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": self.name, "labels": {**labels, **self.labels}},
            "spec": {"taints": [dict(one) for one in self.taints]} if self.taints else {},
        }

    def status(self, address: str) -> Object:
        """What it has, and that it is ready."""
        has = {"cpu": self.cpus, "memory": self.memory, "pods": str(self.pods), "ephemeral-storage": "100Gi"}
        has |= dict(self.resources)
        if self.gpus:
            has[GPU] = str(self.gpus)
        return {
            "capacity": has,
            "allocatable": has,
            "addresses": [
                {"type": "InternalIP", "address": address},
                {"type": "Hostname", "address": self.name},
            ],
            "conditions": [_ready("True", "KubeletReady", "kubelet is posting ready status")],
        }


def unknown() -> Object:
    """The condition of a node that answers no more."""
    return _ready("Unknown", "NodeStatusUnknown", "Kubelet stopped posting node status.")


def _ready(status: str, reason: str, message: str) -> Object:
    times = {"lastHeartbeatTime": now_text(), "lastTransitionTime": now_text()}
    return {"type": "Ready", "status": status, "reason": reason, "message": message, **times}
