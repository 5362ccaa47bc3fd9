"""A look at what documents are scored with before any is read: classifiers that are whole and know the label,
models of the family that can be loaded."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from mashbill.classifiers.fasttext_file import FastTextFile
from mashbill.classifiers.normalisation import Normalisation, sidecar
from mashbill.config import PipelineConfig
from mashbill.config.check import Check
from mashbill.errors import ConfigError
from mashbill.models.folder import look_at_model
from mashbill.storage import local_path

SHOWN = 10


def check_quality(config: PipelineConfig) -> Iterator[Check]:
    """Classifiers, or the models that a classifier is learnt from."""
    quality = config.quality
    given_classifiers = [("quality.classifier", quality.classifier)] if quality.classifier else []
    for setting, given in [*given_classifiers, *(("quality.ensemble", given) for given in quality.ensemble)]:
        yield Check(setting, partial(_classifier, config, setting, given))
    for given in quality.family:
        yield Check("quality.family", partial(_model, config, given))
    if not (quality.classifier or quality.family or quality.positives):
        yield Check("bootstrap.models", partial(_bootstrap, config))


def _classifier(config: PipelineConfig, setting: str, given: str) -> str:
    path = local_path(config, setting, given, beside=(sidecar(Path(given)).name,))
    labels, label = FastTextFile.read(path).labels, config.quality.positive_label
    Normalisation.read(path)
    if label not in labels:
        raise ConfigError(
            "quality.positive_label",
            f"{label!r} is no label of {given}",
            f"choose one of {', '.join(labels[:SHOWN])}",
        )
    return f"{given}: {len(labels)} labels; {label} stands for good text"


def _model(config: PipelineConfig, given: str) -> str:
    folder = local_path(config, "quality.family", given)
    if config.quality.abilities and folder.name not in config.quality.abilities:
        raise ConfigError(
            f"quality.abilities.{folder.name}", "is missing", "give the score of every model of the family"
        )
    return f"{given}: {look_at_model(folder)}"


def _bootstrap(config: PipelineConfig) -> str:
    bootstrap = config.bootstrap
    if bootstrap.models < 2 and bootstrap.family == "train":
        what = f"is {bootstrap.models}, and predictive strength needs at least two models"
        raise ConfigError("bootstrap.models", what, "raise it, or give quality.family or quality.classifier")
    return f"{bootstrap.models} models, {bootstrap.group_size} in a task"
