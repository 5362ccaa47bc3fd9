"""What of a placement a cluster will not do, found before anything is submitted.

What may not be looked at is passed over, and the log says so: a right to read secrets or nodes is no
condition of launching a job.
"""

import logging
from collections.abc import Callable, Iterator

from mashbill.config.launch import LaunchConfig
from mashbill.errors import ConfigError, MashbillError
from mashbill.launch.backend import Order
from mashbill.launch.kubernetes.connection import Connection, Place, Refused, as_error, connection_to, no_api
from mashbill.launch.kubernetes.kinds import Kind
from mashbill.launch.kubernetes.looking import KUEUE, KUEUE_VERSIONS
from mashbill.launch.kubernetes.objects import Object, at
from mashbill.launch.kubernetes.rights import Right, rights_of

_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
_PAGE = "500"
_LOG = logging.getLogger(__name__)
Made = Callable[[Order], Object]


def problems(backend: str, kind: Kind, takes: LaunchConfig, *, manifest: Made) -> list[MashbillError]:
    """What will not do: what a person has to mend, and what a cluster could not be asked just now.

    Args:
        backend: its name.
        kind: of object that it makes.
        takes: what is asked for.
        manifest: makes the object of an order.
    """
    try:
        manifest(Order("check", "check", ("true",), takes))
        connection = connection_to(Place.of(takes.kubernetes))
    except MashbillError as error:
        return [error]
    found: list[MashbillError] = []
    try:
        _refuse_other(connection)
        for looked in (_of_cluster(connection, backend, kind), _things(connection, takes, kind)):
            found += looked
        found += _no_machine(connection, takes)
    except MashbillError as error:
        found.append(error)
    except Refused as refused:
        found.append(as_error(refused, "checking", connection.place))
    return found


def _refuse_other(connection: Connection) -> None:
    """Refuse what is no API of Kubernetes."""
    try:
        answer = connection.call("GET", "/version")
    except Refused as refused:
        if refused.status in (404, 405):
            raise no_api(connection.place, str(refused)) from refused
        raise
    if "major" not in answer:
        raise no_api(connection.place, str(answer))


def _of_cluster(connection: Connection, backend: str, kind: Kind) -> Iterator[MashbillError]:
    """Namespace, kind, rights."""
    place = connection.place
    if _is_there(connection, f"/api/v1/namespaces/{place.namespace}") is False:
        yield ConfigError("kubernetes.namespace", f"{place} is not there", "make it, or name another")
        return
    if kind.needs and not _serves(connection, f"{kind.group}/{kind.version}"):
        what = f"{kind.needs} ({kind.group}/{kind.version}) is not installed in {place.server}"
        yield ConfigError(f"backend {backend}", what, "install it, or take backend = 'job'")
    for right in rights_of(backend, needed_only=True):
        missing = [verb for verb in right.verbs if not _may(connection, right, verb)]
        if missing:
            what = f"may not {', '.join(missing)} {_plural(right)} in {place}"
            mend = (
                f"bind a role that may: kubectl auth can-i {missing[0]} {_plural(right)} -n {place.namespace}"
            )
            yield ConfigError("the right", what, mend)


def _things(connection: Connection, takes: LaunchConfig, kind: Kind) -> Iterator[MashbillError]:
    """What the pods refer to by name."""
    pods, here = takes.kubernetes, f"/api/v1/namespaces/{connection.place.namespace}"
    named = [("pull_secrets", "secret", name, f"{here}/secrets/{name}") for name in pods.pull_secrets]
    named += [
        ("environment_from", "secret", name, f"{here}/secrets/{name}") for name in pods.environment_from
    ]
    for volume in pods.volumes:
        name = volume.claim
        named.append(("volumes", "volume claim", name, f"{here}/persistentvolumeclaims/{name}"))
    if account := pods.service_account:
        named.append(("service_account", "service account", account, f"{here}/serviceaccounts/{account}"))
    if priority := pods.priority_class:
        path = f"/apis/scheduling.k8s.io/v1/priorityclasses/{priority}"
        named.append(("priority_class", "priority class", priority, path))
    if kind.name == "TrainJob":
        path = f"/apis/{kind.group}/{kind.version}/clustertrainingruntimes/{pods.runtime}"
        named.append(("runtime", "ClusterTrainingRuntime", pods.runtime, path))
    for field, what, name, path in named:
        if _is_there(connection, path) is False:
            words = f"there is no {what} {name} in {connection.place}"
            yield ConfigError(f"kubernetes.{field}", words, "make it, or name another")
    if takes.queue:
        yield from _queue(connection, takes.queue)


