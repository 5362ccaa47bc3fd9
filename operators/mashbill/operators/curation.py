"""Operators of curation: from sources to token shards."""

from mashbill.operators.base import StageOperator


class IngestDocuments(StageOperator):
    """Read the sources into partitioned documents."""

    stage = "ingest"


class FilterDocuments(StageOperator):
    """Remove documents, and lines, that rules say are not worth training on."""

    stage = "filter"


class DeduplicateDocuments(StageOperator):
    """Remove exact and near duplicates across domains."""

    stage = "deduplicate"


class BootstrapQuality(StageOperator):
    """Train the family of proxies that measures predictive strength; parts that are missing are run first."""

    stage = "bootstrap"


class ScoreQuality(StageOperator):
    """Score every document with a fastText quality classifier, trained here (PreSelect) or given."""

    stage = "score"


class SelectDocuments(StageOperator):
    """Keep the best-scored share of the text."""

    stage = "select"


class TokenizeDocuments(StageOperator):
    """Write token shards with a document-level split."""

    stage = "tokenize"
