"""Images: a name says how a container's command is started here, and what a registry would say of it."""

import fnmatch
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from builders.checkout import ROOT, TESTS

BINARIES = Path(sys.executable).parent
REFERENCE = re.compile(
    r"^(?:[a-zA-Z0-9.-]+(?::[0-9]+)?/)?[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*"
    r"(?::[\w][\w.-]{0,127})?(?:@sha256:[0-9a-f]{64})?$"
)


class PullError(Exception):
    """An image that cannot be had.

    Args:
        reason: as the kubelet calls it.
        message: as the kubelet has it of the registry.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason, self.message = reason, message


@dataclass(frozen=True)
class Image:
    """How containers of an image run here.

    Attributes:
        entrypoint: what a container without a command starts.
        environment: variables that the image has.
        folders: of this machine that its processes see wherever volumes are mounted.
        user: that its processes are of, where a pod names none; 0 is root.
        secret: a pull secret without which the registry refuses it; empty where everybody may have it.
        idle: whether its containers start no process, and run until they are ended.
    """

    entrypoint: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    folders: tuple[Path, ...] = ()
    user: int = 1000
    secret: str = ""
    idle: bool = False


def of_this_environment(*entrypoint: str, user: int = 1000, secret: str = "", **environment: str) -> Image:
    """An image whose python, mashbill and torchrun are those that run the tests."""
    own = {
        "PATH": os.pathsep.join([str(BINARIES), "/usr/local/bin", "/usr/bin", "/bin"]),
        "PYTHONPATH": os.pathsep.join([str(ROOT / "operators"), str(TESTS)]),
        "PYTHONUNBUFFERED": "1",
        "OMP_NUM_THREADS": "1",
        "HOME": "/root",
        "LANG": "C.UTF-8",
    }
    folders = (ROOT, Path(sys.prefix), Path(sys.base_prefix))
    return Image(entrypoint, own | environment, folders, user, secret)


def known_images() -> dict[str, Image]:
    """By patterns of their names; the first that matches is taken."""
    return {
        "*pause*": Image(idle=True),
        "*mashbill*": of_this_environment(),
        "pytorch/*": of_this_environment(),
        "python:*": of_this_environment("python", user=0),
        "busybox*": of_this_environment("sh", user=0),
    }


def pulled(name: str, images: Mapping[str, Image], secrets: set[str]) -> Image:
    """The image of a name.

    Args:
        name: as in a container.
        images: those that there are, by patterns.
        secrets: pull secrets of the pod that are there.
    Raises:
        PullError: there is none, its name is none, or the registry refuses it.
    """
    if not REFERENCE.match(name):
        words = "invalid reference format"
        message = f'Failed to apply default image tag "{name}": couldn\'t parse image name "{name}": {words}'
        raise PullError("InvalidImageName", message)
    found = next((image for pattern, image in images.items() if fnmatch.fnmatch(name, pattern)), None)
    full = full_name(name)
    resolving = f'failed to pull and unpack image "{full}": failed to resolve reference "{full}"'
    if found is None:
        raise PullError("ErrImagePull", f"{resolving}: {full}: not found")
    if found.secret and found.secret not in secrets:
        host, _, rest = full.partition("/")
        where = f"https://{host}/v2/{rest.partition(':')[0]}/manifests/{full.rpartition(':')[2]}"
        message = (
            f"{resolving}: failed to authorize: failed to fetch anonymous token: unexpected status from GET "
            f"request to {where}: 401 Unauthorized"
        )
        raise PullError("ErrImagePull", message)
    return found


def refusal(
    name: str, before: tuple[str, str] | None, error: PullError
) -> tuple[list[tuple[str, str]], tuple[str, str]]:
    """What a kubelet says of an image that it cannot have.

    Args:
        name: of the image.
        before: what its container waited for so far, as reason and message.
        error: why it cannot be had.
    Returns:
        Events, as reason and message, and what the container waits for now.
    """
    if error.reason == "InvalidImageName":
        events = [("InspectFailed", error.message), ("Failed", "Error: InvalidImageName")]
        return events, (error.reason, error.message)
    if before and before[0] in ("ErrImagePull", "ImagePullBackOff"):
        back_off = f'Back-off pulling image "{name}"'
        events = [("BackOff", back_off), ("Failed", "Error: ImagePullBackOff")]
        return events, ("ImagePullBackOff", f"{back_off}: ErrImagePull: {error.message}")
    failed = f'Failed to pull image "{name}": {error.message}'
    return [("Failed", failed), ("Failed", "Error: ErrImagePull")], ("ErrImagePull", error.message)


def full_name(name: str) -> str:
    """A name with its registry and tag, as containerd writes it."""
    first, slash, _ = name.partition("/")
    if not slash:
        name = f"docker.io/library/{name}"
    elif "." not in first and ":" not in first and first != "localhost":
        name = f"docker.io/{name}"
    last = name.rpartition("/")[2]
    return name if ":" in last or "@" in last else f"{name}:latest"
