"""Another team's DAG in the style of ``@task``: the engine's functions are plain Python, so a task of one's
own may call them, between stages or in their place.
"""

from pathlib import Path

from airflow.sdk import DAG, Param, task

from mashbill.artifacts import open_store
from mashbill.config import load_config
from mashbill.documents import DocumentStore
from mashbill.operators import IngestDocuments

with DAG(
    "engine_in_tasks",
    schedule=None,
    params={"config": Param(str(Path(__file__).parent / "pipeline.toml"), type="string")},
    tags=["another team"],
    doc_md=__doc__,
):
    CONFIG = "{{ params.config }}"

    @task
    def longest(address: str, config: str) -> dict[str, int]:
        """Characters of the longest document of each domain."""
        documents = DocumentStore.of(open_store(load_config(config)).open(address))
        return {
            domain: max(len(text) for text in documents.read(domain, columns=["text"])["text"].to_pylist())
            for domain in documents.sets()
        }

    ingested = IngestDocuments(task_id="ingest", config=CONFIG)
    longest(ingested.output, CONFIG)
