"""The layout of a fastText model's file, walked from its head to its last matrix, without the library.

The library reads what it is given: of half a file it takes the missing half for what memory happens to hold,
looks for the end of a word for ever, or ends the process. So no file comes to it that was not walked here.
The layout is that of fastText's source (``FastText::saveModel``), file versions 11 and 12.
"""

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from mashbill.classifiers.fasttext_rows import read_entries
from mashbill.errors import ConfigError

MAGIC, VERSIONS = 793_712_314, (11, 12)
SUPERVISED, SOFTMAX, NEVER_PRUNED = 3, 3, -1
SETTINGS, DICTIONARY, SHAPE = struct.Struct("<14id"), struct.Struct("<3i2q"), struct.Struct("<?2q")
QUANTISED, CODEBOOK = struct.Struct("<?2qi"), struct.Struct("<4i")
CENTROIDS = 256
MEND = "give a .bin file of a supervised model"


@dataclass(frozen=True)
class Matrix:
    """Where a matrix lies.

    Attributes:
        quantised: whether it is kept as codes.
        rows, width: its shape.
        start, end: bytes of the file; a plain one's numbers begin at the start.
    """

    quantised: bool
    rows: int
    width: int
    start: int
    end: int


@dataclass(frozen=True)
class FastTextFile:
    """A whole file of a supervised model.

    Attributes:
        content: the mapped file; as long as it lives, so does the mapping.
        softmax: whether its probabilities are a softmax of all labels.
        pruned: whether rows were left out of it.
        word_ngrams: longest word n-gram.
        shortest, longest: character n-grams; longest 0 where there are none.
        buckets: rows for hashed n-grams.
        words: words of the dictionary, before its labels.
        bounds: [words + labels, 2] int64 where each entry begins and ends; kinds: [words + labels] uint8, 1
            for a label.
        rows, output: the matrices of words and n-grams, and of labels.
    """

    content: mmap.mmap
    softmax: bool
    pruned: bool
    word_ngrams: int
    shortest: int
    longest: int
    buckets: int
    words: int
    bounds: np.ndarray
    kinds: np.ndarray
    rows: Matrix
    output: Matrix

    @classmethod
    def read(cls, path: Path) -> Self:
        """The layout of a file.

        Raises:
            OSError: it cannot be read.
            ConfigError: it is none of a supervised model, has fewer than two labels, or ends too early.
        """
        with path.open("rb") as file:
            size = path.stat().st_size
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else None
        if content is None or int.from_bytes(content[:4], "little") != MAGIC:
            raise ConfigError(str(path), "is not a fastText model", MEND)
        if len(content) < SETTINGS.size + DICTIONARY.size:
            raise _cut_short(path)
        _, version, *settings, _ = SETTINGS.unpack_from(content)
        width, word_ngrams, loss, kind, buckets, shortest, longest = (settings[i] for i in (0, *range(5, 11)))
        if version not in VERSIONS:
            what = f"is a fastText model of file version {version}, which is not known"
            raise ConfigError(str(path), what, "save it with fastText 0.9")
        if kind != SUPERVISED:
            raise ConfigError(str(path), "is an unsupervised fastText model, which has no labels", MEND)
        entries, words, labels, _, pruned = DICTIONARY.unpack_from(content, SETTINGS.size)
        if entries != words + labels or words < 1 or labels < 0 or width < 1 or buckets < 0:
            raise _damaged(path)
        if labels < 2:
            raise ConfigError(str(path), f"knows {labels} label, and nothing to tell it from", MEND)
        bounds, kinds, place = _entries(path, content, entries)
        if (kinds != (np.arange(entries) >= words)).any():
            raise _damaged(path)
        place += 8 * max(0, pruned)
        rows = _matrix(path, content, place)
        output = _matrix(path, content, rows.end)
        hashed = buckets if pruned == NEVER_PRUNED else pruned
        if (rows.width, output.width, output.rows) != (width, width, labels) or rows.rows != words + hashed:
            raise _damaged(path)
        if version == VERSIONS[0]:
            longest = 0  # as the library reads that version
        return cls(
            content=content,
            softmax=loss == SOFTMAX,
            pruned=pruned != NEVER_PRUNED,
            word_ngrams=word_ngrams,
            shortest=shortest,
            longest=longest,
            buckets=buckets,
            words=words,
            bounds=bounds,
            kinds=kinds,
            rows=rows,
            output=output,
        )

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels, as the dictionary has them."""
        places = self.bounds[self.words :].tolist()
        return tuple(self.content[start:end].decode("utf-8", "replace") for start, end in places)


def _entries(path: Path, content: mmap.mmap, entries: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Bounds and kinds of the dictionary's entries, and where the last one ends."""
    if entries * 10 > len(content):
        raise _cut_short(path)
    bounds, kinds = np.empty((entries, 2), np.int64), np.empty(entries, np.uint8)
    place = read_entries(np.frombuffer(content, np.uint8), SETTINGS.size + DICTIONARY.size, bounds, kinds)
    if place < 0:
        raise _cut_short(path)
    return bounds, kinds, place


def _matrix(path: Path, content: mmap.mmap, place: int) -> Matrix:
    """The matrix at a place: whether it is quantised, then what it holds."""
    if place + SHAPE.size > len(content):
        raise _cut_short(path)
    if content[place] > 1:
        raise _damaged(path)
    if content[place]:
        return _quantised(path, content, place + 1)
    _, rows, width = SHAPE.unpack_from(content, place)
    if rows < 0 or width < 1:
        raise _damaged(path)
    start = place + SHAPE.size
    return Matrix(False, rows, width, start, _end(path, content, start + 4 * rows * width))


def _quantised(path: Path, content: mmap.mmap, place: int) -> Matrix:
    """Codes and their codebook; then, where lengths are kept apart, theirs."""
    _end(path, content, place + QUANTISED.size)
    lengths, rows, width, size = QUANTISED.unpack_from(content, place)
    if rows < 0 or width < 1 or size < 0:
        raise _damaged(path)
    end = _codebook(path, content, place + QUANTISED.size + size)
    if lengths:
        end = _codebook(path, content, end + rows)
    return Matrix(True, rows, width, place, end)


def _codebook(path: Path, content: mmap.mmap, place: int) -> int:
    """Where a codebook ends."""
    _end(path, content, place + CODEBOOK.size)
    width, *_ = CODEBOOK.unpack_from(content, place)
    if width < 1:
        raise _damaged(path)
    return _end(path, content, place + CODEBOOK.size + 4 * width * CENTROIDS)


def _end(path: Path, content: mmap.mmap, end: int) -> int:
    if end > len(content):
        raise _cut_short(path)
    return end


def _cut_short(path: Path) -> ConfigError:
    return ConfigError(str(path), "ends before the model does", "copy it again; it was cut short on its way")


def _damaged(path: Path) -> ConfigError:
    return ConfigError(str(path), "holds other amounts than its head says", "copy it again; it is damaged")
