"""A cluster as its API server has it: store, kinds, rights, and what every cluster begins with."""

from collections.abc import Iterable
from typing import Any

from builders.kube.access import AUTHENTICATED, MASTERS, Access
from builders.kube.calls import User
from builders.kube.certificates import made
from builders.kube.custom import INSTALLED, Definitions
from builders.kube.faults import Faults
from builders.kube.kinds import Kind, Kinds
from builders.kube.logs import Logs
from builders.kube.objects import Objects, Writer
from builders.kube.openapi import OpenApi
from builders.kube.roles import BINDINGS, ROLES
from builders.kube.store import Change, Object, Store
from builders.kube.validation import Validation

ADMIN = User("kubernetes-admin", (MASTERS, AUTHENTICATED))
SYSTEM = Writer(ADMIN, "kube-controller-manager")
NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")


class Cluster:
    """Everything that is behind the server."""

    def __init__(self, custom: Iterable[str] = tuple(INSTALLED)) -> None:
        self.store, self.kinds, self.validation = Store(), Kinds(), Validation()
        self.access, self.faults, self.logs = Access(self.store), Faults(), Logs()
        self.objects = Objects(self.store, self.kinds, self.validation, self.access)
        self.deletion = self.objects.deletion
        self.definitions = Definitions(self.kinds, self.validation)
        self.openapi = OpenApi(self.kinds, self.validation)
        self.store.every_change.append(self._follow)
        for role in ROLES:
            self.put(role)
        for binding in BINDINGS:
            self.put(binding)
        for name in NAMESPACES:
            self.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        for name in custom:
            self.put(INSTALLED[name])

    def put(self, item: Object) -> Object:
        """Create an object as the cluster's own."""
        kind = self.kinds.named(item["apiVersion"], item["kind"])
        assert kind, item["kind"]
        return self.objects.create(kind, item["metadata"].get("namespace", ""), item, SYSTEM)

    def kind(self, resource: str) -> Kind:
        return self.kinds.of(resource)

    def _follow(self, change: Change) -> None:
        """What the cluster's own small controllers do at each change."""
        if change.resource == "namespaces" and change.type == "ADDED":
            name = change.item["metadata"]["name"]
            metadata: dict[str, Any] = {"namespace": name}
            self.put(
                {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {**metadata, "name": "default"}}
            )
            certificate = {
                "metadata": {**metadata, "name": "kube-root-ca.crt"},
                "data": {"ca.crt": made()[0]},
            }
            self.put({"apiVersion": "v1", "kind": "ConfigMap", **certificate})
        elif change.resource == "customresourcedefinitions.apiextensions.k8s.io":
            self.definitions.follow(change, self.store)
