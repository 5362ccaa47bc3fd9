"""Quality: predictive strength, the classifier that learns it, scores and selection."""

from mashbill.classifiers import FastTextScorer

__all__ = ["FastTextScorer"]
