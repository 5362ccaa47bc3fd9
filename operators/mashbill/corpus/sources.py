"""Sources: which files a path, folder, glob, remote address or hub id stands for, what they are called, and
what tells that they changed.

A file is called by its path under its source's root: the folder that was given, the folders before a glob's
first wildcard, or the folder of a file that was given itself. So names do not depend on the machine, and
files of one name in several folders are told apart.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from mashbill.config import Domain, PipelineConfig, Source
from mashbill.corpus.listing import FORMATS, HUB, Entry, Listing, format_of, listed, told
from mashbill.errors import ConfigError
from mashbill.storage import (
    LOCAL,
    Copies,
    FoundFiles,
    Storage,
    StoredFile,
    copy_name,
    disk_files,
    inside,
    remote_files,
    scheme_of,
    scratch_here,
    scratch_of,
)


@dataclass(frozen=True)
class SourceFile:
    """A file of a source, ready to be read; a saved dataset, which is a folder, is one.

    Attributes:
        path: its own, or where a copy of it is under the scratch folder; ``opened`` gives that it is read at.
        name: its path under the source's root.
        address: its own path or address.
        root: path or address of the source's root.
        bytes: its size; 0 of what is on the hub.
        folder: whether it is one.
        copies: of remote files, and where under the scratch folder each goes.
        storage: which has them; None where they are here already.
        scratch: the folder that copies are in, on the machine that listed the file.
    """

    path: Path
    name: str
    address: str
    root: str
    bytes: int = 0
    folder: bool = False
    copies: tuple[tuple[StoredFile, Path], ...] = ()
    storage: Storage | None = None
    scratch: Path = Path()

    @contextmanager
    def opened(self) -> Iterator[Path]:
        """Its path, to be read to the end of the block; what is remote is copied before, unless it is there.

        Raises:
            DataError: it was deleted or written anew since it was listed.
        """
        if self.storage is None:
            yield self.path
            return
        scratch = scratch_here(self.scratch)
        with Copies.under(scratch).held([scratch / place for _, place in self.copies]):
            for file, place in self.copies:
                self.storage.copy(file, scratch / place)
            yield scratch / self.path

    def format_in(self, source: Source) -> str:
        """Its format, as a file of a source.

        Raises:
            ConfigError: its ending names none.
        """
        return file_format(self.path, source, folder=self.folder)

    @property
    def reached(self) -> bool:
        """Whether this machine reaches it: it is in a storage, on the hub, or on a disk that is here."""
        return self.storage is not None or not self.path.is_absolute() or self.path.exists()


@dataclass(frozen=True)
class SourceFiles:
    """What a source stands for.

    Attributes:
        files: that are read, folder by folder.
        passed: names of the files that are not, by the reason.
    """

    files: tuple[SourceFile, ...]
    passed: Mapping[str, tuple[str, ...]]


def file_format(path: Path, source: Source, *, folder: bool | None = None) -> str:
    """The format of a file: the source's, or what its ending says.

    Args:
        path: its name.
        source: whose it is.
        folder: whether it is one; None looks.
    Raises:
        ConfigError: the ending is unknown.
    """
    if source.format != "auto":
        return source.format
    if scheme_of(source.path) == HUB:
        return "hub"
    if path.is_dir() if folder is None else folder:
        return "datasets"
    found = format_of(path.name)
    if found is None:
        raise ConfigError(
            f"{path}", "has an ending that names no format", f"set the source's format to {FORMATS}"
        )
    return found


def source_files(config: PipelineConfig, source: Source, where: str) -> SourceFiles:
    """The files of a source, and those that it passes over; none is read.

    Args:
        config: the whole config, whose root relative paths start from.
        source: the source.
        where: its place in the config, for errors.
    Raises:
        ConfigError: nothing matches, or all that does is passed over.
    """
    if _is_on_hub(source):
        path = Path(source.path.removeprefix(f"{HUB}://"))
        name = path.name if path.is_absolute() else str(path)
        return SourceFiles((SourceFile(path, name, source.path, ""),), {})
    found, listing = _listed(config, source, where)
    scratch, root = scratch_of(config), _text(found.before + listing.root)
    files = tuple(_file(found, entry, scratch, root=root) for entry in listing.entries)
    return SourceFiles(files, listing.passed)


def stored_files(config: PipelineConfig, source: Source, where: str) -> dict[str, int]:
    """Bytes of each file that a source stands for, by its address; formats are known, and of what is remote a
    byte of the first file and of the last is read.

    Args:
        config: the whole config, whose root relative paths start from.
        source: the source, which is not on the hub.
        where: its place in the config, for errors.
    Raises:
        ConfigError: nothing matches, all that does is passed over, or a file on disk may not be read.
        RunError: a remote file may not be read.
    """
    found, listing = _listed(config, source, where)
    for entry in listing.entries:
        file_format(Path(found.before, entry.key), source)
        if not found.host:
            _refuse_unreadable(where, Path(found.before, entry.key))
    full = [file for entry in listing.entries for file in entry.members if file.bytes]
    if found.host:
        for file in {full[0], full[-1]} if full else ():
            found.storage.part(file.key, 0, 1)
    return {_text(e.key): sum(file.bytes for file in e.members) for e in listing.entries}


def _refuse_unreadable(where: str, path: Path) -> None:
    if not os.access(path, os.R_OK):
        raise ConfigError(f"{where}.path", f"{path} may not be read", "change its permissions")


def all_sources(config: PipelineConfig) -> Iterator[tuple[str, Domain, Source, str]]:
    """Kind (documents, references or evaluations), domain, source and the source's place in the config, in
    the config's order."""
    corpus = config.corpus
    kinds = (
        ("documents", "domains", corpus.domains),
        ("references", "references", corpus.references),
        ("evaluations", "evaluations", corpus.evaluations),
    )
    for kind, field, domains in kinds:
        for i, domain in enumerate(domains):
            for j, source in enumerate(domain.sources):
                yield kind, domain, source, f"corpus.{field}[{i}].sources[{j}]"


