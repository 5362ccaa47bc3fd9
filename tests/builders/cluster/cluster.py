"""A cluster for tests: an API, controllers, and nodes whose pods are processes of this machine.

    with cluster(folder) as c:
        c.create(job)
        c.wait_for("Job", "train", complete)

Everything goes through the API over HTTP. What a test does to the cluster (kill a pod, lose a node, hold a
queue) is a method here.
"""

import contextlib
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from kubernetes.client import ApiException

from builders.cluster.api import Api
from builders.cluster.containers import Container
from builders.cluster.control import Control
from builders.cluster.images import Image, known_images
from builders.cluster.kinds import Object, key_of, leaving, status_of, uid_of
from builders.cluster.kubelet import Kubelet
from builders.cluster.names import Addresses
from builders.cluster.nodes import LOST, Machine, unknown
from builders.cluster.pace import Pace
from builders.cluster.quantities import amounts, requests_of
from builders.cluster.queues import Admission
from builders.cluster.scheduler import occupying
from builders.cluster.statuses import Run
from builders.cluster.trainjobs import torch_distributed
from builders.cluster.view import NAMESPACE, View
from builders.kube.api import KubernetesApi, kubernetes_api
from builders.kube.calls import Call
from builders.processes import processes_about

FILLER = "filler"
CONTROLLERS = "system:kube-controller-manager"
"""Who asks the API on behalf of the cluster: faults of its clients alone are those of other users."""


