"""A fastText model reduced to scalars a row, which is all that its probabilities depend on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self, TypeAlias

import numpy as np
import pyarrow as pa
from pydantic import Field

from mashbill.artifacts.record import Part
from mashbill.classifiers.fasttext_model import FastTextModel
from mashbill.classifiers.fasttext_rows import project
from mashbill.partitions import buffers

Texts: TypeAlias = "Sequence[str] | pa.Array | pa.ChunkedArray"

LABEL_PREFIX = np.frombuffer(b"__label__", np.uint8)  # of every loaded model, which has forgotten its own
END_OF_TEXT = np.frombuffer(b"</s>", np.uint8)
TYPES = {
    "words": np.uint8,
    "offsets": np.int64,
    "scalars": np.float64,
    "counts": np.int64,
    "buckets": np.float32,
    "slots": np.int32,
    "fingerprints": np.uint64,
    "values": np.float64,
}


class Features(Part):
    """What a model takes for a document's rows.

    Attributes:
        labels: its labels, as in the model.
        word_ngrams: longest word n-gram.
        shortest, longest: character n-grams of unknown words; longest 0 where there are none.
        end_row: row of ``</s>``, or -1.
    """

    labels: tuple[str, ...] = Field(min_length=2)
    word_ngrams: int = Field(ge=1)
    shortest: int = Field(ge=0)
    longest: int = Field(ge=0)
    end_row: int = Field(ge=-1)

    @property
    def of_pairs(self) -> bool:
        """Whether the kernel for two labels, words and bigrams serves."""
        return self.longest == 0 and self.word_ngrams <= 2 and len(self.labels) == 2


@dataclass(frozen=True)
class Collapsed:
    """A softmax model of n labels as n - 1 scalars a row: its logits against the first label.

    Attributes:
        features: what its rows are.
        words: [bytes] uint8 of the words, then of the labels; offsets: [words + labels + 1] int64.
        scalars: [words, scalars] float64, subwords folded in; counts: [words] int64 rows folded into each.
        buckets: [buckets, scalars] float32 of hashed n-grams.
        slots: [slots] int32 rows by hash; empty where the pairs' kernel serves.
        fingerprints, values: [slots] uint64 and float64 of that kernel; empty where it does not.
    """

    features: Features
    words: np.ndarray
    offsets: np.ndarray
    scalars: np.ndarray
    counts: np.ndarray
    buckets: np.ndarray
    slots: np.ndarray
    fingerprints: np.ndarray
    values: np.ndarray

    @classmethod
    def of(cls, model: FastTextModel) -> Self:
        """The model, collapsed."""
        from mashbill.classifiers.fasttext_kernels import collapse_words, fill_slots
        from mashbill.classifiers.fasttext_pairs import fill_table

        output = model.output.astype(np.float64)
        rows = np.empty((len(model.rows), len(output) - 1), np.float32)
        project(model.rows, output[1:] - output[0], rows)
        count = len(model.offsets) - 1 - len(output)
        words, ends = model.entries, model.offsets[: count + 1]
        features = Features(
            labels=model.labels,
            word_ngrams=model.word_ngrams,
            shortest=model.shortest,
            longest=model.longest,
            end_row=_end_row(words, ends),
        )
        scalars, counts = rows[:count].astype(np.float64), np.ones(count, np.int64)
        buckets = rows[count:].copy() if len(rows) > count else np.zeros((1, rows.shape[1]), np.float32)
        size = 1 << max(4, int(np.ceil(np.log2(3 * len(model.offsets)))))
        slots, fingerprints, values = np.zeros(0, np.int32), np.zeros(0, np.uint64), np.zeros(0)
        if features.of_pairs:
            fingerprints, values = np.zeros(size, np.uint64), np.zeros(size)
            known = np.full(len(model.offsets) - 1, np.nan)  # labels, which text may spell, stay so
            known[:count] = scalars[:, 0]
            fill_table(words, model.offsets, known, fingerprints, values)
        else:
            slots = np.full(size, -1, np.int32)
            fill_slots(words, model.offsets, slots)
        if model.longest > 0:
            lengths = (model.shortest, model.longest)
            collapse_words(words, ends, features.end_row, *lengths, buckets, scalars, counts)
        arrays = (words, model.offsets, scalars, counts, buckets, slots, fingerprints, values)
        return cls(features, *arrays)

    @classmethod
    def of_arrays(cls, features: Features, arrays: Mapping[str, np.ndarray]) -> Self:
        """The model of which the arrays were taken.

        Raises:
            ValueError: they do not fit together, so that a kernel might read past their ends.
        """
        collapsed = cls(features, **arrays)
        if not collapsed._sound():
            raise ValueError("its arrays do not fit together")
        return collapsed

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays, by name."""
        return {name: getattr(self, name) for name in TYPES}

    @property
    def bytes(self) -> int:
        """Size of the arrays."""
        return sum(array.nbytes for array in self.arrays.values())

    def logits(self, texts: Texts) -> np.ndarray:
        """[documents, labels] logits relative to the first label; NaN for a document without a row."""
        if isinstance(texts, pa.ChunkedArray):
            return np.concatenate(
                [self.logits(chunk) for chunk in texts.chunks] or [np.zeros((0, len(self.features.labels)))]
            )
        array = texts if isinstance(texts, pa.Array) else pa.array(texts, pa.large_string())
        relative = self._score(array.cast(pa.large_string()))
        return np.concatenate([np.where(np.isnan(relative[:, :1]), np.nan, 0.0), relative], axis=1)

    def _score(self, array: pa.Array) -> np.ndarray:
        from mashbill.classifiers.fasttext_kernels import score_documents
        from mashbill.classifiers.fasttext_pairs import score_pairs

        text, bounds = buffers(array)
        out, features = np.empty((len(array), self.scalars.shape[1])), self.features
        if features.of_pairs:
            end = self.scalars[features.end_row, 0] if features.end_row >= 0 else np.nan
            pairs = (self.fingerprints, self.values, self.buckets[:, 0], LABEL_PREFIX)
            score_pairs(text, bounds, *pairs, end, features.word_ngrams == 2, out[:, 0])
        else:
            table = (self.slots, self.words, self.offsets, self.scalars, self.counts, self.buckets)
            lengths = (features.word_ngrams, features.shortest, features.longest)
            score_documents(text, bounds, *table, LABEL_PREFIX, features.end_row, *lengths, out)
        return out

    def _sound(self) -> bool:
        """Whether no kernel would leave the arrays."""
        count, width = len(self.scalars), len(self.features.labels) - 1
        entries = count + len(self.features.labels)
        table = self.fingerprints if self.features.of_pairs else self.slots
        shapes = [
            (self.offsets, (entries + 1,)),
            (self.scalars, (count, width)),
            (self.counts, (count,)),
            (self.buckets, (len(self.buckets), width)),
            (self.values, self.fingerprints.shape),
            (table, (len(table),)),
        ]
        if any(array.shape != shape for array, shape in shapes) or not len(self.buckets):
            return False
        if any(getattr(self, name).dtype != kind for name, kind in TYPES.items()):
            return False
        steps, free = np.diff(self.offsets), table == 0 if self.features.of_pairs else table < 0
        return bool(
            self.offsets[0] == 0
            and (steps >= 0).all()
            and self.offsets[-1] == len(self.words)
            and self.features.end_row < count
            and len(table) & (len(table) - 1) == 0
            and free.any()
            and (self.slots < entries).all()
        )


def _end_row(words: np.ndarray, offsets: np.ndarray) -> int:
    """The row of ``</s>`` among words, or -1."""
    alike = np.flatnonzero(np.diff(offsets) == len(END_OF_TEXT))
    spelt = words[offsets[alike][:, None] + np.arange(len(END_OF_TEXT))]
    rows = alike[(spelt == END_OF_TEXT).all(axis=1)]
    return int(rows[0]) if len(rows) else -1
