"""What stands between a valid object and the store: namespaces, service accounts, priorities, quotas."""

from typing import Any

from builders.kube.access import Access
from builders.kube.calls import User
from builders.kube.kinds import RBAC, Kind
from builders.kube.metadata import random_suffix
from builders.kube.pod_security import check_security
from builders.kube.quotas import check_quota, fill_limits
from builders.kube.status import ApiError, forbidden, not_found
from builders.kube.store import Object, Store

TOKENS = "/var/run/secrets/kubernetes.io/serviceaccount"
SYSTEM_PRIORITIES = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}
PATIENCE = [
    {
        "key": f"node.kubernetes.io/{taint}",
        "operator": "Exists",
        "effect": "NoExecute",
        "tolerationSeconds": 300,
    }
    for taint in ("not-ready", "unreachable")
]


class Admission:
    """Refuses or completes what is to be stored."""

    def __init__(self, store: Store, access: Access) -> None:
        self.store, self.access = store, access

    def create(self, kind: Kind, item: Object, user: User) -> None:
        """A new object, which may be completed.

        Raises:
            ApiError: 403 or 404.
        """
        if kind.namespaced:
            self._namespace(kind, item)
        if kind.resource == "pods":
            self._account(item)
            self._priority(item)
            tolerations = item["spec"].setdefault("tolerations", [])
            had = {(toleration.get("key"), toleration.get("effect")) for toleration in tolerations}
            tolerations += [one for one in PATIENCE if (one["key"], one["effect"]) not in had]
            fill_limits(self.store, item)
        elif kind.group == RBAC:
            self.access.check_grant(user, item)
        elif kind.resource == "trainjobs.trainer.kubeflow.org":
            self._runtime(item)

    def accept(self, kind: Kind, item: Object) -> None:
        """A new object that is valid: what its namespace has left, and how its pods must be.

        Raises:
            ApiError: 403.
        """
        if kind.resource == "pods":
            check_security(self.store, item)
        if kind.namespaced:
            check_quota(self.store, kind, item)

    def update(self, kind: Kind, item: Object, before: Object, user: User) -> None:
        """A change of an object.

        Raises:
            ApiError: 403.
        """
        if kind.group == RBAC and any(item.get(name) != before.get(name) for name in ("rules", "subjects")):
            self.access.check_grant(user, item)

    def _namespace(self, kind: Kind, item: Object) -> None:
        name = item["metadata"]["namespace"]
        namespace = self.store.get("namespaces", ("", name))
        if namespace is None:
            raise not_found(name, "", "namespaces")
        if namespace["status"]["phase"] == "Terminating":
            words = f"unable to create new content in namespace {name} because it is being terminated"
            error = forbidden(item["metadata"].get("name", ""), kind.group, kind.plural, words)
            cause = {"reason": "NamespaceTerminating", "message": f"namespace {name} is being terminated"}
            error.details["causes"] = [{**cause, "field": "metadata.namespace"}]
            raise error

    def _account(self, pod: Object) -> None:
        spec, metadata = pod["spec"], pod["metadata"]
        name = spec.setdefault("serviceAccountName", "default")
        spec["serviceAccount"] = name
        account = self.store.get("serviceaccounts", (metadata["namespace"], name))
        if account is None:
            words = (
                f"error looking up service account {metadata['namespace']}/{name}: "
                f'serviceaccount "{name}" not found'
            )
            raise forbidden(metadata.get("name", ""), "", "pods", words)
        if "imagePullSecrets" in account and not spec.get("imagePullSecrets"):
            spec["imagePullSecrets"] = account["imagePullSecrets"]
        mounts = spec.get("automountServiceAccountToken", account.get("automountServiceAccountToken", True))
        if mounts and spec.get("containers"):
            _mount_token(spec)

    def _priority(self, pod: Object) -> None:
        spec = pod["spec"]
        name = spec.get("priorityClassName")
        if name in SYSTEM_PRIORITIES:
            spec["priority"] = SYSTEM_PRIORITIES[name]
            return
        found = self.store.get("priorityclasses.scheduling.k8s.io", ("", name or ""))
        if name and found is None:
            words = f"no PriorityClass with name {name} was found"
            raise forbidden(pod["metadata"].get("name", ""), "", "pods", words)
        spec["priority"] = found["value"] if found else 0
        spec.setdefault("preemptionPolicy", (found or {}).get("preemptionPolicy", "PreemptLowerPriority"))

    def _runtime(self, job: Object) -> None:
        reference = job["spec"]["runtimeRef"]
        resource = f"{reference['kind'].lower()}s.trainer.kubeflow.org"
        namespace = job["metadata"]["namespace"] if reference["kind"] == "TrainingRuntime" else ""
        if self.store.get(resource, (namespace, reference["name"])) is None:
            told = f'{reference["kind"]}.trainer.kubeflow.org "{reference["name"]}" not found'
            raise refused_by_webhook(
                "validator.trainjob.trainer.kubeflow.org",
                f"spec.runtimeRef: Invalid value: {_go_struct(reference)}: {told}: referenced runtime must "
                "be created before the TrainJob is created",
            )


def refused_by_webhook(webhook: str, words: str) -> ApiError:
    """How the server tells what a webhook did not allow."""
    return ApiError(403, "Forbidden", f'admission webhook "{webhook}" denied the request: {words}')


def _go_struct(reference: dict[str, Any]) -> str:
    return "{" + ", ".join(f'"{key}":"{value}"' for key, value in reference.items()) + "}"


def _mount_token(spec: Object) -> None:
    for container in [*spec["containers"], *spec.get("initContainers", [])]:
        if any(mount.get("mountPath") == TOKENS for mount in container.get("volumeMounts", [])):
            return
    name = f"kube-api-access-{random_suffix()}"
    root = {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}
    field = {"apiVersion": "v1", "fieldPath": "metadata.namespace"}
    sources = [
        {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
        {"configMap": root},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": field}]}},
    ]
    spec.setdefault("volumes", []).append(
        {"name": name, "projected": {"defaultMode": 420, "sources": sources}}
    )
    for container in [*spec["containers"], *spec.get("initContainers", [])]:
        mounts = container.setdefault("volumeMounts", [])
        mounts.append({"name": name, "readOnly": True, "mountPath": TOKENS})
