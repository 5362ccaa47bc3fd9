"""The collapsed fastText scorer: equal to the official library, many times faster.

A supervised fastText model is linear up to its softmax: a label's logit is the mean of its rows' vectors
times the label's output vector. For n labels the probabilities depend on n - 1 scalars a row, ``input[row] .
(output[label] - output[base])``. Those are computed once; scoring is hashing UTF-8 bytes and adding numbers,
straight from an Arrow buffer.

The official library reports a probability p as p + 1e-5 (its log has that offset). Its sums are float32, ours
float64: on very long documents ours are the more exact.
"""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Self, TypeAlias

import numpy as np
import pyarrow as pa

from mashbill.classifiers.normalisation import Normalisation
from mashbill.errors import ConfigError
from mashbill.partitions import buffers

LOG_OFFSET = 1e-5
COLLAPSE_ROWS = 1 << 17

Texts: TypeAlias = "Sequence[str] | pa.Array | pa.ChunkedArray"


class FastTextScorer:
    """Scores documents with a supervised fastText model.

    Attributes:
        labels: its labels, as in the model.
    """

    def __init__(self, model: Any, normalisation: Normalisation | None = None) -> None:
        self.model = model
        self.normalisation = normalisation or Normalisation()
        self.labels: list[str] = list(model.labels)
        self.collapsed = None if _needs_official(model) else Collapsed(model)
        if self.collapsed is not None:
            del self.model

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """A scorer for a ``.bin`` or ``.ftz`` file.

        Raises:
            ConfigError: the file is missing, or is no supervised fastText model.
        """
        import fasttext

        try:
            model = fasttext.load_model(str(path))
        except (ValueError, OSError) as error:
            raise ConfigError(
                str(path), f"is not a fastText model ({error})", "give a .bin file of a supervised model"
            ) from error
        if "supervised" not in str(model.f.getArgs().model):
            raise ConfigError(
                str(path), "is an unsupervised fastText model", "give a .bin file of a supervised model"
            )
        return cls(model, Normalisation.read(Path(path)))

    def score(self, texts: Texts, label: str) -> np.ndarray:
        """Probabilities of a label, as the official library reports them.

        Args:
            texts: [documents] a list of str, or an Arrow string array.
            label: one of the labels.
        Returns:
            [documents] float32; NaN for a document without a known feature.
        """
        column = self._column(label)
        if self.collapsed is None:
            return self._official(texts)[:, column].astype(np.float32)
        logits = self.collapsed.logits(self._normal(texts))
        shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
        probability: np.ndarray = shifted[:, column] / shifted.sum(axis=1)
        return (probability + LOG_OFFSET).astype(np.float32)

    def margins(self, texts: Texts, label: str | None = None) -> np.ndarray:
        """Logits, to select by: probabilities saturate.

        Args:
            texts: [documents] a list of str, or an Arrow string array.
            label: the label whose logit against the rest is wanted.
        Returns:
            [documents] float64 for a label, or for two labels the first's; else [documents, labels] relative
            to the mean.
        """
        logits = (
            self.collapsed.logits(self._normal(texts))
            if self.collapsed
            else np.log(np.clip(self._official(texts) - LOG_OFFSET, 1e-9, None))
        )
        if label is None and len(self.labels) > 2:
            return logits - logits.mean(axis=1, keepdims=True)
        column = 0 if label is None else self._column(label)
        rest = np.delete(logits, column, axis=1)
        highest = rest.max(axis=1, keepdims=True)
        return logits[:, column] - (highest[:, 0] + np.log(np.exp(rest - highest).sum(axis=1)))

    def word_weights(self, label: str) -> tuple[list[str], np.ndarray]:
        """The model's words, commonest first, and what each adds to a label's logit against the mean of all
        labels.

        Args:
            label: one of the labels.
        Returns:
            [words], and [words] float64.
        Raises:
            ConfigError: the model does not collapse, so its words have no weight of their own.
        """
        if self.collapsed is None:
            raise ConfigError(
                "classifier",
                "is quantised or no softmax model, whose words have no weights",
                "use a plain .bin file",
            )
        column = self._column(label)
        relative = np.concatenate(
            [np.zeros((len(self.collapsed.scalars), 1)), self.collapsed.scalars], axis=1
        )
        ends = self.collapsed.offsets[: len(relative) + 1]
        content = self.collapsed.words.tobytes()
        words = [content[s:e].decode("utf-8", "replace") for s, e in pairwise(ends.tolist())]
        weights: np.ndarray = relative[:, column] - relative.mean(axis=1)
        return words, weights

    def _normal(self, texts: Texts) -> Texts:
        if not self.normalisation.lowercase:
            return texts
        return self.normalisation.column(
            texts if isinstance(texts, pa.Array | pa.ChunkedArray) else pa.array(texts, pa.large_string())
        )

    def _column(self, label: str) -> int:
        if label not in self.labels:
            raise ConfigError(
                f"label {label!r}",
                "is none of the classifier's",
                f"choose one of {', '.join(self.labels[:10])}",
            )
        return self.labels.index(label)

    def _official(self, texts: Texts) -> np.ndarray:
        """[documents, labels] probabilities by the library's own path, for models that do not collapse."""
        texts = self._normal(texts)
        values = texts.to_pylist() if isinstance(texts, pa.Array | pa.ChunkedArray) else texts
        result = np.full((len(values), len(self.labels)), np.nan)
        places = {label: i for i, label in enumerate(self.labels)}
        for i, text in enumerate(values):
            for probability, label in self.model.f.predict(
                text.replace("\n", " ") + "\n", len(self.labels), 0.0, "strict"
            ):
                result[i, places[label]] = probability
        return result


