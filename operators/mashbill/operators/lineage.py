"""Lineage: what every operator tells OpenLineage, where a team has it: the datasets that a stage reads and
writes, their columns, rows and bytes, and the settings that determined the result.

The names of the methods are OpenLineage's, whose provider calls them; nothing here is imported before that.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

import mashbill
from mashbill.artifacts import Artifact, open_store
from mashbill.config import PipelineConfig, StageConfig
from mashbill.operators.connections import s3_access
from mashbill.stages import STAGES
from mashbill.stages.summary import ArtifactSummary

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage

GIVEN = {"score": ("quality", "classifier"), "tokenize": ("tokens", "tokenizer")}
"""Setting that names a file which a stage reads, by stage, beside the sources of ingest."""


class StageLineage:
    """The lineage of an operator that runs a stage, or parts of one."""

    stage: ClassVar[str] = ""
    config: str | None
    inputs: Mapping[str, Any]
    aws_conn_id: Any
    read: tuple[Artifact, ...] | None = None
    made: tuple[Artifact, ...] = ()

    def pipeline_config(self) -> PipelineConfig:
        """The config that the stage is run with."""
        raise NotImplementedError

    def addresses(self) -> dict[str, str]:
        """Of the artifacts that it reads, by stage."""
        raise NotImplementedError

    def get_openlineage_facets_on_start(self) -> "OperatorLineage[Any, Any]":
        """What is going to be read, and the settings."""
        return self._lineage()

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> "OperatorLineage[Any, Any]":
        """What was read and written, and the settings."""
        del task_instance
        return self._lineage(self.made)

    def get_openlineage_facets_on_failure(self, task_instance: Any) -> "OperatorLineage[Any, Any]":
        """What was read, what was written until it failed, and the settings."""
        del task_instance
        return self._lineage(self.made)

    def _lineage(self, made: tuple[Artifact, ...] = ()) -> "OperatorLineage[Any, Any]":
        from airflow.providers.openlineage.extractors import OperatorLineage

        config = self.pipeline_config() if self.config is not None else None
        return OperatorLineage(
            inputs=self._inputs(config),
            outputs=[_written(ArtifactSummary.of(artifact)) for artifact in made],
            run_facets=self._settings(config, made),
        )

    def _inputs(self, config: PipelineConfig | None) -> list[Any]:
        from openlineage.client.event_v2 import InputDataset

        if self.stage not in STAGES:
            return []
        read, places = self.read or (), []
        if config is not None:
            read = self._opened(config) if self.read is None else self.read
            places = _files_read(self.stage, config)
        files = [InputDataset(*dataset_name(place)) for place in places]
        return [_artifact_read(ArtifactSummary.of(artifact)) for artifact in read] + files

    def _opened(self, config: PipelineConfig) -> tuple[Artifact, ...]:
        """What is going to be read."""
        with s3_access(self.aws_conn_id):
            store = open_store(config)
            return tuple(store.open(address) for address in self.addresses().values())

    def _settings(self, config: PipelineConfig | None, made: tuple[Artifact, ...]) -> dict[str, Any]:
        from mashbill.operators.run_facet import NAME, StageRunFacet

        if self.stage not in STAGES:
            return {}
        stage = STAGES[self.stage]
        last = made[-1].manifest if made else None
        settings = last.settings if last else {}
        if not last and config is not None:
            settings = StageConfig.of(config, stage.sections, reader=f"stage {stage.name}").settings()
        facet = StageRunFacet(
            stage=stage.name,
            part=(last.part or "") if last else "",
            fingerprint=last.fingerprint if last else "",
            stageVersion=stage.version,
            mashbill=mashbill.__version__,
            settings=settings,
            seconds=sum(artifact.manifest.seconds for artifact in made),
        )
        return {NAME: facet}


def dataset_name(address: str) -> tuple[str, str]:
    """Namespace and name of what is at an address, by OpenLineage's naming."""
    parts = urlsplit(address)
    if not parts.scheme:
        return "file", address
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}", parts.path.lstrip("/") or "/"


def _files_read(stage: str, config: PipelineConfig) -> list[str]:
    if stage == "ingest":
        sets = (*config.corpus.domains, *config.corpus.references, *config.corpus.evaluations)
        return sorted({config.resolve(source.path) for one in sets for source in one.sources})
    section, field = GIVEN.get(stage, ("", ""))
    given = getattr(getattr(config, section), field) if section else None
    return [config.resolve(given)] if given else []


def _artifact_read(made: ArtifactSummary) -> Any:
    from openlineage.client.event_v2 import InputDataset
    from openlineage.client.generated.input_statistics_input_dataset import InputStatisticsInputDatasetFacet

    counted = InputStatisticsInputDatasetFacet(rowCount=made.rows, size=made.bytes, fileCount=made.files)
    return InputDataset(
        *dataset_name(made.address), facets=_facets(made), inputFacets={"inputStatistics": counted}
    )


def _written(made: ArtifactSummary) -> Any:
    from openlineage.client.event_v2 import OutputDataset
    from openlineage.client.facet_v2 import output_statistics_output_dataset as statistics

    counted = statistics.OutputStatisticsOutputDatasetFacet(
        rowCount=made.rows, size=made.bytes, fileCount=made.files
    )
    return OutputDataset(
        *dataset_name(made.address), facets=_facets(made), outputFacets={"outputStatistics": counted}
    )


def _facets(made: ArtifactSummary) -> dict[str, Any]:
    from openlineage.client.facet_v2 import dataset_version_dataset, schema_dataset

    facets: dict[str, Any] = {
        "version": dataset_version_dataset.DatasetVersionDatasetFacet(datasetVersion=made.fingerprint)
    }
    fields = [schema_dataset.SchemaDatasetFacetFields(name=name, type=kind) for name, kind in made.columns]
    if fields:
        facets["schema"] = schema_dataset.SchemaDatasetFacet(fields=fields)
    return facets
