"""What a container is started with: its pod's volumes in their places, and a command that is there."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from builders.cluster.environment import ConfigError, expanded
from builders.cluster.images import Image
from builders.cluster.kinds import Object, key_of, status_of, uid_of
from builders.cluster.sandbox import Mount
from builders.cluster.statuses import Run

IS_ROOT = "container has runAsNonRoot and image will run as root"
NOT_STARTED = (
    "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create "
    "failed: unable to start container process: error during container init: "
)


def with_address(pod: Object, run: Run) -> Object:
    """A pod that knows where it is."""
    known = {"podIP": run.address, "podIPs": [{"ip": run.address}], "hostIP": run.node_address}
    return {**pod, "status": {**status_of(pod), **known}}


def mounts_of(spec: Object, run: Run, variables: Mapping[str, str]) -> list[Mount]:
    """What a container sees of its pod's volumes.

    Args:
        spec: of the container.
        run: of its pod.
        variables: of the container, for paths that name them.
    """
    found = []
    for one in spec.get("volumeMounts") or []:
        assert run.volumes is not None
        source = run.volumes[one["name"]]
        below = one.get("subPath") or expanded(one.get("subPathExpr") or "", variables)
        if below:
            source = source / below
            if not source.exists():
                source.mkdir(parents=True)
        found.append(Mount(source, Path(one["mountPath"]), bool(one.get("readOnly"))))
    folder = spec.get("workingDir")
    if folder and not Path(folder).exists() and not any(_covers(one, folder) for one in found):
        work = run.folder / "disk" / spec["name"]
        work.mkdir(parents=True, exist_ok=True)
        found.append(Mount(work, Path(folder)))
    return found


def _covers(mount: Mount, path: str) -> bool:
    return Path(path).is_relative_to(mount.target)


def check_user(pod: Object, spec: Object, image: Image) -> None:
    """See that a container is not root's where that is forbidden.

    Raises:
        ConfigError: it is.
    """
    wanted = {**(pod["spec"].get("securityContext") or {}), **(spec.get("securityContext") or {})}
    if wanted.get("runAsNonRoot") and wanted.get("runAsUser", image.user) == 0:
        namespace, name = key_of(pod)
        where = f'(pod: "{name}_{namespace}({uid_of(pod)})", container: {spec["name"]})'
        what = "container's runAsUser breaks non-root policy" if "runAsUser" in wanted else IS_ROOT
        raise ConfigError(f"{what} {where}")


def is_there(words: Sequence[str], path: str, mounts: Sequence[Mount]) -> bool:
    """Whether a program is in the image, or may be in a volume."""
    if not words:
        return False
    return any(_covers(one, words[0]) for one in mounts) or shutil.which(words[0], path=path) is not None


def not_there(words: Sequence[str]) -> str:
    """What a container runtime says of a program that is not in the image."""
    if not words:
        return "no command specified"
    name = words[0]
    why = f"stat {name}: no such file or directory" if "/" in name else "executable file not found in $PATH"
    return f'{NOT_STARTED}exec: "{name}": {why}'
