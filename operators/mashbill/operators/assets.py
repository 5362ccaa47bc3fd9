"""Assets: what other DAGs are scheduled on, told only when it is new.

    with DAG("code_arrived", schedule=each_partition(PipelineAssets().documents, "code")): ...

An event has counts, fingerprint and address in its ``extra``. Of an asset that changed there is one event as
a whole, which starts DAGs with ``schedule=[asset]``, and one for each partition that changed (a domain, or a
mixture's fingerprint), which starts DAGs with a partitioned schedule. A run that found everything as it was
tells nothing.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow.sdk import AllowedKeyMapper, Asset, AssetAlias, PartitionedAssetTimetable
from airflow.sdk.exceptions import AirflowRuntimeError

from mashbill.stages.summary import ArtifactSummary

log = logging.getLogger(__name__)
WHOLE = "whole"
LOOKED_AT = 20
"""Events that are looked at for the last one of ours: a person may have made some by hand."""


@dataclass(frozen=True)
class PipelineAssets:
    """The assets of a pipeline; groups and operators that are given the same make the same.

    Args:
        pipeline: what their names begin with; pipelines that are not to start one another's consumers have
            names of their own.
    """

    pipeline: str = "mashbill"

    @property
    def documents(self) -> Asset:
        """Documents that are kept; partitions are domains."""
        return self._asset("documents")

    @property
    def tokens(self) -> Asset:
        """Token shards; partitions are domains."""
        return self._asset("tokens")

    @property
    def mixture(self) -> Asset:
        """The chosen mixture; partitions are mixtures' fingerprints."""
        return self._asset("mixture")

    @property
    def model(self) -> Asset:
        """Final models; partitions are fingerprints of the mixtures they were trained on."""
        return self._asset("model")

    def made_by(self, stage: str) -> Asset | None:
        """The asset that a stage makes, or None."""
        made = {
            "select": self.documents,
            "tokenize": self.tokens,
            "mix": self.mixture,
            "train": self.model,
        }
        return made.get(stage)

    def _asset(self, what: str) -> Asset:
        name = f"{self.pipeline}/{what}"
        return Asset(name=name, uri=f"x-mashbill://{name}", group="mashbill")


def whole(asset: Asset) -> AssetAlias:
    """The name under which an asset's events without a partition are told."""
    return AssetAlias(f"{asset.name}/{WHOLE}", group="mashbill")


def each_partition(asset: Asset, *names: str) -> PartitionedAssetTimetable:
    """A DAG's schedule: a run for each new partition, its name in ``partition_key``.

    Args:
        asset: one of ``PipelineAssets``.
        names: partitions that are waited for; none means all.
    """
    if names:
        return PartitionedAssetTimetable(assets=asset, default_partition_mapper=AllowedKeyMapper(list(names)))
    return PartitionedAssetTimetable(assets=asset)


def tell_what_is_new(task: Any, context: Any, *, made: ArtifactSummary, asset: Asset) -> None:
    """Have Airflow tell an asset's events as the task succeeds: of what is new since the last event."""
    before = _told_last(asset)
    new = sorted(name for name, identity in made.partitions.items() if before.get(name) != identity)
    if not new:
        task.log.info("%s: nothing is new since the last event of the asset %s", made.stage, asset.name)
        task.outlets = [one for one in task.outlets if one not in (asset, whole(asset))]
        return
    extra = _extra(made)
    events = context["outlet_events"]
    events[asset].extra = extra
    events[asset].add_partitions(new)
    events[whole(asset)].add(asset, extra)
    task.log.info("%s: the asset %s is new in %s", made.stage, asset.name, ", ".join(new))


def _extra(made: ArtifactSummary) -> dict[str, Any]:
    """What an event says of the artifact."""
    return {
        "stage": made.stage,
        "address": made.address,
        "fingerprint": made.fingerprint,
        "counts": dict(made.counts),
        "partitions": dict(made.partitions),
    }


def _told_last(asset: Asset) -> Mapping[str, str]:
    """Partitions of the last event that a stage told, with their fingerprints."""
    from airflow.sdk.execution_time.context import InletEventsAccessors

    try:
        events = list(InletEventsAccessors([asset])[asset].ascending(False).limit(LOOKED_AT))
    except AirflowRuntimeError as error:
        log.info("no event of the asset %s is to be had, so all of it is new (%s)", asset.name, error)
        return {}
    for event in events:
        told = (event.extra or {}).get("partitions")
        if isinstance(told, dict):
            return {name: str(identity) for name, identity in told.items()}
    return {}
