"""Whether other machines see a folder of this one: what can be known here, by addresses, mounts and exports.

A mount of the network is seen where it is mounted alike; a folder that this machine exports, where others
mount it. Whether they do is theirs to say.
"""

import os
import re
import socket
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

MOUNTS = Path("/proc/self/mounts")
EXPORTS = (Path("/var/lib/nfs/etab"), Path("/etc/exports"))
OF_THE_NETWORK = frozenset(
    (
        *("nfs", "nfs4", "cifs", "smb3", "smbfs", "ceph", "lustre", "glusterfs", "beegfs", "gpfs", "afs"),
        *("9p", "virtiofs", "pvfs2", "orangefs", "wekafs", "gfs2", "ocfs2", "panfs", "davfs", "fuse"),
    )
)
"""Types of file systems that several machines may mount; those of FUSE are known by their beginning."""
FUSE = "fuse."
_ESCAPED = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True)
class Mount:
    """A mounted file system.

    Attributes:
        path: where it is mounted; kind: its type; source: what of.
    """

    path: str
    kind: str
    source: str

    @property
    def of_the_network(self) -> bool:
        """Whether other machines may have it too."""
        return self.kind in OF_THE_NETWORK or self.kind.startswith(FUSE)


def is_here(host: str) -> bool:
    """Whether all addresses of a host are this machine's: those that a socket can be bound to."""
    try:
        found = socket.getaddrinfo(host, 0, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError):
        return False
    return bool(found) and all(_is_ours(family, address) for family, _, _, _, address in found)


def mount_of(path: Path) -> Mount:
    """The file system that a path is on, or would be."""
    there = nearest(path).resolve()
    found = [mount for mount in _mounts() if there.is_relative_to(mount.path)]
    return max(found, key=lambda mount: len(mount.path), default=Mount("/", "unknown", ""))


def is_exported(path: Path) -> bool:
    """Whether this machine exports the path, or a folder above it, by NFS."""
    there = nearest(path).resolve()
    exported = []
    for table in EXPORTS:
        with suppress(OSError):
            lines = table.read_text(encoding="utf-8", errors="replace").splitlines()
            exported += [line.split()[0].strip('"') for line in lines if line.strip()[:1] in {"/", '"'}]
    return any(there.is_relative_to(_plain(folder)) for folder in exported)


def nearest(path: Path) -> Path:
    """The path, or the first folder above it that is there."""
    return next(one for one in (path, *path.absolute().parents) if one.exists())


def _is_ours(family: int, address: tuple[object, ...]) -> bool:
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as tried:
            tried.bind((address[0], 0, *address[2:]))
    except OSError:
        return False
    return True


def _mounts() -> list[Mount]:
    try:
        lines = MOUNTS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    rows = [line.split() for line in lines]
    return [Mount(_plain(row[1]), row[2], _plain(row[0])) for row in rows if len(row) >= 3]


def _plain(text: str) -> str:
    """A path as it is: in these tables blanks are octal numbers."""
    return os.path.normpath(_ESCAPED.sub(lambda found: chr(int(found[1], 8)), text))
