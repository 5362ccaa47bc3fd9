"""The file of a supervised fastText model, mapped and not copied.

The library reads every matrix into memory, and hands it out as another copy: three times the model's size to
write and read, where one pass over the file is enough to collapse it. The layout is that of fastText's source
(``FastText::saveModel``), file versions 11 and 12.
"""

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from mashbill.classifiers.fasttext_rows import gather, read_entries
from mashbill.errors import ConfigError

MAGIC, VERSIONS = 793_712_314, (11, 12)
SUPERVISED, SOFTMAX, NEVER_PRUNED = 3, 3, -1
SETTINGS, DICTIONARY, SHAPE = struct.Struct("<14id"), struct.Struct("<3i2q"), struct.Struct("<?2q")


@dataclass(frozen=True)
class FastTextModel:
    """A supervised softmax model that is not quantised.

    Attributes:
        word_ngrams: longest word n-gram.
        shortest, longest: character n-grams; longest 0 where there are none.
        content: the mapped file; as long as it lives, so does the mapping.
        entries: [bytes] uint8 of the words, then of the labels; offsets: [words + labels + 1] int64.
        rows: [words + buckets, width] float32 vectors of words and hashed n-grams.
        output: [labels, width] float32 vectors of labels.
    """

    word_ngrams: int
    shortest: int
    longest: int
    content: mmap.mmap
    entries: np.ndarray
    offsets: np.ndarray
    rows: np.ndarray
    output: np.ndarray

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """The model in a file; None where it is of another kind, or no model, which the library tells apart.

        Raises:
            OSError: the file cannot be read.
            ConfigError: it ends before its matrices do.
        """
        with path.open("rb") as file:
            if path.stat().st_size < SETTINGS.size + DICTIONARY.size:
                return None
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        magic, version, *settings, _ = SETTINGS.unpack_from(content)
        word_ngrams, loss, kind, buckets, shortest, longest = (settings[i] for i in (5, 6, 7, 8, 9, 10))
        if magic != MAGIC or version not in VERSIONS or (kind, loss) != (SUPERVISED, SOFTMAX):
            return None
        entries, words, labels, _, pruned = DICTIONARY.unpack_from(content, SETTINGS.size)
        if pruned != NEVER_PRUNED or entries != words + labels or words < 1 or labels < 2:
            return None
        if entries * 10 > len(content):
            raise _cut_short(path)
        bounds, kinds = np.empty((entries, 2), np.int64), np.empty(entries, np.uint8)
        place = read_entries(np.frombuffer(content, np.uint8), SETTINGS.size + DICTIONARY.size, bounds, kinds)
        if place < 0:
            raise _cut_short(path)
        rows, place = _matrix(path, content, place)
        output, _ = (None, 0) if rows is None else _matrix(path, content, place)
        if rows is None or output is None or (kinds != (np.arange(entries) >= words)).any():
            return None
        if len(rows) != words + buckets or output.shape != (labels, rows.shape[1]):
            return None
        offsets = np.concatenate([[0], np.cumsum(bounds[:, 1] - bounds[:, 0])]).astype(np.int64)
        found = np.empty(offsets[-1], np.uint8)
        gather(np.frombuffer(content, np.uint8), bounds, offsets, found)
        if version == VERSIONS[0]:
            longest = 0  # as the library reads that version
        return cls(word_ngrams, shortest, longest, content, found, offsets, rows, output)

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels, in the order of their logits."""
        first = len(self.offsets) - 1 - len(self.output)
        content, ends = self.entries.tobytes(), self.offsets.tolist()
        return tuple(
            content[start:end].decode("utf-8", "replace")
            for start, end in zip(ends[first:], ends[first + 1 :], strict=False)
        )


def _matrix(path: Path, content: mmap.mmap, place: int) -> tuple[np.ndarray | None, int]:
    """The matrix at a place, and where it ends; None where it is quantised."""
    if place + SHAPE.size > len(content):
        raise _cut_short(path)
    quantised, rows, width = SHAPE.unpack_from(content, place)
    if quantised or rows < 0 or width < 1:
        return None, place
    end = place + SHAPE.size + 4 * rows * width
    if end > len(content):
        raise _cut_short(path)
    return np.frombuffer(content, "<f4", rows * width, place + SHAPE.size).reshape(rows, width), end


def _cut_short(path: Path) -> ConfigError:
    return ConfigError(str(path), "ends before the model does", "copy it again; it was cut short on its way")
