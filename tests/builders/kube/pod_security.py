"""Pod security standards, which a namespace enforces by a label: baseline and restricted.

Source: https://kubernetes.io/docs/concepts/security/pod-security-standards/
"""

from collections.abc import Iterator
from typing import Any

from builders.kube.status import forbidden
from builders.kube.store import Object, Store

ENFORCED = "pod-security.kubernetes.io/enforce"
VOLUMES = frozenset(
    {
        *("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected"),
        *("secret", "image"),
    }
)
HARMLESS = frozenset(
    {
        *("AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE"),
        *("SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"),
    }
)


def check_security(store: Store, pod: Object) -> None:
    """Refuse a pod that its namespace does not allow.

    Raises:
        ApiError: 403.
    """
    namespace = store.get("namespaces", ("", pod["metadata"]["namespace"])) or {"metadata": {}}
    level = (namespace["metadata"].get("labels") or {}).get(ENFORCED, "privileged")
    found = list(violations(pod["spec"], level))
    if found:
        words = f'violates PodSecurity "{level}:latest": {", ".join(found)}'
        raise forbidden(pod["metadata"].get("name", ""), "", "pods", words)


def violations(spec: Object, level: str) -> Iterator[str]:
    """What of a pod's spec a level does not allow, in its words."""
    if level in ("baseline", "restricted"):
        yield from _baseline(spec)
    if level == "restricted":
        yield from _restricted(spec)


def _baseline(spec: Object) -> Iterator[str]:
    hosts = [name for name in ("hostNetwork", "hostPID", "hostIPC") if spec.get(name)]
    if hosts:
        yield f"host namespaces ({', '.join(f'{name}=true' for name in hosts)})"
    for container in _containers(spec):
        context, name = container.get("securityContext") or {}, container["name"]
        if context.get("privileged"):
            yield f'privileged (container "{name}" must not set securityContext.privileged=true)'
        added = set((context.get("capabilities") or {}).get("add") or ()) - HARMLESS
        if added:
            told = ", ".join(f'"{one}"' for one in sorted(added))
            yield f'non-default capabilities (container "{name}" must not include {told} in its added ones)'
        if any(port.get("hostPort") for port in container.get("ports", [])):
            yield f'hostPort (container "{name}" uses host ports)'
    if any("hostPath" in volume for volume in spec.get("volumes", [])):
        yield "hostPath volumes"


def _restricted(spec: Object) -> Iterator[str]:
    whole = spec.get("securityContext") or {}
    for volume in spec.get("volumes", []):
        kinds = set(volume) - {"name"} - VOLUMES
        if kinds:
            told = f'volume "{volume["name"]}" uses restricted volume type "{min(kinds)}"'
            yield f"restricted volume types ({told})"
    for container in _containers(spec):
        yield from _restricted_container(container, whole)


def _restricted_container(container: Object, whole: Object) -> Iterator[str]:
    context, name = container.get("securityContext") or {}, container["name"]
    if context.get("allowPrivilegeEscalation") is not False:
        yield (
            f'allowPrivilegeEscalation != false (container "{name}" must set '
            "securityContext.allowPrivilegeEscalation=false)"
        )
    capabilities: dict[str, Any] = context.get("capabilities") or {}
    if "ALL" not in (capabilities.get("drop") or ()):
        yield (
            f'unrestricted capabilities (container "{name}" must set '
            'securityContext.capabilities.drop=["ALL"])'
        )
    if set(capabilities.get("add") or ()) - {"NET_BIND_SERVICE"}:
        yield f'unrestricted capabilities (container "{name}" must not add capabilities)'
    if not context.get("runAsNonRoot", whole.get("runAsNonRoot")):
        yield (f'runAsNonRoot != true (pod or container "{name}" must set securityContext.runAsNonRoot=true)')
    if context.get("runAsUser", whole.get("runAsUser")) == 0:
        yield f'runAsUser=0 (pod or container "{name}" must not set runAsUser=0)'
    profile = (context.get("seccompProfile") or whole.get("seccompProfile") or {}).get("type")
    if profile not in ("RuntimeDefault", "Localhost"):
        yield (
            f'seccompProfile (pod or container "{name}" must set securityContext.seccompProfile.type to '
            '"RuntimeDefault" or "Localhost")'
        )


def _containers(spec: Object) -> list[Object]:
    return [*spec.get("initContainers", []), *spec.get("containers", [])]
