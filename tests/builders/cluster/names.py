"""Names of pods in the cluster's DNS, as hosts files: each pod has a loopback address of its own."""

import itertools
import socket
from collections.abc import Iterable, Iterator

from builders.cluster.job_accounts import terminal
from builders.cluster.kinds import Object, holds, key_of, labels_of, leaving, matches, status_of

DOMAIN = "cluster.local"
GUARD = 61_117
"""Port on which a cluster says that its addresses are taken."""


class Addresses:
    """Loopback addresses that no other cluster of this machine has: each has a number of its own.

    Attributes:
        node: address of all nodes.
    """

    def __init__(self) -> None:
        self._guard = socket.socket()
        self._number = next(number for number in range(1, 255) if self._is_free(number))
        self._next = itertools.count()
        self.node = f"127.{self._number}.255.1"

    def another(self) -> str:
        """An address for a pod, which none has had."""
        number = next(self._next)
        return f"127.{self._number}.{number // 250}.{number % 250 + 2}"

    def close(self) -> None:
        """Leave the addresses to others."""
        self._guard.close()

    def _is_free(self, number: int) -> bool:
        try:
            self._guard.bind((f"127.{number}.255.254", GUARD))
        except OSError:
            return False
        return True


def host_name(pod: Object) -> str:
    """What a pod calls itself."""
    return (pod["spec"].get("hostname") or key_of(pod)[1])[:63]


def hosts_file(pod: Object, pods: Iterable[Object], services: Iterable[Object]) -> str:
    """What a pod's hosts file says; ``localhost`` is its own address too, where what takes any listens, and
    its address is known by its own name first.

    Args:
        pod: whose it is.
        pods: of its cluster, ended ones too.
        services: of its cluster; a pod is known by its host name where a headless service selects it.
    """
    address = status_of(pod)["podIP"]
    lines = [f"{address} {' '.join(_own(pod))}", f"{address} localhost", "127.0.0.1 localhost"]
    reachable = [one for one in pods if status_of(one).get("podIP") and not terminal(one)]
    for service in services:
        lines += _of_service(service, reachable, key_of(pod)[0])
    return "\n".join(lines) + "\n"


def _own(pod: Object) -> list[str]:
    name, subdomain = host_name(pod), pod["spec"].get("subdomain")
    if not subdomain:
        return [name]
    return [f"{name}.{subdomain}.{key_of(pod)[0]}.svc.{DOMAIN}", name]


def _of_service(service: Object, pods: Iterable[Object], namespace: str) -> Iterator[str]:
    spec = service["spec"]
    own, name = key_of(service)
    if spec.get("clusterIP") != "None" or not spec.get("selector"):
        return
    for pod in pods:
        if key_of(pod)[0] != own or not matches(labels_of(pod), spec["selector"]):
            continue
        if not spec.get("publishNotReadyAddresses") and (leaving(pod) or not holds(pod, "Ready")):
            continue
        address = status_of(pod)["podIP"]
        yield f"{address} {' '.join(_spelt(name, own, namespace))}"
        if pod["spec"].get("subdomain") == name and pod["spec"].get("hostname"):
            yield f"{address} {' '.join(_spelt(f'{host_name(pod)}.{name}', own, namespace))}"


def _spelt(name: str, own: str, namespace: str) -> list[str]:
    """The ways in which a pod of a namespace can write a name, the full one first."""
    full = [f"{name}.{own}.svc.{DOMAIN}", f"{name}.{own}.svc", f"{name}.{own}"]
    return [*full, name] if own == namespace else full
