"""Collapsed models kept as tables beside their models, so that a model is read and collapsed once.

A table is good for the model whose checksum it names (XXH3, 128 bits, of the whole file) and for one version
of the collapse. To know a checksum the whole file must be read, which is most of the work; so a table also
names the file's size, inode and times, as git's index does, and where they are unchanged so is the file. A
table is mapped, and its own checksum and the fit of its arrays are looked at before it is used: one that is
cut short, altered or of another model is made anew. Tables are safetensors files (arrays and JSON, no code),
and appear whole, however many processes write one.

A table is ``MODEL.collapsed``, in the model's folder, and takes the place of the last one. Where that folder
cannot be written, or is an artifact, which nothing is added to, it is in ``$XDG_CACHE_HOME/mashbill``
(``~/.cache/mashbill``), which keeps the last sixteen. Both may be deleted at any time.
"""

import glob
import hashlib
import json
import mmap
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import xxhash
from safetensors.numpy import save

from mashbill.artifacts.manifest import MANIFEST
from mashbill.artifacts.record import Part
from mashbill.classifiers.collapsed import TYPES, Collapsed, Features
from mashbill.classifiers.fasttext_model import FastTextModel
from mashbill.storage.storage import written_whole

VERSION, HEAD = 1, "mashbill"
ENDING = ".collapsed"
KEPT = 16
WORTH = 2
"""How many times smaller than its model a table must be: one of many labels may well be larger."""
SETTLED_SECONDS = 2.0
"""A file that was written this lately may be written again without a change of its times."""
LEFT_SECONDS = 3600.0
"""A half-written table that is older has been left by a kill."""
NO_TABLE = (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)
"""What reading anything but a table may raise."""


def load_collapsed(path: Path, *, keep: bool = True) -> Collapsed | None:
    """The collapsed model of a ``.bin`` file, from its table where there is a good one.

    Args:
        path: the model.
        keep: whether a table may be read, and written.
    Returns:
        None where the model is none that collapses.
    Raises:
        OSError: the model cannot be read.
        ConfigError: it is cut short.
    """
    identity = file_identity(path)
    places = table_places(path) if keep else []
    tables = [table for table in map(Table.read, places) if table is not None]
    for table in tables:
        if table.identity == identity != "":
            return table.model
    model = FastTextModel.read(path)
    if model is None:
        return None
    if not keep:
        return Collapsed.of(model)
    checksum = xxhash.xxh3_128_hexdigest(model.content)
    same = [table.model for table in tables if table.checksum == checksum]
    collapsed = same[0] if same else Collapsed.of(model)
    new = bool(identity) or not same
    if new and collapsed.bytes * WORTH < len(model.content) and identity in {"", file_identity(path)}:
        Table(checksum, identity, collapsed).write(places)
    return collapsed


def table_places(path: Path) -> list[Path]:
    """Where a model's table may be, the best place first."""
    whole = path.absolute()
    places = [] if (whole.parent / MANIFEST).exists() else [whole.with_name(whole.name + ENDING)]
    cache = cache_folder()
    if cache is not None:
        name = hashlib.sha256(os.fsencode(whole)).hexdigest()[:16]
        places.append(cache / f"{whole.name}-{name}{ENDING}")
    return places


def cache_folder() -> Path | None:
    """Where tables are whose models' folders take none; None for a user without a home."""
    with suppress(RuntimeError):
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "mashbill")
    return None


def file_identity(path: Path) -> str:
    """Changes whenever a file does; empty where it was written so lately that it may not.

    Raises:
        OSError: there is no such file.
    """
    found = path.stat()
    age = time.time() - max(found.st_mtime, found.st_ctime)
    times = f"{found.st_mtime_ns}:{found.st_ctime_ns}"
    return f"{found.st_size}:{found.st_ino}:{times}" if age > SETTLED_SECONDS else ""


class Head(Part):
    """What a table says beside its arrays.

    Attributes:
        version: of the collapse.
        checksum: of the model's bytes.
        identity: the model file's when the table was written; empty for none.
        features: the model's.
        sum: checksum of all the rest, arrays among it.
    """

    version: int
    checksum: str
    identity: str
    features: Features
    sum: str = ""

    def summed(self, arrays: Mapping[str, np.ndarray]) -> Self:
        """The same with its sum."""
        found = xxhash.xxh3_128(self.model_copy(update={"sum": ""}).model_dump_json().encode())
        for name in TYPES:
            found.update(f"{name} {arrays[name].shape}".encode())
            found.update(np.ascontiguousarray(arrays[name]).view(np.uint8).data)
        return self.model_copy(update={"sum": found.hexdigest()})


@dataclass(frozen=True)
class Table:
    """A collapsed model, and which file it is of.

    Attributes:
        checksum: of the model's bytes.
        identity: the file's when the table was written; empty for none.
        model: collapsed.
    """

    checksum: str
    identity: str
    model: Collapsed

    @classmethod
    def read(cls, place: Path) -> Self | None:
        """The table at a place, mapped; None where there is none that is good."""
        try:
            with place.open("rb") as file:
                # a private mapping, whose arrays kernels take as they take those that were just computed
                content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
            head, arrays = _read(content)
            if head.version != VERSION or head != head.summed(arrays):
                return None
            return cls(head.checksum, head.identity, Collapsed.of_arrays(head.features, arrays))
        except NO_TABLE:
            return None

    def write(self, places: Sequence[Path]) -> None:
        """Write the table to the first place that takes it; where none does, the next load collapses too."""
        arrays, features = self.model.arrays, self.model.features
        head = Head(version=VERSION, checksum=self.checksum, identity=self.identity, features=features)
        content = save(arrays, {HEAD: head.summed(arrays).model_dump_json()})
        for place in places:
            try:
                with written_whole(place) as part:
                    part.write_bytes(content)
            except OSError:
                continue
            with suppress(OSError):  # another process may clear too
                _clear(place)
            return


def _read(content: mmap.mmap) -> tuple[Head, dict[str, np.ndarray]]:
    """What is said of a table, and its arrays; the format is that of safetensors."""
    start = 8 + int.from_bytes(content[:8], "little")
    said = json.loads(content[8:start])
    arrays = {}
    for name, kind in TYPES.items():
        first, last = said[name]["data_offsets"]
        found = np.frombuffer(content, kind, (last - first) // np.dtype(kind).itemsize, start + first)
        arrays[name] = found.reshape(said[name]["shape"])
    return Head.model_validate_json(said["__metadata__"][HEAD]), arrays


def _clear(place: Path) -> None:
    """Delete what a kill has left half-written, and of the common folder's tables the oldest."""
    oldest = time.time() - LEFT_SECONDS
    for part in place.parent.glob(f"{glob.escape(place.name)}.*.part"):
        if part.stat().st_mtime < oldest:
            part.unlink()
    if place.parent == cache_folder():
        tables = sorted(place.parent.glob(f"*{ENDING}"), key=lambda table: table.stat().st_mtime)
        for table in tables[:-KEPT]:
            table.unlink()
