"""Another team's DAG: a run for each domain whose documents are new, whoever curated them.

``partition_key`` is the domain; the event says where the documents are, how many, and by which fingerprint.
"""

from typing import Any

from airflow.sdk import DAG, task

from mashbill.operators import PipelineAssets
from mashbill.operators.assets import each_partition

documents = PipelineAssets().documents

with DAG("new_documents", schedule=each_partition(documents), tags=["another team"], doc_md=__doc__):

    @task
    def look_at(partition_key: str, triggering_asset_events: Any) -> dict[str, Any]:
        """Say what is new, and where."""
        event = triggering_asset_events[documents][-1]
        return {
            "domain": partition_key,
            "address": event.extra["address"],
            "documents": event.extra["counts"]["documents_out"],
        }

    look_at()
