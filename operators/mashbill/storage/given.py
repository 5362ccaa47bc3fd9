"""Files and folders that settings name, on a disk or at an address such as ``s3://lake/raw``: one way to a
local path, and one to what identifies them.

What is remote is copied into scratch, under a name that changes with the files' versions, so that a copy is
never an older one's.
"""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from mashbill.config import PipelineConfig
from mashbill.errors import ConfigError, RunError
from mashbill.storage.copies import Copies, scratch_here
from mashbill.storage.keys import copy_name, inside
from mashbill.storage.patterns import Pattern
from mashbill.storage.registry import LOCAL, open_storage, scheme_of
from mashbill.storage.storage import Storage, StoredFile

MEND = "correct the path, or put the file there"


@dataclass(frozen=True)
class FoundFiles:
    """Files that a path or an address stands for.

    Attributes:
        storage: which has them.
        host: first part of the address, a bucket for one; copies are kept apart by it. Empty on a disk.
        files: as they are listed; their keys start after the host.
        before: what makes an address, or a path, of a key.
        wanted: what was given, read.
    """

    storage: Storage
    host: str
    files: tuple[StoredFile, ...]
    before: str
    wanted: Pattern

    @classmethod
    def of(cls, storage: Storage, host: str, pattern: str, *, before: str) -> Self:
        """The files that a key, a folder or a glob stands for in a storage."""
        files = tuple(storage.match(pattern))
        return cls(storage, host, files, before, Pattern.among(pattern, (file.key for file in files)))


def local_path(config: PipelineConfig, setting: str, given: str, *, beside: Sequence[str] = ()) -> Path:
    """The local path of a file or folder that a setting names.

    Args:
        config: whose root relative paths start from, and whose scratch folder copies go to.
        setting: its name, for errors.
        given: a path or address; an address without a file of that name is a folder.
        beside: names of files that belong beside it, where they are there.
    Raises:
        ConfigError: there is nothing, or it cannot be read.
    """
    if scheme_of(given) == LOCAL:
        return _on_disk(config, setting, given)
    found, name, places = _remote(config, setting, given, beside=beside)
    versions = [(file.key, file.version) for file in found.files]
    whole = hashlib.sha256(repr(versions).encode()).hexdigest()[:16]
    folder = Path(scratch_of(config), "given", found.host, whole)
    for file, place in zip(found.files, places, strict=True):
        path = inside(folder, place)
        Copies.under(scratch_of(config)).hold(path)
        found.storage.copy(file, path)
    return folder / name


def path_identity(
    config: PipelineConfig, setting: str, given: str, *, beside: Sequence[str] = ()
) -> list[list[Any]]:
    """Changes when a file or folder that a setting names is written: paths, sizes and times, or versions.

    Args:
        config: whose root relative paths start from.
        setting: its name, for errors.
        given: a path or address.
        beside: names of files that belong beside it, where they are there.
    Raises:
        ConfigError: there is nothing, or it cannot be listed.
    """
    scheme = scheme_of(given)
    if scheme != LOCAL:
        found, _, _ = _remote(config, setting, given, beside=beside)
        return [[f"{scheme}://{found.host}/{file.key}", file.bytes, file.version] for file in found.files]
    path = _on_disk(config, setting, given)
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    files += [other for name in beside if (other := path.with_name(name)).exists()]
    return [[str(file), file.stat().st_size, file.stat().st_mtime_ns] for file in files]


def scratch_of(config: PipelineConfig) -> Path:
    """The scratch folder of a config, whose copies are kept to the config's limit from now on."""
    folder = scratch_here(Path(config.resolve(config.scratch)))
    Copies.under(folder).limit = config.scratch_bytes
    return folder


def remote_files(config: PipelineConfig, setting: str, address: str) -> FoundFiles:
    """The files that a remote address, folder or glob stands for; none is no error.

    Args:
        config: whose scratch folder copies go to.
        setting: which names the address, for errors.
        address: such as ``s3://bucket/prefix/*.jsonl``.
    Raises:
        ConfigError: no storage has such addresses, or they cannot be listed.
    """
    scheme, _, rest = address.partition("://")
    host, _, pattern = rest.partition("/")
    try:
        storage = open_storage(f"{scheme}://{host}", scratch_of(config))
        return FoundFiles.of(storage, host, pattern, before=f"{scheme}://{host}/")
    except (ConfigError, RunError) as error:
        raise ConfigError(setting, f"{address} {error.what}", error.mend) from error


def disk_files(config: PipelineConfig, setting: str, path: str) -> FoundFiles:
    """The files that a path, folder or glob on this machine stands for, by the rules that hold for addresses;
    keys start from the root of the file system, and none is no error.

    Args:
        config: whose root relative paths start from.
        setting: which names the path, for errors.
        path: such as ``raw/*.jsonl``.
    Raises:
        ConfigError: they cannot be listed.
    """
    whole = os.path.normpath(config.resolve(path))
    storage = open_storage("/", scratch_of(config))
    try:
        return FoundFiles.of(storage, "", whole.lstrip("/"), before="/")
    except RunError as error:
        raise ConfigError(setting, f"{error.where} {error.what}", error.mend) from error


def _on_disk(config: PipelineConfig, setting: str, given: str) -> Path:
    path = Path(config.resolve(given))
    if not path.exists():
        raise ConfigError(setting, f"{path} does not exist", MEND)
    return path


def _remote(
    config: PipelineConfig, setting: str, given: str, *, beside: Sequence[str]
) -> tuple[FoundFiles, str, list[str]]:
    """The files of what is given and of what lies beside it, what it is called here, and where each of the
    files goes beside or under that."""
    scheme, _, rest = given.rstrip("/").partition("://")
    host, _, key = rest.partition("/")
    own = key.rpartition("/")[2]
    found, name = remote_files(config, setting, given.rstrip("/")), copy_name(own or host)
    files = [] if given.endswith("/") else [file for file in found.files if file.key == key]
    places = [name] * len(files)
    if not files:
        before = f"{key}/" if key else ""
        files = [file for file in found.files if file.key.startswith(before)]
        places = [f"{name}/{file.key.removeprefix(before)}" for file in files]
    if not files:
        raise ConfigError(setting, f"nothing is at {given}", MEND)
    for other in beside:
        there = key.removesuffix(own) + other
        more = remote_files(config, setting, f"{scheme}://{host}/{there}")
        files += [file for file in more.files if file.key == there]
        ending = other.removeprefix(own)
        places += [other if ending == other else name + ending] * (len(files) - len(places))
    return replace(found, files=tuple(files)), name, places
