"""The collapsed fastText scorer: equal to the official library, many times faster.

A supervised fastText model is linear up to its softmax: a label's logit is the mean of its rows' vectors
times the label's output vector. For n labels the probabilities depend on n - 1 scalars a row, ``input[row] .
(output[label] - output[base])``. Those are computed once; scoring is hashing UTF-8 bytes and adding numbers,
straight from an Arrow buffer.

The official library reports a probability p as p + 1e-5 (its log has that offset). Its sums are float32, ours
float64: on very long documents ours are the more exact.
"""

from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa

from mashbill.classifiers.collapsed import Collapsed, Texts
from mashbill.classifiers.fasttext_file import MEND
from mashbill.classifiers.normalisation import Normalisation
from mashbill.classifiers.tables import load_collapsed
from mashbill.errors import ConfigError

LOG_OFFSET = 1e-5


class FastTextScorer:
    """Scores documents with a supervised fastText model.

    Args:
        model: collapsed, or, where it does not collapse, the library's.
        normalisation: how texts are put before it.

    Attributes:
        labels: its labels, as in the model.
        collapsed: the collapsed model; None where the library scores.
    """

    def __init__(self, model: Any, normalisation: Normalisation | None = None) -> None:
        self.normalisation = normalisation or Normalisation()
        self.collapsed = model if isinstance(model, Collapsed) else None
        self.official: Any = None if self.collapsed else model
        self.labels: list[str] = list(self.collapsed.features.labels if self.collapsed else model.labels)

    @classmethod
    def load(cls, path: str | Path, *, keep_table: bool = True) -> Self:
        """A scorer for a ``.bin`` or ``.ftz`` file.

        Args:
            path: the file.
            keep_table: whether the collapsed model is kept beside it, and read from there the next time.
        Raises:
            ConfigError: the file is missing, or is no supervised fastText model.
        """
        place = Path(path)
        try:
            model = load_collapsed(place, keep=keep_table) or _load_official(place)
        except OSError as error:
            raise ConfigError(str(place), f"cannot be read ({error.strerror})", MEND) from error
        except ValueError as error:
            raise ConfigError(str(place), f"is not a fastText model ({error})", MEND) from error
        return cls(model, Normalisation.read(place))

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
            for probability, label in self.official.f.predict(
                text.replace("\n", " ") + "\n", len(self.labels), 0.0, "strict"
            ):
                result[i, places[label]] = probability
        return result


def _load_official(path: Path) -> Any:
    """The library's model, for those that do not collapse: quantised, hierarchical softmax, one-vs-all. Its
    file was found whole."""
    import fasttext

    return fasttext.load_model(str(path))
