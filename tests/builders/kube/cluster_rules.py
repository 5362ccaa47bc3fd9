"""Rules of the kinds around the work: services, secrets, namespaces, claims, bindings, workloads."""

import base64
import ipaddress
import itertools
from collections.abc import Iterator
from typing import Any

from builders.kube.kinds import RBAC
from builders.kube.pod_rules import fill_spec, template_causes
from builders.kube.selectors import matches_labels
from builders.kube.status import Cause, not_allowed, required, wrong

Object = dict[str, Any]
_ADDRESSES = (
    str(address) for address in itertools.islice(ipaddress.ip_network("10.96.0.0/12").hosts(), 10, None)
)
SERVICE_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")


def fill_service(service: Object) -> None:
    spec = service["spec"]
    defaults = {"type": "ClusterIP", "sessionAffinity": "None", "internalTrafficPolicy": "Cluster"}
    for name, value in defaults.items():
        spec.setdefault(name, value)
    for port in spec.get("ports", []):
        port.setdefault("protocol", "TCP")
        port.setdefault("targetPort", port["port"])


def begin_service(service: Object) -> None:
    """An address of its own, unless it is headless."""
    spec = service["spec"]
    if spec.get("type") != "ExternalName":
        address = spec.setdefault("clusterIP", next(_ADDRESSES))
        spec.setdefault("clusterIPs", [address])
        spec.setdefault("ipFamilies", ["IPv4"])
        spec.setdefault("ipFamilyPolicy", "SingleStack")
    service["status"] = {"loadBalancer": {}}


def service_causes(service: Object, before: Object | None, subresource: str = "") -> Iterator[Cause]:
    spec = service["spec"]
    if not spec.get("ports") and spec.get("clusterIP") != "None" and spec["type"] != "ExternalName":
        yield required("spec.ports")
    for index, port in enumerate(spec.get("ports", [])):
        if not 0 < port["port"] < 65_536:
            yield wrong(f"spec.ports[{index}].port", port["port"], "must be between 1 and 65535, inclusive")
        if len(spec["ports"]) > 1 and not port.get("name"):
            yield required(f"spec.ports[{index}].name")
    if before and spec.get("clusterIP") != before["spec"].get("clusterIP"):
        words = "may not change once set"
        yield wrong("spec.clusterIPs[0]", spec.get("clusterIP"), words)


def fill_secret(secret: Object) -> None:
    """``stringData`` becomes ``data``, as nothing else is ever read back."""
    secret.setdefault("type", "Opaque")
    for name, value in secret.pop("stringData", {}).items():
        secret.setdefault("data", {})[name] = base64.b64encode(value.encode()).decode()


def data_causes(item: Object, before: Object | None, subresource: str = "") -> Iterator[Cause]:
    """Of config maps and secrets: their keys, and that what is immutable stays."""
    for group in ("data", "binaryData"):
        for key in item.get(group, {}):
            if not key or not all(letter.isalnum() or letter in "-_." for letter in key):
                yield wrong(
                    f"{group}[{key}]",
                    key,
                    "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
                )
    if before and before.get("type") != item.get("type"):
        yield wrong("type", item.get("type"), "field is immutable")
    if before and before.get("immutable"):
        if not item.get("immutable"):
            yield not_allowed("immutable", "field is immutable when `immutable` is set")
        for group in ("data", "binaryData"):
            if item.get(group) != before.get(group):
                yield not_allowed(group, "field is immutable when `immutable` is set")


def begin_namespace(namespace: Object) -> None:
    namespace["spec"] = {"finalizers": ["kubernetes"]}
    namespace["status"] = {"phase": "Active"}


def fill_namespace(namespace: Object) -> None:
    labels = namespace["metadata"].setdefault("labels", {})
    labels["kubernetes.io/metadata.name"] = namespace["metadata"]["name"]


def fill_claim(claim: Object) -> None:
    claim["spec"].setdefault("volumeMode", "Filesystem")


def begin_claim(claim: Object) -> None:
    claim["status"] = {"phase": "Pending"}


def claim_causes(claim: Object, before: Object | None, subresource: str = "") -> Iterator[Cause]:
    spec = claim["spec"]
    if not spec.get("accessModes"):
        yield required("spec.accessModes", "at least 1 access mode is required")
    if not ((spec.get("resources") or {}).get("requests") or {}).get("storage"):
        yield required("spec.resources[storage]")
    if before:
        free = ("resources", "volumeName", "volumeAttributesClassName")
        frozen = [{k: v for k, v in one["spec"].items() if k not in free} for one in (claim, before)]
        if frozen[0] != frozen[1]:
            words = (
                "spec is immutable after creation except resources.requests and volumeAttributesClassName "
                "for bound claims"
            )
            yield not_allowed("spec", words)


def fill_binding(binding: Object) -> None:
    """Groups of a binding's role and subjects."""
    binding.setdefault("roleRef", {}).setdefault("apiGroup", RBAC)
    for subject in binding.get("subjects", []):
        subject.setdefault("apiGroup", "" if subject["kind"] == "ServiceAccount" else RBAC)
        if not subject["apiGroup"]:
            del subject["apiGroup"]


def binding_causes(binding: Object, before: Object | None, subresource: str = "") -> Iterator[Cause]:
    for index, subject in enumerate(binding.get("subjects", [])):
        if subject["kind"] == "ServiceAccount" and not subject.get("namespace"):
            yield required(f"subjects[{index}].namespace")
    role = binding["roleRef"]
    kinds = ["ClusterRole"] if binding["kind"] == "ClusterRoleBinding" else ["Role", "ClusterRole"]
    if role.get("kind") not in kinds:
        names = ", ".join(f'"{kind}"' for kind in kinds)
        yield Cause(
            "roleRef.kind",
            "FieldValueNotSupported",
            f'Unsupported value: "{role.get("kind")}": supported values: {names}',
        )
    if before and role != before["roleRef"]:
        yield wrong("roleRef", role, "cannot change roleRef")


def fill_workload(workload: Object) -> None:
    spec = workload["spec"]
    if workload["kind"] != "DaemonSet":
        spec.setdefault("replicas", 1)
    spec.setdefault("revisionHistoryLimit", 10)
    if workload["kind"] == "Deployment":
        spec.setdefault("progressDeadlineSeconds", 600)
        spec.setdefault(
            "strategy",
            {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
        )
    if workload["kind"] == "StatefulSet":
        spec.setdefault("podManagementPolicy", "OrderedReady")
        spec.setdefault("updateStrategy", {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}})
        spec.setdefault(
            "persistentVolumeClaimRetentionPolicy", {"whenDeleted": "Retain", "whenScaled": "Retain"}
        )
    if "spec" in spec["template"]:
        fill_spec(spec["template"]["spec"])


def workload_causes(workload: Object, before: Object | None, subresource: str = "") -> Iterator[Cause]:
    spec = workload["spec"]
    template = spec.get("template", {})
    if "spec" not in template:
        yield required("spec.template.spec.containers")
        return
    yield from template_causes(template, "spec.template")
    restarts = template["spec"].get("restartPolicy")
    if restarts != "Always":
        yield Cause(
            "spec.template.spec.restartPolicy",
            "FieldValueNotSupported",
            f'Unsupported value: "{restarts}": supported values: "Always"',
        )
    labels = template.get("metadata", {}).get("labels", {})
    if not matches_labels(spec["selector"], labels):
        yield wrong("spec.template.metadata.labels", labels, "`selector` does not match template `labels`")
    if before and spec["selector"] != before["spec"]["selector"]:
        yield wrong("spec.selector", spec["selector"], "field is immutable")
