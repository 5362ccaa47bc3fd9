"""The kinds that the API serves: what they are called, where they live, and which behave out of the common.

A kind that a CustomResourceDefinition adds is one more row, made when the definition is stored.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from builders.kube.status import qualified

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
ASKED = ("create",)
"""Verbs of what is asked and never stored, as access reviews."""


@dataclass(frozen=True)
class Kind:
    """A kind of object.

    Attributes:
        group: API group; empty for the core.
        version: of the group.
        kind: as objects name it.
        plural: as paths name it.
        namespaced: whether its objects lie in namespaces.
        short: short names, for kubectl.
        verbs: what may be done.
        subresources: of an object: status, scale, log.
        generations: whether ``metadata.generation`` counts changes of the spec.
        returns_deleted: whether a deletion answers with the object, not with a Status.
        custom: whether a CustomResourceDefinition made it.
        categories: groups of kinds for kubectl, as ``all``.
        singular: as kubectl names one; empty for the kind in lower case.
    """

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool = True
    short: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ALL_VERBS
    subresources: tuple[str, ...] = ()
    generations: bool = False
    returns_deleted: bool = False
    custom: bool = False
    categories: tuple[str, ...] = ()
    singular: str = ""

    @cached_property
    def api_version(self) -> str:
        """``v1``, ``batch/v1``."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @cached_property
    def resource(self) -> str:
        """``pods``, ``jobs.batch``: what its objects are stored under."""
        return qualified(self.plural, self.group)

    def in_version(self, item: dict[str, Any]) -> dict[str, Any]:
        """An object that was written in another version of the group, as this one has it: with the same
        fields, as no version is converted."""
        if item.get("apiVersion") == self.api_version:
            return item
        return {**item, "apiVersion": self.api_version}

    @property
    def list_kind(self) -> str:
        return f"{self.kind}List"

    @property
    def has_status(self) -> bool:
        return "status" in self.subresources


def _core(kind: str, plural: str, namespaced: bool = True, **more: object) -> Kind:
    return Kind("", "v1", kind, plural, namespaced, **more)  # type: ignore[arg-type]


STATUS = ("status",)
SCALED = ("status", "scale")
RBAC, REVIEWS = "rbac.authorization.k8s.io", "authorization.k8s.io"

