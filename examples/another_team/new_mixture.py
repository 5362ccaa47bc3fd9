"""Another team's DAG: a run for each new mixture, which reads it from its artifact; and one that starts when
anything about the mixture is new, as any DAG that waits for an asset.
"""

from pathlib import Path
from typing import Any

from airflow.sdk import DAG, task

from mashbill.mixtures import Choice
from mashbill.operators import PipelineAssets
from mashbill.operators.assets import each_partition

mixture = PipelineAssets().mixture

with DAG("new_mixture", schedule=each_partition(mixture), tags=["another team"], doc_md=__doc__):

    @task
    def weights(partition_key: str, triggering_asset_events: Any) -> dict[str, float]:
        """The weights of the mixture whose fingerprint the run is of."""
        address = triggering_asset_events[mixture][-1].extra["address"]
        assert address.endswith(partition_key)
        return Choice.read(Path(address)).mixture

    weights()

with DAG("any_mixture", schedule=[mixture], tags=["another team"], doc_md=__doc__):

    @task
    def gain(triggering_asset_events: Any) -> float:
        """What it is predicted to gain over natural."""
        return float(triggering_asset_events[mixture][-1].extra["counts"]["gain"])

    gain()
