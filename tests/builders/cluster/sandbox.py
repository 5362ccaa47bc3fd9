"""What a container's process sees of this machine: its own mounts, hosts file, name and process ids.

A new root is made of the folders of the real one; where a volume's place does not exist, the folder that it
would lie in is made anew of what is in it, so that nothing is written into the machine. The kernel ends all
processes of a container with its first, and that with the process which started it.
"""

import functools
import os
import shlex
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

APART = ("--mount", "--uts", "--propagation", "private")


@dataclass(frozen=True)
class Mount:
    """A folder or file that lies elsewhere in the container.

    Attributes:
        source: where it is.
        target: where the container sees it.
        read_only: whether it may only be read.
    """

    source: Path
    target: Path
    read_only: bool = False


@dataclass(frozen=True)
class Sandbox:
    """What a container is started in.

    Attributes:
        root: an empty folder, over which its root is made.
        hosts: its ``/etc/hosts``, which may change while it runs.
        name: its host name.
        mounts: its volumes.
        visible: folders that it sees whatever is mounted over what they lie in.
        read_only: whether it may write nowhere but into its volumes.
    """

    root: Path
    hosts: Path
    name: str
    mounts: Sequence[Mount] = ()
    visible: Sequence[Path] = ()
    read_only: bool = False

    def command(self, words: Sequence[str], folder: str) -> list[str]:
        """What starts a command in it, with the environment that it is started with itself.

        Its standard input is a pipe, into which it says that the command is about to start.

        Args:
            words: the command.
            folder: where it begins.
        """
        kept = [_tool("setpriv"), "--pdeathsig", "KILL"]
        first = [
            f"mount -t proc proc {_q(self.root)}/proc",
            f"hostname {shlex.quote(self.name)}",
            "PATH=$path; unset path",
            "printf s >&0; exec </dev/null",
            f'exec {_tool("chroot")} {_q(self.root)} /bin/sh -c \'cd "$0" && exec "$@"\' '
            f"{shlex.quote(folder)} {shlex.join(words)}",
        ]
        quiet = "exec 4>&2 2>/dev/null"  # a shell says of a child that it was killed
        waiting = f"{quiet}; {shlex.join([*kept, *_shell(first)])} 2>&4 4>&-; exit $?"
        steps = [
            "export path=$PATH PATH=/usr/sbin:/usr/bin:/sbin:/bin",
            *_root(self.root, self.mounts, self.visible),
            f"mount --bind {_q(self.hosts)} {_q(self.root)}/etc/hosts",
            *(_closed(self.root, self.mounts) if self.read_only else ()),
            f"exec unshare --pid {shlex.join(_shell([waiting]))}",
        ]
        return [*kept, *unsharing(), *_shell(steps)]


def _shell(steps: Sequence[str]) -> list[str]:
    return ["/bin/sh", "-c", "\n".join(["set -e", *steps])]


def _tool(name: str) -> str:
    return shutil.which(name) or name


@functools.cache
def unsharing() -> tuple[str, ...]:
    """What starts a command in namespaces of its own; empty where this machine lets nobody."""
    if all(shutil.which(name) for name in ("unshare", "setpriv", "chroot", "mount")):
        for who in ((), ("--map-root-user",)):
            words = (_tool("unshare"), *who, *APART)
            if (
                subprocess.run(
                    [*words, "unshare", "--pid", "true"], check=False, capture_output=True
                ).returncode
                == 0
            ):
                return words
    return ()


def _q(path: Path) -> str:
    return shlex.quote(str(path))


def _root(root: Path, mounts: Sequence[Mount], visible: Sequence[Path]) -> Iterator[str]:
    """Commands that make a root with volumes in their places."""
    anew: set[Path] = set()
    yield from _made_anew(Path("/"), root)
    anew.add(Path("/"))
    placed: list[Path] = []
    for mount in sorted(mounts, key=lambda one: len(one.target.parts)):
        target = _resolved(mount.target)
        if not any(target.is_relative_to(one) for one in placed) and not target.exists():
            above = next(one for one in target.parents if one.exists())
            if above not in anew:
                yield from _made_anew(above, root)
                anew.add(above)
        inside = _inside(root, target)
        if mount.source.is_dir():
            yield f"mkdir -p {inside}"
        else:
            yield f"mkdir -p {_inside(root, target.parent)} && touch {inside}"
        yield f"mount --bind {_q(mount.source)} {inside}"
        for folder in visible:
            if folder != target and folder.is_relative_to(target) and folder.exists():
                place = _inside(root, folder)
                yield f"mkdir -p {place} && mount --rbind {_q(folder)} {place}"
        if mount.read_only:
            yield f"mount -o remount,bind,ro {inside}"
        placed.append(target)


def _closed(root: Path, mounts: Sequence[Mount]) -> Iterator[str]:
    """Commands after which only volumes, and what the kernel has, can be written into.

    What lies under a volume is listed too, and cannot be changed or seen.
    """
    volumes = [_inside(root, _resolved(one.target)) for one in mounts]
    kernels = [f"{_q(root)}/{name}*" for name in ("proc", "dev", "sys")]
    yield "while read -r _ place _; do case $place in"
    yield f"{'|'.join([*volumes, *kernels])}) ;;"
    yield f'{_q(root)}|{_q(root)}/*) mount -o remount,bind,ro "$place" 2>/dev/null || : ;;'
    yield "esac; done </proc/self/mounts"


def _inside(root: Path, path: Path) -> str:
    return _q(root / path.relative_to("/"))


def _resolved(path: Path) -> Path:
    """A path without links in what exists of it."""
    return Path(os.path.realpath(path))


def _made_anew(folder: Path, root: Path) -> Iterable[str]:
    """Commands that make a folder of the container one that can be added to, with the same things in it."""
    inside = root / folder.relative_to("/")
    yield f"mount -t tmpfs -o mode=755 pod {_q(inside)}"
    for entry in sorted(folder.iterdir()):
        place = inside / entry.name
        if entry.is_symlink():
            yield f"ln -s {shlex.quote(str(entry.readlink()))} {_q(place)}"
        elif entry == Path("/proc"):
            yield f"mkdir {_q(place)}"
        elif entry.is_dir():
            yield f"mkdir {_q(place)} && mount --rbind {_q(entry)} {_q(place)}"
        elif entry.is_file():
            yield f"touch {_q(place)} && mount --bind {_q(entry)} {_q(place)}"
