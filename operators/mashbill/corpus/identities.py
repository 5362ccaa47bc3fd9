"""The ids of documents: those that sources give, and those that are made of the domain, the file and the row.

What is told of ids that come twice depends on whether the texts that have them are alike.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import blake2b

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mashbill.corpus.pieces import FilePart

KEY_BYTES = 16
PREFIX = "set prefix_ids = true where ids begin again in each file, or leave id_field out"
EXAMPLES = 3


def with_ids(batch: pa.RecordBatch, domain: str, part: FilePart) -> pa.RecordBatch:
    """The documents with ids, where they were missing those that are made.

    Args:
        batch: [documents] of a part of a file; ids may be null.
        domain: whose they are.
        part: of which file.
    """
    ids = batch["id"]
    if part.source.prefix_ids:
        ids = pc.binary_join_element_wise(part.name, ids, "#")
    if ids.null_count:
        rows = batch["row"].cast(pa.string())
        ids = pc.coalesce(ids, pc.binary_join_element_wise(f"{domain}/{part.name}", rows, "#"))
    return pa.record_batch([batch["row"], ids, batch["text"], batch["metadata"]], schema=batch.schema)


def keys_of(domain: str, ids: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """[documents] uint64 halves of a key that no other id of any domain has."""
    start = blake2b(domain.encode() + b"\0", digest_size=KEY_BYTES)
    digests = []
    for name in ids.cast(pa.binary()).to_pylist():
        one = start.copy()
        one.update(name)
        digests.append(one.digest())
    both = np.frombuffer(b"".join(digests), np.uint64).reshape(-1, 2)
    return both[:, 0], both[:, 1]


def marks_of(texts: pa.Array) -> np.ndarray:
    """[documents] uint64: equal for texts that are alike, hardly ever for others, and never 0."""
    plain = texts.cast(pa.large_binary()).to_pylist()
    return np.array([zlib.crc32(text) | len(text) << 32 for text in plain], np.uint64)


@dataclass
class SourceIds:
    """What is seen of the ids of a source.

    Attributes:
        prefixed: whether the file's name goes before them; given: whether there was one to put it before.
        refused: records whose id another file has; files: names of those that hold them.
        alike, unlike: of those that were compared, how many texts are the other's, and how many are not.
    """

    prefixed: bool = False
    given: bool = False
    refused: int = 0
    files: set[str] = field(default_factory=set)
    alike: int = 0
    unlike: int = 0

    @property
    def begin_again(self) -> bool:
        """Whether other documents came with ids that were taken."""
        return self.unlike > self.alike

    def warnings(self, where: str) -> Iterator[str]:
        """What to say of them.

        Args:
            where: the source's place in the config.
        """
        if self.prefixed and not self.given:
            yield f"{where}.prefix_ids: has no effect, as no record has an id of its own; give id_field"
        if not self.refused:
            return
        some = sorted(self.files)[:EXAMPLES]
        names = ", ".join(some) + ", ..." * (len(self.files) > len(some))
        refused = f"{where}: {self.refused:,} records are refused (duplicate_id) in {names}"
        if self.begin_again:
            yield f"{refused}, as another file has their ids, with other texts; {PREFIX}"
        else:
            yield f"{refused}, as another file has them; name each file once, and leave copies out"
