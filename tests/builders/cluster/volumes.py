"""A pod's volumes as folders: empty ones, claims that outlive pods, secrets, config maps, pods' fields."""

from collections.abc import Callable
from pathlib import Path

from builders.cluster.environment import Read, content, field_of
from builders.cluster.kinds import Object, key_of


class MountError(Exception):
    """A volume that cannot be set up, in the kubelet's words."""


def prepared(pod: Object, places: tuple[Path, Path], read: Read, token: Callable[[], str]) -> dict[str, Path]:
    """Folders of a pod's volumes by their names.

    Args:
        pod: as it is.
        places: for volumes that go with the pod, and for claims.
        read: what reads secrets and config maps.
        token: what gives a token of the pod's account.
    Raises:
        MountError: something that is not optional is not there.
    """
    return {
        volume["name"]: _folder(volume, pod, places, (read, token))
        for volume in pod["spec"].get("volumes") or []
    }


def _folder(
    volume: Object, pod: Object, places: tuple[Path, Path], sources: tuple[Read, Callable[[], str]]
) -> Path:
    folder, claims = places[0] / volume["name"], places[1]
    read, token = sources
    claim = volume.get("persistentVolumeClaim")
    if claim:
        folder = claims / key_of(pod)[0] / claim["claimName"]
    elif "hostPath" in volume:
        return Path(volume["hostPath"]["path"])
    folder.mkdir(parents=True, exist_ok=True)
    if "secret" in volume:
        source = {**volume["secret"], "name": volume["secret"]["secretName"]}
        _write(folder, "Secret", source, volume["name"], read)
    elif "configMap" in volume:
        _write(folder, "ConfigMap", volume["configMap"], volume["name"], read)
    elif "downwardAPI" in volume:
        _write_fields(folder, volume["downwardAPI"], pod)
    for source in (volume.get("projected") or {}).get("sources", []):
        if "secret" in source:
            _write(folder, "Secret", source["secret"], volume["name"], read)
        elif "configMap" in source:
            _write(folder, "ConfigMap", source["configMap"], volume["name"], read)
        elif "downwardAPI" in source:
            _write_fields(folder, source["downwardAPI"], pod)
        elif "serviceAccountToken" in source:
            (folder / source["serviceAccountToken"].get("path", "token")).write_text(token())
    return folder


def _write(folder: Path, kind: str, source: Object, volume: str, read: Read) -> None:
    thing = read(kind, source["name"])
    failed = f'MountVolume.SetUp failed for volume "{volume}" : '
    if thing is None:
        if source.get("optional") or source["name"] == "kube-root-ca.crt":
            return
        raise MountError(f'{failed}{kind.lower()} "{source["name"]}" not found')
    found = content(thing)
    items = source.get("items") or [{"key": name, "path": name} for name in found]
    for item in items:
        if item["key"] not in found:
            if source.get("optional"):
                continue
            raise MountError(f"{failed}references non-existent {kind.lower()} key: {item['key']}")
        path = folder / item["path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(found[item["key"]])


def _write_fields(folder: Path, source: Object, pod: Object) -> None:
    for item in source.get("items") or []:
        if "fieldRef" in item:
            path = folder / item["path"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(field_of(pod, item["fieldRef"]["fieldPath"]))