def source_identity(config: PipelineConfig) -> list[Any]:
    """Changes when a file of a source is added, removed or written: paths, sizes and times, or a storage's
    versions."""
    identity: list[Any] = []
    for _, domain, source, where in all_sources(config):
        if _is_on_hub(source):
            identity.append([domain.name, source.path, source.split])
            continue
        found, listing = _listed(config, source, where)
        members = (file for entry in listing.entries for file in entry.members)
        identity += [[domain.name, _text(found.before + m.key), m.bytes, m.version] for m in members]
    return identity


def _listed(config: PipelineConfig, source: Source, where: str) -> tuple[FoundFiles, Listing]:
    """What a path or address stands for, and which of it is read."""
    setting = f"{where}.path"
    if scheme_of(source.path) == LOCAL:
        found = disk_files(config, setting, source.path)
        what, mend = f"no file matches {config.resolve(source.path)}", "correct the path or remove the source"
    else:
        found = remote_files(config, setting, source.path)
        what, mend = f"no object matches {source.path}", "list the prefix or remove the source"
    if not found.files:
        raise ConfigError(setting, what, mend)
    listing = listed(found.files, found.wanted, source.format)
    if not listing.entries:
        what, mend = told(listing.passed)
        raise ConfigError(setting, f"{source.path} stands for no file that is read: {what}", mend)
    return found, listing


def _file(found: FoundFiles, entry: Entry, scratch: Path, *, root: str) -> SourceFile:
    """A file of a source: on a disk itself, else a copy, kept by its keys and versions."""
    name, address = _text(entry.name), _text(found.before + entry.key)
    size = sum(file.bytes for file in entry.members)
    is_folder = entry.members[0].key != entry.key
    if not found.host:
        return SourceFile(Path(found.before, entry.key), name, address, root, size, is_folder)
    versions = repr([(file.key, file.version) for file in entry.members])
    place = inside(scratch / "sources" / found.host, sha256(versions.encode()).hexdigest()[:16])
    own = copy_name(entry.key.rpartition("/")[2])
    copies = tuple(
        (file, inside(place, f"{own}{file.key.removeprefix(entry.key)}").relative_to(scratch))
        for file in entry.members
    )
    path = (place / own).relative_to(scratch)
    return SourceFile(path, name, address, root, size, is_folder, copies, found.storage, scratch)


def _is_on_hub(source: Source) -> bool:
    return source.format == "hub" or scheme_of(source.path) == HUB


def _text(name: str) -> str:
    """A name as text that can be written, whatever bytes it has on the disk."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
