"""Operators of curation: from sources to token shards."""

from mashbill.operators.base import StageOperator


class IngestDocuments(StageOperator):
    """Read the sources into partitioned documents.

    Example:
        IngestDocuments(
            task_id="ingest",
            documents={"web": "s3://lake/raw/web/**/*.jsonl.gz", "papers": "s3://lake/raw/papers/*.parquet"},
            references={"wikipedia": "s3://lake/wiki/*.parquet"},
            text_field="body",
            id_field="url",
            output="s3://lake/documents",
        )
    """

    stage = "ingest"


class FilterDocuments(StageOperator):
    """Remove documents, and lines, that rules say are not worth training on.

    Example:
        FilterDocuments(
            task_id="filter",
            documents="s3://lake/raw/*.parquet",
            apply=["gopher_quality", "length"],
            length={"min_characters": 200},
            text_field="body",
            output="s3://lake/clean",
        )
    """

    stage = "filter"


class DeduplicateDocuments(StageOperator):
    """Remove exact and near duplicates across domains.

    Example:
        DeduplicateDocuments(
            task_id="deduplicate",
            documents="{{ ti.xcom_pull('filter') }}",
            bands=14,
            rows=8,
            output="s3://lake/once",
        )
    """

    stage = "deduplicate"


class BootstrapQuality(StageOperator):
    """Train the family of proxies that measures predictive strength; parts that are missing are run first.

    Example:
        BootstrapQuality(
            task_id="bootstrap",
            documents={"web": "s3://lake/web/*.parquet", "papers": "s3://lake/papers/*.parquet"},
            models=14,
            output="s3://lake/family",
        )
    """

    stage = "bootstrap"


class ScoreQuality(StageOperator):
    """Score every document with a fastText quality classifier, trained here (PreSelect) or given.

    Example:
        ScoreQuality(
            task_id="score",
            documents="s3://lake/clean/*.parquet",
            classifier="s3://models/edu.bin",
            output="s3://lake/scores",
            text_field="body",
        )
    """

    stage = "score"


class SelectDocuments(StageOperator):
    """Keep the best-scored share of the text.

    Example:
        SelectDocuments(
            task_id="select",
            documents="s3://lake/clean/*.parquet",
            scores="{{ ti.xcom_pull('score') }}",
            keep_share=0.3,
            output="s3://lake/best",
            text_field="body",
        )
    """

    stage = "select"


class TokenizeDocuments(StageOperator):
    """Write token shards with a document-level split.

    Example:
        TokenizeDocuments(
            task_id="tokenize",
            documents={"web": "s3://lake/best/web/*.parquet", "papers": "s3://lake/best/papers/*.parquet"},
            tokenizer="s3://models/tokenizer.json",
            output="s3://lake/shards",
        )
    """

    stage = "tokenize"
