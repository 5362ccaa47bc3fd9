"""The matrices of a supervised fastText model, mapped and not copied.

The library reads every matrix into memory, and hands it out as another copy: three times the model's size to
write and read, where one pass over the file is enough to collapse it.
"""

import mmap
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from mashbill.classifiers.fasttext_file import FastTextFile, Matrix
from mashbill.classifiers.fasttext_rows import gather


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
        """The model in a file; None where it is quantised, pruned or no softmax model, which the library
        scores with.

        Raises:
            OSError: the file cannot be read.
            ConfigError: it is none of a supervised model, has fewer than two labels, or ends too early.
        """
        file = FastTextFile.read(path)
        if not file.softmax or file.pruned or file.rows.quantised or file.output.quantised:
            return None
        lengths = file.bounds[:, 1] - file.bounds[:, 0]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        entries = np.empty(offsets[-1], np.uint8)
        gather(np.frombuffer(file.content, np.uint8), file.bounds, offsets, entries)
        return cls(
            file.word_ngrams,
            file.shortest,
            file.longest,
            file.content,
            entries,
            offsets,
            _numbers(file.content, file.rows),
            _numbers(file.content, file.output),
        )

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels, in the order of their logits."""
        first = len(self.offsets) - 1 - len(self.output)
        content, ends = self.entries.tobytes(), self.offsets.tolist()
        return tuple(
            content[start:end].decode("utf-8", "replace")
            for start, end in zip(ends[first:], ends[first + 1 :], strict=False)
        )


def _numbers(content: mmap.mmap, matrix: Matrix) -> np.ndarray:
    """[rows, width] float32 of a plain matrix, mapped."""
    found = np.frombuffer(content, "<f4", matrix.rows * matrix.width, matrix.start)
    return found.reshape(matrix.rows, matrix.width)
