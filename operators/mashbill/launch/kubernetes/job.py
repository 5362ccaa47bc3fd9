"""The backend ``job``: an Indexed Job, with a headless Service where several nodes meet."""

from mashbill.errors import ConfigError, RunError
from mashbill.launch.backend import Order
from mashbill.launch.kubernetes.cluster_jobs import STRICT, ClusterJobs
from mashbill.launch.kubernetes.connection import Connection, Refused, as_error
from mashbill.launch.kubernetes.kinds import JOB
from mashbill.launch.kubernetes.manifests import job, service
from mashbill.launch.kubernetes.objects import MANAGED_BY, OURS, Object, at, label, name_of


class JobBackend(ClusterJobs):
    """Orders as Indexed Jobs."""

    name, kind = "job", JOB

    def manifest(self, order: Order) -> Object:
        """The Job."""
        return job(order)

    def complete(self, connection: Connection, order: Order, uid: str) -> None:
        """Make the Service by which several nodes find each other.

        The Job is there first and owns it: so none is ever left behind. Nodes that start before it wait for
        the name to be known.

        Raises:
            ConfigError: there is another's of that name, or it may not be made.
            RunError: the cluster does not answer.
        """
        if order.takes.nodes == 1:
            return
        where = f"/api/v1/namespaces/{connection.place.namespace}/services"
        try:
            found = connection.found(f"{where}/{order.name}")
            if found is not None and _owner(found) != uid:
                _remove_orphan(connection, f"{where}/{order.name}", found)
                found = None
            if found is None:
                connection.call("POST", where, query=STRICT, body=service(order, uid))
        except Refused as refused:
            raise as_error(refused, f"service {order.name}", connection.place) from refused


def _owner(found: Object) -> str:
    owners = at(found, "metadata", "ownerReferences") or [{}]
    return str(owners[0].get("uid", ""))


def _remove_orphan(connection: Connection, path: str, found: Object) -> None:
    """Remove the Service of an earlier job of that name, which the cluster has not got to yet."""
    name = name_of(found)
    if label(found, MANAGED_BY) != OURS:
        what = f"{connection.place} has a service of that name that is another's"
        raise ConfigError(f"service {name}", what, f"remove it: kubectl delete service {name}")
    if at(found, "metadata", "deletionTimestamp"):
        what = "an earlier one is still being removed"
        raise RunError(f"service {name}", what, "try again in a moment")
    uid = {"preconditions": {"uid": found["metadata"]["uid"]}}
    connection.call("DELETE", path, body={"apiVersion": "v1", "kind": "DeleteOptions", **uid})
