"""Files and folders that settings name, on a disk or at an ``s3://`` address: one way to a local path, and
one to what identifies them.

What is on S3 is copied into scratch, under a name that changes with the objects' tags, so that a copy is
never an older one's.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mashbill.config import PipelineConfig
from mashbill.errors import ConfigError

if TYPE_CHECKING:
    from mashbill.storage.s3 import S3Object

REMOTE = "s3://"
MEND = "correct the path, or put the file there"


def local_path(config: PipelineConfig, setting: str, given: str, *, beside: Sequence[str] = ()) -> Path:
    """The local path of a file or folder that a setting names.

    Args:
        config: whose root relative paths start from, and whose scratch folder copies go to.
        setting: its name, for errors.
        given: a path or s3:// address; an address without an object of that name is a folder.
        beside: names of files that belong beside it, where they are there.
    Raises:
        ConfigError: there is nothing, or it cannot be read.
    """
    if not given.startswith(REMOTE):
        return _on_disk(config, setting, given)
    from mashbill.storage.s3 import copy_object

    place, objects = _on_s3(setting, given, beside)
    tags = hashlib.sha256(repr([(entry.key, entry.tag) for entry in objects]).encode()).hexdigest()[:16]
    folder = Path(config.resolve(config.scratch), "given", objects[0].bucket, tags)
    for entry in objects:
        copy_object(entry, folder / entry.key.removeprefix(place).lstrip("/"))
    return folder / given.rstrip("/").rsplit("/", 1)[-1]


def path_identity(
    config: PipelineConfig, setting: str, given: str, *, beside: Sequence[str] = ()
) -> list[list[Any]]:
    """Changes when a file or folder that a setting names is written: paths, sizes and times, or S3's tags.

    Args:
        config: whose root relative paths start from.
        setting: its name, for errors.
        given: a path or s3:// address.
        beside: names of files that belong beside it, where they are there.
    Raises:
        ConfigError: there is nothing, or it cannot be listed.
    """
    if given.startswith(REMOTE):
        _, objects = _on_s3(setting, given, beside)
        return [[f"{REMOTE}{entry.bucket}/{entry.key}", entry.size, entry.tag] for entry in objects]
    path = _on_disk(config, setting, given)
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    files += [other for name in beside if (other := path.with_name(name)).exists()]
    return [[str(file), file.stat().st_size, file.stat().st_mtime_ns] for file in files]


def _on_disk(config: PipelineConfig, setting: str, given: str) -> Path:
    if "://" in given:
        raise ConfigError(setting, f"{given} is neither a path nor an s3:// address", "give one of them")
    path = Path(config.resolve(given))
    if not path.exists():
        raise ConfigError(setting, f"{path} does not exist", MEND)
    return path


def _on_s3(setting: str, given: str, beside: Sequence[str]) -> "tuple[str, list[S3Object]]":
    """The prefix that all share, and the objects of what is given and of what lies beside it."""
    from mashbill.storage.s3 import objects_at

    address = given.rstrip("/")
    objects = objects_at(address, setting)
    if not objects:
        raise ConfigError(setting, f"no object is at {given}", MEND)
    folder = address.rsplit("/", 1)[0]
    for name in beside:
        objects += objects_at(f"{folder}/{name}", setting)
    return folder.removeprefix(f"{REMOTE}{objects[0].bucket}").lstrip("/"), objects
