"""Documents that a fastText language model takes for another language."""

from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa

from mashbill.artifacts import StageRun
from mashbill.classifiers import FastTextScorer
from mashbill.config import PipelineConfig
from mashbill.config.filters import LanguageFilter
from mashbill.errors import ConfigError
from mashbill.filters.filter import Filter, Verdict
from mashbill.storage import local_path

SETTING = "filters.language.classifier"


class Language(Filter):
    """Documents that a fastText language model takes for another language."""

    name, reasons = "language", ("kept", "other_language")

    def __init__(self, settings: LanguageFilter, classifier: Path) -> None:
        self.scorer = FastTextScorer.load(classifier)
        self.labels, self.least = settings.labels, settings.min_probability
        for label in self.labels:
            if label not in self.scorer.labels:
                raise ConfigError(
                    "filters.language.labels",
                    f"names {label}, which the model does not know",
                    "use the model's labels",
                )

    @classmethod
    def for_run(cls, run: StageRun) -> Self:
        """The filter with the config's model."""
        settings = run.config.filters.language
        return cls(settings, local_path(run.config, SETTING, settings.classifier or ""))

    @classmethod
    def files(cls, config: PipelineConfig) -> dict[str, str]:
        """The language model."""
        return {SETTING: config.filters.language.classifier or ""}

    def __call__(self, texts: pa.Array, metadata: pa.Array) -> Verdict:
        """Decide on documents; one without a known feature is of no language."""
        del metadata
        probability = np.sum([self.scorer.score(texts, label=label) for label in self.labels], axis=0)
        return Verdict((~(probability >= self.least)).astype(np.uint8), None, {})
