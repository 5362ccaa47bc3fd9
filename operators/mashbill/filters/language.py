"""Documents that a fastText language model takes for another language."""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa

from mashbill.artifacts import StageRun
from mashbill.classifiers import FastTextScorer
from mashbill.classifiers.fasttext_file import FastTextFile
from mashbill.config import PipelineConfig
from mashbill.config.check import Check
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
        _know(self.scorer.labels, self.labels)

    @classmethod
    def for_run(cls, run: StageRun) -> Self:
        """The filter with the config's model."""
        settings = run.config.filters.language
        return cls(settings, local_path(run.config, SETTING, settings.classifier or ""))

    @classmethod
    def files(cls, config: PipelineConfig) -> dict[str, str]:
        """The language model."""
        return {SETTING: config.filters.language.classifier or ""}

    @classmethod
    def checks(cls, config: PipelineConfig) -> Iterator[Check]:
        """The language model: that it is whole, and knows the languages."""

        def look() -> str:
            settings = config.filters.language
            path = local_path(config, SETTING, settings.classifier or "")
            labels = FastTextFile.read(path).labels
            _know(labels, settings.labels)
            return f"{settings.classifier}: {len(labels)} languages, of which {len(settings.labels)} stay"

        yield Check(SETTING, look)

    def __call__(self, texts: pa.Array, metadata: pa.Array) -> Verdict:
        """Decide on documents; one without a known feature is of no language."""
        del metadata
        probability = np.sum([self.scorer.score(texts, label=label) for label in self.labels], axis=0)
        return Verdict((~(probability >= self.least)).astype(np.uint8), None, {})


def _know(known: Collection[str], wanted: Collection[str]) -> None:
    for label in wanted:
        if label not in known:
            what = f"names {label}, which the model does not know"
            raise ConfigError("filters.language.labels", what, "use the model's labels")