def _queue(connection: Connection, queue: str) -> Iterator[MashbillError]:
    place = connection.place
    version = next((v for v in KUEUE_VERSIONS if _serves(connection, f"{KUEUE}/{v}")), None)
    path = f"/apis/{KUEUE}/{version}/namespaces/{place.namespace}/localqueues/{queue}"
    if version is None:
        yield ConfigError("queue", f"Kueue ({KUEUE}) is not installed in {place.server}", "leave queue out")
    elif _is_there(connection, path) is False:
        mend = f"name one of: kubectl get localqueues -n {place.namespace}"
        yield ConfigError("queue", f"there is no local queue {queue} in {place}", mend)


def _no_machine(connection: Connection, takes: LaunchConfig) -> Iterator[MashbillError]:
    """What no node has: labels, or so many of a resource that is counted."""
    pods = takes.kubernetes
    wanted = {name: int(amount) for name, amount in pods.resources.items() if amount.isdigit()}
    if takes.gpus:
        wanted[pods.gpu_resource] = takes.gpus
    if not wanted and not pods.node_selector:
        return
    nodes = _nodes(connection)
    if nodes is None:
        return
    mend = "name what nodes have: kubectl get nodes --show-labels"
    fitting = [
        node for node in nodes if pods.node_selector.items() <= (at(node, "metadata", "labels") or {}).items()
    ]
    if not fitting:
        words = ", ".join(f"{name}={value}" for name, value in pods.node_selector.items())
        yield ConfigError("kubernetes.node_selector", f"none of {len(nodes)} nodes has {words}", mend)
        return
    for name, amount in wanted.items():
        most = max(_amount(node, name) for node in fitting)
        if most < amount:
            field = "gpus" if name == pods.gpu_resource else "kubernetes.resources"
            what = f"{amount} {name} are asked for, and the most that a node has is {most}"
            yield ConfigError(field, what, mend)


def _nodes(connection: Connection) -> list[Object] | None:
    """All nodes; None where they may not be listed."""
    nodes: list[Object] = []
    query = {"limit": _PAGE}
    while True:
        try:
            page = connection.call("GET", "/api/v1/nodes", query=query)
        except Refused as refused:
            if refused.status != 403:
                raise
            _LOG.info("nodes may not be listed: whether one has what the job takes was not looked at")
            return None
        nodes += page.get("items") or []
        following = at(page, "metadata", "continue")
        if not following:
            return nodes
        query["continue"] = following


def _amount(node: Object, resource: str) -> int:
    text = str((at(node, "status", "allocatable") or {}).get(resource, "0"))
    return int(text) if text.isdigit() else 0


def _is_there(connection: Connection, path: str) -> bool | None:
    """Whether an object is there; None where it may not be looked at."""
    try:
        return connection.found(path) is not None
    except Refused as refused:
        if refused.status != 403:
            raise
        _LOG.info("%s may not be read: whether it is there was not looked at", path)
        return None


def _serves(connection: Connection, version: str) -> bool:
    return connection.found(f"/apis/{version}") is not None


def _may(connection: Connection, right: Right, verb: str) -> bool:
    resource, _, subresource = right.resource.partition("/")
    asked = {"verb": verb, "group": right.group, "resource": resource, "subresource": subresource}
    if right.scope == "namespace":
        asked["namespace"] = connection.place.namespace
    attributes = {name: value for name, value in asked.items() if value}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    return bool(at(connection.call("POST", _REVIEWS, body=review), "status", "allowed"))


def _plural(right: Right) -> str:
    name, _, subresource = right.resource.partition("/")
    full = f"{name}.{right.group}" if right.group else name
    return f"{full}/{subresource}" if subresource else full
