"""fastText classifiers as the engine uses them: quality, language, and whatever else a user trains."""

from mashbill.classifiers.fasttext_scorer import FastTextScorer

__all__ = ["FastTextScorer"]
