"""A pod template of one's own, merged under ours: it adds, and changes nothing that is ours."""

from pathlib import Path
from typing import Any

from mashbill.errors import ConfigError
from mashbill.launch.kubernetes.objects import Object

WHERE = "kubernetes.template"
OURS = "mashbill"
"""Name of the container that a job's command runs in."""
_PASSING = frozenset({"emptyDir", "configMap", "secret", "downwardAPI", "projected", "image", "ephemeral"})
"""Volumes that are a pod's own, or hold what is given."""
_KEYS = {
    "containers": "name",
    "initContainers": "name",
    "volumes": "name",
    "env": "name",
    "imagePullSecrets": "name",
    "volumeMounts": "mountPath",
    "ports": "containerPort",
}
"""By what the elements of a list are told apart."""
_JOINED = frozenset({"tolerations", "envFrom", "requiredDuringSchedulingIgnoredDuringExecution"})
"""Lists that are put one behind the other."""


def own_template(path: str) -> Object:
    """The metadata and spec of pods that a file holds, as a Pod, a PodTemplate, or alone.

    Raises:
        ConfigError: there is no such file, or it is no pod's.
    """
    import yaml

    try:
        given = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(WHERE, f"{path} can't be read ({error.strerror})", "name a YAML file") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(WHERE, f"{path} is no YAML", "mend it, or name another file") from error
    if isinstance(given, dict) and given.get("kind") not in (None, "Pod", "PodTemplate"):
        raise ConfigError(WHERE, f"{path} is a {given['kind']}", "give a Pod or a PodTemplate")
    if isinstance(given, dict) and isinstance(given.get("template"), dict):
        given = given["template"]
    if not isinstance(given, dict) or not isinstance(given.get("spec"), dict):
        raise ConfigError(WHERE, f"{path} has no spec of a pod", "give a Pod or a PodTemplate")
    metadata = given.get("metadata") or {}
    kept = {name: metadata[name] for name in ("labels", "annotations") if metadata.get(name)}
    return {"metadata": kept, "spec": given["spec"]}


def mounts_of(path: str) -> list[tuple[str, str, bool]]:
    """What a template of one's own mounts that outlives a pod: name of the volume, where, and whether it may
    only be read.

    Raises:
        ConfigError: as ``own_template``.
    """
    spec = own_template(path)["spec"]
    kept = {
        volume.get("name")
        for volume in spec.get("volumes") or ()
        if isinstance(volume, dict) and not _PASSING & volume.keys()
    }
    return [
        (str(mount["name"]), str(mount["mountPath"]), bool(mount.get("readOnly")))
        for container in spec.get("containers") or ()
        if isinstance(container, dict) and container.get("name") == OURS
        for mount in container.get("volumeMounts") or ()
        if mount.get("name") in kept and mount.get("mountPath")
    ]


def merged(ours: Object, theirs: Object) -> Object:
    """Ours, with what theirs has besides.

    Raises:
        ConfigError: both say something of the same thing, and not the same.
    """
    result: Object = _both(ours, theirs, "")
    return result


def _both(ours: Any, theirs: Any, path: str) -> Any:
    def beneath(name: str) -> Any:
        if theirs.get(name) is None:
            return ours[name]
        return _both(ours[name], theirs[name], f"{path}.{name}" if path else name)

    if isinstance(ours, dict) and isinstance(theirs, dict):
        return {**theirs, **{name: beneath(name) for name in ours}}
    name = path.rpartition(".")[2]
    if isinstance(ours, list) and isinstance(theirs, list):
        if name in _KEYS:
            return _by_key(ours, theirs, path)
        if name in _JOINED:
            return [*ours, *(element for element in theirs if element not in ours)]
    if ours != theirs:
        what = f"{path} is {theirs!r} and must be {ours!r}"
        raise ConfigError(WHERE, what, "leave it out, or set what the config has a field for")
    return ours


def _by_key(ours: list[Object], theirs: list[Object], path: str) -> list[Object]:
    """Two lists of things that have a name, those of the same name merged; ours come first."""
    key = _KEYS[path.rpartition(".")[2]]
    nameless = [element for element in theirs if not isinstance(element, dict) or key not in element]
    if nameless:
        raise ConfigError(WHERE, f"{path} has {nameless[0]!r} without {key}", f"give each its {key}")
    found = {element[key]: element for element in theirs}
    known = {element[key] for element in ours}
    merged_ones = [
        _both(element, found[element[key]], f"{path}[{element[key]}]") if element[key] in found else element
        for element in ours
    ]
    return merged_ones + [element for element in theirs if element[key] not in known]
