"""Mixtures of other methods and of one's own, by name, which stand beside the choice."""

from mashbill.artifacts import RecordOf


class BaselineMixtures(RecordOf[dict[str, dict[str, float]]]):
    """Weight by domain of each mixture, by name."""

    FILE = "baselines.json"
