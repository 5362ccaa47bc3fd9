"""A container's environment, as its pod's spec says it: values, fields of the pod, secrets, config maps."""

import base64
import re
from collections.abc import Callable, Mapping, Sequence

from builders.cluster.kinds import Object, annotations_of, key_of, labels_of, status_of, uid_of
from builders.cluster.quantities import thousandths

Read = Callable[[str, str], Object | None]
"""An object of the pod's namespace, by kind and name."""
REFERENCE = re.compile(r"\$\$|\$\(([-._a-zA-Z][-._a-zA-Z0-9]*)\)")
SUBSCRIPT = re.compile(r"^metadata\.(labels|annotations)\['(.+)'\]$")
WORDS = {"Secret": "secret", "ConfigMap": "configmap"}


class ConfigError(Exception):
    """What a container needs and is not there, in the kubelet's words."""


def environment_of(container: Object, pod: Object, read: Read) -> dict[str, str]:
    """Variables that a container's spec gives it.

    Raises:
        ConfigError: a secret, a config map or a key that is not optional is not there.
    """
    found: dict[str, str] = {}
    for source in container.get("envFrom") or []:
        for field, kind in (("secretRef", "Secret"), ("configMapRef", "ConfigMap")):
            if field in source:
                values = _values(kind, source[field], read)
                found |= {source.get("prefix", "") + name: value for name, value in values.items()}
    for variable in container.get("env") or []:
        value = _value(variable, container, pod, read)
        if value is not None:
            found[variable["name"]] = expanded(value, found)
    return found


def expanded(text: str, variables: Mapping[str, str]) -> str:
    """A text with ``$(NAME)`` replaced by variables; what is not known stays, ``$$`` is a dollar sign."""

    def put(found: re.Match[str]) -> str:
        if found[0] == "$$":
            return "$"
        return variables.get(found[1], found[0])

    return REFERENCE.sub(put, text)


def command_of(container: Object, entrypoint: Sequence[str], variables: Mapping[str, str]) -> list[str]:
    """What a container starts: its command or the image's entry point, with its arguments."""
    words = [*(container.get("command") or entrypoint), *(container.get("args") or [])]
    return [expanded(word, variables) for word in words]


def content(thing: Object) -> dict[str, bytes]:
    """Keys of a secret or a config map."""
    if thing["kind"] == "Secret":
        return {name: base64.b64decode(value) for name, value in (thing.get("data") or {}).items()}
    found = {name: value.encode() for name, value in (thing.get("data") or {}).items()}
    return found | {n: base64.b64decode(v) for n, v in (thing.get("binaryData") or {}).items()}


def _values(kind: str, reference: Object, read: Read) -> dict[str, str]:
    thing = read(kind, reference["name"])
    if thing is None:
        if reference.get("optional"):
            return {}
        raise ConfigError(f'{WORDS[kind]} "{reference["name"]}" not found')
    return {name: value.decode() for name, value in content(thing).items()}


def _value(variable: Object, container: Object, pod: Object, read: Read) -> str | None:
    source = variable.get("valueFrom")
    if not source:
        return variable.get("value", "")
    for field, kind in (("secretKeyRef", "Secret"), ("configMapKeyRef", "ConfigMap")):
        if field in source:
            reference = source[field]
            found = _values(kind, reference, read)
            if reference["key"] in found:
                return found[reference["key"]]
            if reference.get("optional"):
                return None
            where = f"{key_of(pod)[0]}/{reference['name']}"
            raise ConfigError(f"couldn't find key {reference['key']} in {kind} {where}")
    if "fieldRef" in source:
        return field_of(pod, source["fieldRef"]["fieldPath"])
    return _amount(source["resourceFieldRef"], container, pod)


def field_of(pod: Object, path: str) -> str:
    """A field of a pod, by its path."""
    subscript = SUBSCRIPT.match(path)
    if subscript:
        values = labels_of(pod) if subscript[1] == "labels" else annotations_of(pod)
        return values.get(subscript[2], "")
    spec, status = pod["spec"], status_of(pod)
    known = {
        "metadata.name": key_of(pod)[1],
        "metadata.namespace": key_of(pod)[0],
        "metadata.uid": uid_of(pod),
        "spec.nodeName": spec.get("nodeName", ""),
        "spec.serviceAccountName": spec.get("serviceAccountName", "default"),
        "status.podIP": status.get("podIP", ""),
        "status.podIPs": ",".join(one["ip"] for one in status.get("podIPs", [])),
        "status.hostIP": status.get("hostIP", ""),
        "status.hostIPs": status.get("hostIP", ""),
        "metadata.labels": _written(labels_of(pod)),
        "metadata.annotations": _written(annotations_of(pod)),
    }
    return known[path]


def _written(values: Mapping[str, str]) -> str:
    return "\n".join(f'{name}="{value}"' for name, value in sorted(values.items()))


def _amount(reference: Object, container: Object, pod: Object) -> str:
    named = reference.get("containerName")
    if named:
        container = next(one for one in pod["spec"]["containers"] if one["name"] == named)
    group, _, name = reference["resource"].partition(".")
    amount = ((container.get("resources") or {}).get(group) or {}).get(name, "0")
    divisor = thousandths(str(reference.get("divisor", "1"))) or 1000
    return str(-(-thousandths(amount) // divisor))