class Collapsed:
    """A softmax model reduced to scalars a row."""

    def __init__(self, model: Any) -> None:
        from mashbill.classifiers.fasttext_kernels import collapse_words

        settings = model.f.getArgs()
        self.word_ngrams, self.shortest, self.longest = settings.wordNgrams, settings.minn, settings.maxn
        prefix = getattr(settings, "label", "__label__")
        self.prefix = np.frombuffer(prefix.encode(), np.uint8).copy()
        words = [
            word.encode("utf-8", "surrogateescape") for word in model.get_words(on_unicode_error="replace")
        ]
        output = model.get_output_matrix().astype(np.float64)
        rows = self._project(model.get_input_matrix(), (output[1:] - output[0]).T)
        self.scalars = rows[: len(words)].astype(np.float64)
        self.buckets = (
            rows[len(words) :] if len(rows) > len(words) else np.zeros((1, rows.shape[1]), np.float32)
        )
        known = words + [label.encode("utf-8", "surrogateescape") for label in model.labels]
        self.words = np.frombuffer(b"".join(known), np.uint8).copy()
        self.offsets = np.concatenate([[0], np.cumsum([len(word) for word in known])]).astype(np.int64)
        self.slots = _slots(known)
        self.end_row = words.index(b"</s>") if b"</s>" in words else -1
        self.counts = np.ones(len(words), np.int64)
        self.pairs = self.longest == 0 and self.word_ngrams <= 2 and self.scalars.shape[1] == 1
        if self.pairs:
            self._tabulate()
        if self.longest > 0:
            collapse_words(
                self.words,
                self.offsets[: len(words) + 1],
                self.end_row,
                self.shortest,
                self.longest,
                self.buckets,
                self.scalars,
                self.counts,
            )

    def _tabulate(self) -> None:
        """The table of fingerprints that the fast kernel for two labels looks words up in."""
        from mashbill.classifiers.fasttext_pairs import fill_table

        known = np.full(len(self.offsets) - 1, np.nan)  # labels, which text may spell, stay so
        known[: len(self.scalars)] = self.scalars[:, 0]
        size = 1 << max(4, int(np.ceil(np.log2(3 * len(known) + 2))))
        self.fingerprints, self.values = np.zeros(size, np.uint64), np.zeros(size)
        fill_table(self.words, self.offsets, known, self.fingerprints, self.values)

    def logits(self, texts: Texts) -> np.ndarray:
        """[documents, labels] logits relative to the first label."""
        if isinstance(texts, pa.ChunkedArray):
            return np.concatenate(
                [self.logits(chunk) for chunk in texts.chunks] or [np.zeros((0, self.scalars.shape[1] + 1))]
            )
        array = texts if isinstance(texts, pa.Array) else pa.array(texts, pa.large_string())
        relative = self._score(array.cast(pa.large_string()))
        return np.concatenate([np.where(np.isnan(relative[:, :1]), np.nan, 0.0), relative], axis=1)

    def _score(self, array: pa.Array) -> np.ndarray:
        from mashbill.classifiers.fasttext_kernels import score_documents

        text, bounds = buffers(array)
        out = np.empty((len(array), self.scalars.shape[1]))
        if self.pairs:
            from mashbill.classifiers.fasttext_pairs import score_pairs

            end = self.scalars[self.end_row, 0] if self.end_row >= 0 else np.nan
            score_pairs(
                text,
                bounds,
                self.fingerprints,
                self.values,
                self.buckets[:, 0],
                self.prefix,
                end,
                self.word_ngrams == 2,
                out[:, 0],
            )
            return out
        score_documents(
            text,
            bounds,
            self.slots,
            self.words,
            self.offsets,
            self.scalars,
            self.counts,
            self.buckets,
            self.prefix,
            self.end_row,
            self.word_ngrams,
            self.shortest,
            self.longest,
            out,
        )
        return out

    @staticmethod
    def _project(rows: np.ndarray, directions: np.ndarray) -> np.ndarray:
        """[rows, labels - 1] float32, a block of rows at a time so that no float64 copy of the matrix is
        made."""
        result = np.empty((len(rows), directions.shape[1]), np.float32)
        for start in range(0, len(rows), COLLAPSE_ROWS):
            result[start : start + COLLAPSE_ROWS] = (
                rows[start : start + COLLAPSE_ROWS].astype(np.float64) @ directions
            )
        return result


def _needs_official(model: Any) -> bool:
    """Quantised, hierarchical-softmax and one-vs-all models do not collapse."""
    return (
        bool(model.f.isQuant())
        or not str(model.f.getArgs().loss).endswith("softmax")
        or len(model.labels) < 2
    )


def _slots(words: list[bytes]) -> np.ndarray:
    """Open-addressed table from hash to row."""
    from mashbill.classifiers.fasttext_kernels import FNV_OFFSET, FNV_PRIME

    size = 1
    while size < 3 * len(words) + 2:
        size *= 2
    slots = np.full(size, -1, np.int32)
    for row, word in enumerate(words):
        state = FNV_OFFSET
        for byte in word:
            state = ((state ^ (byte if byte < 128 else byte | 0xFFFFFF00)) * FNV_PRIME) & 0xFFFFFFFF
        slot = state & (size - 1)
        while slots[slot] >= 0:
            slot = (slot + 1) & (size - 1)
        slots[slot] = row
    return slots
