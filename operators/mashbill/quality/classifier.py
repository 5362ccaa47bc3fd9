"""Training the quality classifier: fastText on the extremes, with PreSelect's settings and one thread, so that it repeats."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mashbill.config import QualityConfig
from mashbill.errors import DataError

POSITIVE, NEGATIVE = "__label__1", "__label__0"
HELD_OUT_TAG = 401
PRESELECT_EPOCHS = 3
EXAMPLES_SHOWN = 50_000
"""Few examples need more passes: on 832 extremes of the demo, 3 passes told 64% of held-out ones apart, 50 to 90 passes 93%."""


def one_line(text: str) -> str:
    """The one text normalisation, of training and scoring alike: newlines are spaces."""
    return text.replace("\n", " ").replace("\r", " ")


def train_classifier(positives: Sequence[str], negatives: Sequence[str], config: QualityConfig, seed: int, path: Path) -> dict[str, Any]:
    """Train on the extremes and measure on those held out.

    Args:
        positives: texts that stand for good.
        negatives: texts that stand for bad.
        config: fastText's settings.
        seed: which examples are held out.
        path: where the .bin file is written.
    Returns:
        held_out_accuracy, positives and negatives.
    Raises:
        DataError: too few examples to hold any out.
    """
    import fasttext

    lines = [f"{POSITIVE} {one_line(text)}" for text in positives] + [f"{NEGATIVE} {one_line(text)}" for text in negatives]
    order = np.random.default_rng([seed, HELD_OUT_TAG]).permutation(len(lines))
    held = max(2, round(len(lines) * config.held_out_share))
    if len(lines) - held < 2:
        raise DataError("quality.sample_documents", f"leaves {len(lines)} extremes", "raise it or quality.extreme_share")
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".txt") as file:
        file.writelines(lines[i] + "\n" for i in order[held:])
        file.flush()
        model = fasttext.train_supervised(
            file.name,
            epoch=config.epochs or max(PRESELECT_EPOCHS, -(-EXAMPLES_SHOWN // (len(lines) - held))),
            lr=config.learning_rate,
            dim=config.dimension,
            wordNgrams=config.word_ngrams,
            bucket=config.buckets,
            thread=1,
            verbose=0,
        )
    model.save_model(str(path))
    right = sum(_predicted(model, lines[i]) == lines[i].split(" ", 1)[0] for i in order[:held])
    return {"held_out_accuracy": right / held, "positives": len(positives), "negatives": len(negatives)}


def _predicted(model: Any, line: str) -> str:
    found = model.f.predict(line.split(" ", 1)[1] + "\n", 1, 0.0, "strict")
    return str(found[0][1]) if found else ""
