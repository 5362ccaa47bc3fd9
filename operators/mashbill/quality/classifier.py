"""Training the quality classifier: fastText on good and bad examples, with PreSelect's settings and one
thread, so that it repeats."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mashbill.artifacts.record import Part
from mashbill.classifiers import FastTextScorer
from mashbill.classifiers.normalisation import Normalisation
from mashbill.config import QualityConfig
from mashbill.errors import DataError

POSITIVE, NEGATIVE = "__label__1", "__label__0"
HELD_OUT_TAG = 401
PRESELECT_EPOCHS = 3
EXAMPLES_SHOWN = 50_000
"""Few examples need more passes: on 832 extremes of the demo, 3 passes told 64% of held-out ones apart, 50 to
90 passes 93%."""
TELLING_WORDS, COMMON_WORDS = 25, 5_000


class TrainedClassifier(Part):
    """What is known of a classifier that was trained here.

    Attributes:
        held_out_accuracy: share of held-out examples that are told right.
        calibration: slope and intercept of the logit, and its expected error before; empty where only one
            class is held out.
        telling_words: those that speak most for good text, and most against it.
        positives, negatives: numbers of examples.
    """

    held_out_accuracy: float
    calibration: dict[str, float]
    telling_words: dict[str, list[str]]
    positives: int
    negatives: int


def train_classifier(
    positives: Sequence[str], negatives: Sequence[str], config: QualityConfig, *, seed: int, path: Path
) -> TrainedClassifier:
    """Train, and measure on examples that are held out.

    Args:
        positives: texts that stand for good.
        negatives: texts that stand for bad.
        config: fastText's settings.
        seed: which examples are held out.
        path: where the .bin file is written, with its normalisation beside it.
    Raises:
        DataError: too few examples to hold any out.
    """
    import fasttext

    rule = Normalisation(config.lowercase)
    texts = [*positives, *negatives]
    good = np.arange(len(texts)) < len(positives)
    order = np.random.default_rng([seed, HELD_OUT_TAG]).permutation(len(texts))
    held = max(2, round(len(texts) * config.held_out_share))
    if len(texts) - held < 2:
        raise DataError(
            "quality.sample_documents", f"leaves {len(texts)} examples", "raise it or quality.extreme_share"
        )
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".txt") as file:
        file.writelines(f"{POSITIVE if good[i] else NEGATIVE} {rule.line(texts[i])}\n" for i in order[held:])
        file.flush()
        model = fasttext.train_supervised(
            file.name,
            epoch=config.epochs or max(PRESELECT_EPOCHS, -(-EXAMPLES_SHOWN // (len(texts) - held))),
            lr=config.learning_rate,
            dim=config.dimension,
            wordNgrams=config.word_ngrams,
            bucket=config.buckets,
            thread=1,
            verbose=0,
        )
    model.save_model(str(path))
    rule.write(path)
    scorer = FastTextScorer.load(path, keep_table=False)  # the artifact is not done yet
    margins = np.nan_to_num(scorer.margins([texts[i] for i in order[:held]], label=POSITIVE))
    return TrainedClassifier(
        held_out_accuracy=float(((margins > 0) == good[order[:held]]).mean()),
        calibration=calibration(margins, good[order[:held]]),
        telling_words=telling_words(scorer),
        positives=len(positives),
        negatives=len(negatives),
    )


def calibration(margins: np.ndarray, good: np.ndarray) -> dict[str, float]:
    """Platt's scaling on held-out examples.

    Args:
        margins: [examples] logits; good: [examples] bool.
    Returns:
        slope and intercept, by which a margin becomes a calibrated logit, and the expected calibration error
        of the raw probability (ten bins); empty where only one class is held out.
    """
    if good.all() or not good.any():
        return {}
    from sklearn.linear_model import LogisticRegression

    fitted = LogisticRegression().fit(margins[:, None], good)
    probability = 1 / (1 + np.exp(-np.clip(margins, -30, 30)))
    bins = np.minimum((probability * 10).astype(int), 9)
    error = sum(
        abs(probability[bins == b].mean() - good[bins == b].mean()) * (bins == b).mean()
        for b in np.unique(bins)
    )
    return {
        "slope": float(fitted.coef_[0, 0]),
        "intercept": float(fitted.intercept_[0]),
        "expected_error": float(error),
    }


def telling_words(scorer: FastTextScorer) -> dict[str, list[str]]:
    """Among the commonest words of the model, those that speak most for good text and most against it,
    strongest first."""
    words, weights = scorer.word_weights(POSITIVE)
    words, weights = words[:COMMON_WORDS], weights[:COMMON_WORDS]
    order = [i for i in np.argsort(-weights, kind="stable").tolist() if words[i] != "</s>"]
    return {
        "good": [words[i] for i in order[:TELLING_WORDS]],
        "bad": [words[i] for i in order[::-1][:TELLING_WORDS]],
    }