BUILT_IN = (
    _core("Namespace", "namespaces", False, short=("ns",), subresources=("status", "finalize")),
    _core("Node", "nodes", False, short=("no",), subresources=STATUS),
    _core(
        "Pod",
        "pods",
        short=("po",),
        subresources=("status", "log", "binding", "eviction", "ephemeralcontainers", "resize"),
        generations=True,
        returns_deleted=True,
        categories=("all",),
    ),
    _core(
        "Service", "services", short=("svc",), subresources=STATUS, returns_deleted=True, categories=("all",)
    ),
    _core("ServiceAccount", "serviceaccounts", short=("sa",), subresources=("token",), returns_deleted=True),
    _core("ConfigMap", "configmaps", short=("cm",)),
    _core("Secret", "secrets"),
    _core("Event", "events", short=("ev",)),
    _core("Endpoints", "endpoints", short=("ep",)),
    _core("LimitRange", "limitranges", short=("limits",)),
    _core("ResourceQuota", "resourcequotas", short=("quota",), subresources=STATUS, returns_deleted=True),
    _core(
        "PersistentVolumeClaim",
        "persistentvolumeclaims",
        short=("pvc",),
        subresources=STATUS,
        returns_deleted=True,
    ),
    _core(
        "PersistentVolume",
        "persistentvolumes",
        False,
        short=("pv",),
        subresources=STATUS,
        returns_deleted=True,
    ),
    Kind("batch", "v1", "Job", "jobs", subresources=STATUS, generations=True, categories=("all",)),
    Kind(
        "batch",
        "v1",
        "CronJob",
        "cronjobs",
        short=("cj",),
        subresources=STATUS,
        generations=True,
        categories=("all",),
    ),
    Kind(
        "apps",
        "v1",
        "Deployment",
        "deployments",
        short=("deploy",),
        subresources=SCALED,
        generations=True,
        categories=("all",),
    ),
    Kind(
        "apps",
        "v1",
        "ReplicaSet",
        "replicasets",
        short=("rs",),
        subresources=SCALED,
        generations=True,
        categories=("all",),
    ),
    Kind(
        "apps",
        "v1",
        "StatefulSet",
        "statefulsets",
        short=("sts",),
        subresources=SCALED,
        generations=True,
        categories=("all",),
    ),
    Kind(
        "apps",
        "v1",
        "DaemonSet",
        "daemonsets",
        short=("ds",),
        subresources=STATUS,
        generations=True,
        categories=("all",),
    ),
    Kind("coordination.k8s.io", "v1", "Lease", "leases"),
    Kind("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices", generations=True),
    Kind("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies", short=("netpol",), generations=True),
    Kind(
        "networking.k8s.io",
        "v1",
        "Ingress",
        "ingresses",
        short=("ing",),
        subresources=STATUS,
        generations=True,
    ),
    Kind(
        "policy",
        "v1",
        "PodDisruptionBudget",
        "poddisruptionbudgets",
        short=("pdb",),
        subresources=STATUS,
        generations=True,
    ),
    Kind(RBAC, "v1", "Role", "roles"),
    Kind(RBAC, "v1", "RoleBinding", "rolebindings"),
    Kind(RBAC, "v1", "ClusterRole", "clusterroles", False),
    Kind(RBAC, "v1", "ClusterRoleBinding", "clusterrolebindings", False),
    Kind("scheduling.k8s.io", "v1", "PriorityClass", "priorityclasses", False, short=("pc",)),
    Kind("storage.k8s.io", "v1", "StorageClass", "storageclasses", False, short=("sc",)),
    Kind(
        "apiextensions.k8s.io",
        "v1",
        "CustomResourceDefinition",
        "customresourcedefinitions",
        False,
        short=("crd", "crds"),
        subresources=STATUS,
        generations=True,
    ),
    Kind(REVIEWS, "v1", "SelfSubjectAccessReview", "selfsubjectaccessreviews", False, verbs=ASKED),
    Kind(REVIEWS, "v1", "SelfSubjectRulesReview", "selfsubjectrulesreviews", False, verbs=ASKED),
    Kind(REVIEWS, "v1", "SubjectAccessReview", "subjectaccessreviews", False, verbs=ASKED),
    Kind(REVIEWS, "v1", "LocalSubjectAccessReview", "localsubjectaccessreviews", verbs=ASKED),
    Kind("authentication.k8s.io", "v1", "SelfSubjectReview", "selfsubjectreviews", False, verbs=ASKED),
    Kind("authentication.k8s.io", "v1", "TokenReview", "tokenreviews", False, verbs=ASKED),
)


class Kinds:
    """The kinds that are served now."""

    def __init__(self) -> None:
        self._by_path = {(kind.group, kind.version, kind.plural): kind for kind in BUILT_IN}

    def __iter__(self) -> Iterator[Kind]:
        return iter(list(self._by_path.values()))

    def find(self, group: str, version: str, plural: str) -> Kind | None:
        """By its path."""
        return self._by_path.get((group, version, plural))

    def named(self, api_version: str, kind: str) -> Kind | None:
        """By what an object says it is."""
        return next((k for k in self if k.kind == kind and k.api_version == api_version), None)

    def of(self, resource: str) -> Kind:
        """By what its objects are stored under."""
        return next(kind for kind in self if kind.resource == resource)

    def add(self, kind: Kind) -> None:
        self._by_path[kind.group, kind.version, kind.plural] = kind

    def remove(self, group: str, plural: str) -> None:
        for key in [key for key in self._by_path if (key[0], key[2]) == (group, plural)]:
            del self._by_path[key]