class Cluster(View):
    """What a test sees of the cluster.

    Attributes:
        server: the API, with its faults.
        kubeconfig: a file by which clients reach it.
        folder: for disks of pods, claims and logs.
        images: those that there are, by patterns of names; a test adds its own.
        pace: of the cluster's time.
    """

    def __init__(self, server: KubernetesApi, folder: Path, pace: Pace) -> None:
        self.server, self.folder, self.pace = server, folder, pace
        self.kubeconfig = server.kubeconfig
        token = server.user_token(CONTROLLERS, "system:masters")
        api = Api(server.kubeconfig_of(token, "controllers"))
        self.images: dict[str, Image] = known_images()
        self._admission = Admission()
        self._held: set[str] = set()
        self._kubelet = Kubelet(
            folder=folder,
            logs=folder / "logs",
            images=self.images,
            addresses=Addresses(),
            pace=pace,
            server=("127.0.0.1", server.port),
            said=server.logs.write,
            began_anew=server.logs.restart,
            held=lambda pod: any(key_of(pod)[1].startswith(one) for one in self._held),
        )
        self._control = Control(api, self._kubelet, pace, self._admission)
        super().__init__(api, self._control.store, server.logs, self._control.loop.faults)

    def start(self, machines: Sequence[Machine]) -> None:
        """Begin with some nodes."""
        for machine in machines:
            self.add_node(machine)
        with contextlib.suppress(ApiException):
            self.create(torch_distributed())
        self._control.start()

    def stop(self) -> None:
        """End it, with all that pods run."""
        self._control.stop()
        self._kubelet.addresses.close()

    def kill(
        self, pod: str, container: str = "", *, namespace: str = NAMESPACE, number: int = signal.SIGKILL
    ) -> None:
        """Send a signal to a container's first process, as ``kill -9`` on its node does."""
        self._with_run(pod, namespace, lambda _, run: self._container(run, container).signal(number))

    def run_out_of_memory(self, pod: str, container: str = "", *, namespace: str = NAMESPACE) -> None:
        """Have the kernel end a container for its memory."""

        def act(_: Object, run: Run) -> None:
            one = self._container(run, container)
            one.killer = "OOMKilled"
            one.signal(signal.SIGKILL)

        self._with_run(pod, namespace, act)

    def finish(self, pod: str, code: int = 0, *, namespace: str = NAMESPACE) -> None:
        """End an idle pod's containers with an exit code."""

        def act(_: Object, run: Run) -> None:
            for container in run.containers.values():
                container.finish(code)

        self._with_run(pod, namespace, act)

    def evict(self, pod: str, resource: str = "memory", *, namespace: str = NAMESPACE) -> None:
        """Have a node that runs out of something end a pod."""

        def act(found: Object, run: Run) -> None:
            name = found["spec"]["containers"][0]["name"]
            message = (
                f"The node was low on resource: {resource}. Threshold quantity: 100Mi, available: 50Mi. "
                f"Container {name} was using 2Gi, request is 0, has larger consumption of {resource}. "
            )
            self._kubelet.evict(found, run, message)

        self._with_run(pod, namespace, act)

    def hold_controllers(self) -> None:
        """Have the controllers be down: objects change, and nobody does anything about it."""
        self._control.loop.pause(on=True)

    def release_controllers(self) -> None:
        """Have the controllers go on."""
        self._control.loop.pause(on=False)

    def processes(self) -> dict[int, str]:
        """What pods run now: command lines by process ids."""
        found = processes_about(self.folder)
        found.pop(os.getpid(), None)
        return found

    def hold_pods(self, prefix: str = "") -> None:
        """Have pods whose names begin so stay at ContainerCreating."""
        self._held.add(prefix)

    def release_pods(self) -> None:
        """Have all held pods go on."""
        self._held.clear()
        for key in list(self._store.of("Pod")):
            self._control.loop.mark(("pod", key))

    def add_node(self, machine: Machine) -> None:
        """Have a node join."""
        self.create(machine.body())
        address = self._kubelet.addresses.node
        self.api.patch("Node", ("", machine.name), {"status": machine.status(address)}, under="/status")

    def drain_node(self, name: str) -> None:
        """Ask all pods of a node to go, and let it have no new ones, as before it is repaired."""
        self.api.patch("Node", ("", name), {"spec": {"unschedulable": True}})
        for pod in occupying(name, self.api.all("Pod")):
            namespace, own = key_of(pod)
            meta = {"name": own, "namespace": namespace}
            body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": meta}
            self.api.post("Pod", key_of(pod), body, under="/eviction")

    def lose_node(self, name: str) -> None:
        """Have a node die: what ran there is dead at once, and the API learns of it only by its silence."""

        def act() -> None:
            self._kubelet.lose(name, self._store.all("Pod"))

        self._control.loop.call(act)
        self.api.patch("Node", ("", name), {"status": {"conditions": [unknown()]}}, under="/status")
        self.api.patch("Node", ("", name), {"spec": {"taints": [LOST]}})

    def remove_node(self, name: str) -> None:
        """Have a node be gone for good, as a cloud tells of one that it ended."""
        if name not in self._kubelet.lost:
            self.lose_node(name)
        self.api.delete("Node", ("", name))

    def fill(self, *, leaving_room: Sequence[str] = ()) -> None:
        """Have other people's pods take all that is free on every node but some."""
        pods = self.api.all("Pod")
        for node in self.api.all("Node"):
            name = key_of(node)[1]
            if name in leaving_room:
                continue
            free = _free(node, occupying(name, pods))
            container = {
                "name": "pause",
                "image": "registry.k8s.io/pause:3.10",
                "resources": {"requests": free, "limits": free},
            }
            spec = {"nodeName": name, "containers": [container], "tolerations": [{"operator": "Exists"}]}
            meta = {"name": f"{FILLER}-{name}", "namespace": "kube-system"}
            self.create({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec})
        self.wait_until(lambda: all(_runs(pod) for pod in self._fillers()))

    def empty(self) -> None:
        """Have those pods go."""
        for pod in self._fillers():
            self.api.delete("Pod", key_of(pod), {"gracePeriodSeconds": 0})

    def _fillers(self) -> list[Object]:
        return [pod for key, pod in list(self._store.of("Pod").items()) if key[1].startswith(FILLER)]

    def add_queue(self, name: str, *, held: bool = False, namespace: str = NAMESPACE) -> None:
        """Make a local queue; one that is held admits nothing until it is told to."""
        if held:
            self._admission.held.add((namespace, name))
        spec = {"clusterQueue": "cluster-queue"}
        meta = {"name": name, "namespace": namespace}
        version = "kueue.x-k8s.io/v1beta1"
        self.create({"apiVersion": version, "kind": "LocalQueue", "metadata": meta, "spec": spec})

    def hold_queue(self, name: str, namespace: str = NAMESPACE) -> None:
        """Have a queue admit nothing more."""
        self._admission.held.add((namespace, name))

    def admit_queue(self, name: str, namespace: str = NAMESPACE) -> None:
        """Have a queue admit all that waits in it."""
        self._admission.held.discard((namespace, name))
        self._admission.preempted.clear()
        self._control.loop.mark(*self._control.queued())

    def preempt(self, kind: str, name: str, namespace: str = NAMESPACE) -> None:
        """Have what a queue admitted give way, until the queue admits it once more."""
        thing = self.wait_for(kind, name, lambda _: True, namespace=namespace)
        self._admission.preempted.add(uid_of(thing))
        self._control.loop.mark(("queue", (kind, key_of(thing))))

    def _with_run(self, pod: str, namespace: str, act: Callable[[Object, Run], None]) -> None:
        """Do something with a running pod, in the controllers' thread."""
        found = self.wait_for("Pod", pod, lambda one: _runs(one) and not leaving(one), namespace=namespace)

        def do() -> None:
            act(found, self._kubelet.runs[uid_of(found)])
            self._control.loop.mark(("pod", key_of(found)))

        self._control.loop.call(do)

    @staticmethod
    def _container(run: Run, name: str) -> Container:
        return run.containers[name] if name else list(run.containers.values())[-1]


def _runs(pod: Object) -> bool:
    return status_of(pod).get("phase") == "Running"


def _free(node: Object, pods: Sequence[Object]) -> dict[str, str]:
    room = amounts(status_of(node)["allocatable"])
    for pod in pods:
        room.subtract(requests_of(pod))
    return {name: f"{amount}m" for name, amount in room.items() if amount > 0 and name != "pods"}


def of_clients(call: Call) -> bool:
    """Whether a call is not the cluster's own, for faults that its clients alone are to meet."""
    return call.user != CONTROLLERS


@contextlib.contextmanager
def cluster(
    folder: Path,
    machines: Sequence[Machine] = (Machine("node-a"), Machine("node-b")),
    pace: Pace | None = None,
) -> Iterator[Cluster]:
    """A cluster for the time of a block.

    Args:
        folder: for disks, claims, logs and the kubeconfig.
        machines: its nodes.
        pace: of its time.
    Raises:
        AssertionError: the controllers met a fault of their own.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with kubernetes_api(folder) as server:
        here = Cluster(server, folder, pace or Pace())
        here.start(machines)
        try:
            yield here
        finally:
            here.stop()
        assert not here.faults, "\n".join(here.faults)
