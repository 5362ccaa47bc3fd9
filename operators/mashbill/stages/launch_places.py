"""Whether jobs elsewhere see what lies on this machine: the artifact root, and the files that stages read.

Pods see volumes, hosts say themselves what they see; of a Ray cluster only what can be known here is known:
its address, the mounts of this machine, and what the config says.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from mashbill.config import LaunchConfig
from mashbill.config.launch import KUBERNETES, VolumeConfig
from mashbill.errors import ConfigError, MashbillError
from mashbill.launch.kubernetes.template import mounts_of
from mashbill.launch.sight import is_exported, is_here, mount_of
from mashbill.storage import LOCAL, scheme_of

Sees = Callable[[LaunchConfig, Path, bool], Mapping[str, str]]
_PODS = (
    "give an s3:// address, or have a volume over it, by launch.{stage}.kubernetes.volumes or its template"
)
_NODES = "give an s3:// address, or name a folder over it that they have too in launch.{stage}.ray.shared"
_HOSTS = "give an s3:// address, or mount a folder of all these machines at the same path"


class Places:
    """What the jobs of a config see; each host is asked once for a path.

    Args:
        ask: what each host lacks of a path, which jobs write there or do not; it asks the hosts.
    """

    def __init__(self, ask: Sees) -> None:
        self._ask, self._told = ask, dict[tuple[str, Path, bool], Mapping[str, str]]()

    def reached(self, root: str, stage: str, takes: LaunchConfig) -> str:
        """How the jobs of a stage reach the artifact root.

        Raises:
            ConfigError: they do not.
        """
        if scheme_of(root) != LOCAL:
            return f"{root} is reached from anywhere"
        return self._looked(Path(root), stage, takes, where="artifacts", writes=True)

    def seen(self, path: Path, stage: str, takes: LaunchConfig) -> str:
        """How the jobs of a stage see a file or folder of this machine.

        Raises:
            ConfigError: they do not.
        """
        return self._looked(path, stage, takes, where=str(path), writes=False)

    def _looked(self, path: Path, stage: str, takes: LaunchConfig, *, where: str, writes: bool) -> str:
        if takes.backend in KUBERNETES:
            return _by_pods(path, stage, takes, where=where, writes=writes)
        if takes.backend == "ray":
            return _by_nodes(path, stage, takes, where=where)
        return self._by_hosts(path, stage, takes, where=where, writes=writes)

    def _by_hosts(self, path: Path, stage: str, takes: LaunchConfig, *, where: str, writes: bool) -> str:
        key = takes.ssh.model_dump_json(), path, writes
        if key not in self._told:
            self._told[key] = self._ask(takes, path, writes)
        lacking = {host: how for host, how in self._told[key].items() if how}
        if not lacking:
            return f"{path} is seen by the hosts of {stage}"
        host, how = next(iter(lacking.items()))
        others = f" ({len(lacking)} of {len(takes.ssh.hosts)} hosts lack it)" if len(lacking) > 1 else ""
        raise ConfigError(where, f"{path} is on this machine, and host {host} {how}{others}", _HOSTS)


def _by_pods(path: Path, stage: str, takes: LaunchConfig, *, where: str, writes: bool) -> str:
    volume = next((one for one in _volumes(takes) if path.is_relative_to(one.path)), None)
    mend = _PODS.format(stage=stage)
    if volume is None:
        what = f"{path} is a folder of this machine, which the pods of {stage} do not see"
        if not writes:
            what = f"{path} is on this machine, and the pods of {stage} do not see it"
            mend = f"put it at an s3:// address, or on a volume of launch.{stage}.kubernetes.volumes"
        raise ConfigError(where, what, mend)
    if volume.read_only and writes:
        what = f"{path} is on volume {volume.claim}, which the pods of {stage} may only read"
        raise ConfigError(where, what, f"leave read_only out of launch.{stage}.kubernetes.volumes")
    return f"{path} is on volume {volume.claim} of the pods of {stage}"


def _volumes(takes: LaunchConfig) -> Iterator[VolumeConfig]:
    yield from takes.kubernetes.volumes
    if takes.kubernetes.template:
        with suppress(ConfigError):  # the backend tells of it
            for name, path, read_only in mounts_of(takes.kubernetes.template):
                yield VolumeConfig(claim=name, path=path, read_only=read_only)


def _by_nodes(path: Path, stage: str, takes: LaunchConfig, *, where: str) -> str:
    address = takes.ray.address or ""
    nodes = f"the nodes of the Ray cluster at {address}"
    shared = next((one for one in takes.ray.shared if path.is_relative_to(one)), None)
    if shared is not None:
        return f"{path} is in {shared}, which {nodes} have too"
    if is_here(urlsplit(address if "://" in address else f"http://{address}").hostname or ""):
        return f"{path} is on this machine, as the Ray cluster at {address} is"
    mount = mount_of(path)
    if mount.of_the_network:
        return f"{path} is on {mount.kind} ({mount.source}), which {nodes} must have at {mount.path} too"
    if is_exported(path):
        return f"{path} is exported by this machine, and {nodes} must have it at the same path"
    what = f"{path} is on a disk of this machine ({mount.kind}), which {nodes} do not see"
    raise ConfigError(where, what, _NODES.format(stage=stage))


def asked_hosts(takes: LaunchConfig, path: Path, writes: bool) -> Mapping[str, str]:
    """What each host lacks of a path, in words, none where it lacks nothing; hosts that cannot be asked are
    told of by their backend, and a folder that cannot be written here by the store's own check."""
    from mashbill.launch.ssh_sight import unseen

    away = [name for name, machine in _machines(takes) if not is_here(machine)]
    try:
        return unseen(takes.ssh, away, path, writes=writes) if away else {}
    except (MashbillError, OSError):
        return {}


def _machines(takes: LaunchConfig) -> Iterator[tuple[str, str]]:
    from mashbill.launch.ssh_host import Host

    for name in takes.ssh.hosts:
        yield name, Host(name, "", "").machine
