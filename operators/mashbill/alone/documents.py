"""Curation alone: documents of others' files, or of what another operator wrote, in place of the stages
before."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mashbill.alone.arguments import DOCUMENTS as SETS
from mashbill.alone.arguments import corpus_of
from mashbill.alone.given import Given, referring, stand_in
from mashbill.artifacts import Artifact
from mashbill.config import PipelineConfig
from mashbill.documents import DOCUMENTS, REFERENCES, DocumentStore
from mashbill.errors import ConfigError, DataError, RunError
from mashbill.stages import StageJob
from mashbill.stages.check import check_config, refuse_problems
from mashbill.stages.stage import Stage

REFERRED = Stage(
    name="documents",
    summary="Say where documents are that others wrote, and count them.",
    sections=("corpus",),
    inputs=(),
    run="mashbill.corpus.outside:refer",
    check="mashbill.corpus.check:check_sources",
    external="mashbill.corpus.sources:source_identity",
)
"""A stage that no pipeline has: it stands in for all that give documents."""


@dataclass(frozen=True)
class Ready:
    """A config and the artifacts that a stage reads."""

    config: PipelineConfig
    inputs: Mapping[str, Artifact]


def for_scores(given: Given) -> Ready:
    """What score reads: documents and references, and no family."""
    if not any(given.get(name) for name in ("classifier", "positives", "family")):
        what = "says nothing to score by"
        raise ConfigError(given.where("classifier"), what, "give classifier, positives or family")
    config, documents, sets = documents_of(given)
    bootstrap = stand_in(config, "bootstrap", "none", write=lambda _: {"proxies": 0})
    return Ready(config, {"ingest": sets, "deduplicate": documents, "bootstrap": bootstrap})


def documents_of(given: Given) -> tuple[PipelineConfig, Artifact, Artifact]:
    """The config, the documents, and the references and evaluation sets.

    Raises:
        ConfigError: nothing matches, or a name is none.
        DataError: a set has no document, or too many records are rejected.
    """
    corpus = corpus_of(given.values, given.arguments.sources(given.values))
    written = _written(given)
    if written is None:
        config = given.config(_with_settings(given, corpus))
        referred = _refer(config)
        return config, referred, referred
    store = DocumentStore.of(written)
    for field, kind in (("domains", DOCUMENTS), ("references", REFERENCES)):
        names = store.sets(kind)
        own = [{"name": name, "sources": [{"path": written.address}]} for name in names]
        corpus[field] = own if field == "domains" else [*own, *corpus.get(field, [])]
    config = given.config(_with_settings(given, corpus))
    documents = referring(config, "documents", written)
    if all(given.get(name) is None for name in SETS[1:]):
        return config, documents, documents
    empty = config.model_copy(update={"corpus": config.corpus.model_copy(update={"domains": ()})})
    return config, documents, _refer(empty)


def _with_settings(given: Given, corpus: Mapping[str, Any]) -> dict[str, Any]:
    """The sets, beside the settings of the corpus that are given."""
    return {**given.arguments.raw(given.values, {})["corpus"], **corpus}


def _written(given: Given) -> Artifact | None:
    """What another operator wrote, where that is given as documents."""
    place = given.get(SETS[0])
    if not isinstance(place, str):
        return None
    names = given.arguments.by_name
    config = given.config({"domains": [{"name": names[SETS[0]].name, "sources": [{"path": place}]}]})
    found = given.published(place, config)
    return found if found is not None and found.names(DOCUMENTS.name) else None


def _refer(config: PipelineConfig) -> Artifact:
    """Others' files as an artifact."""
    try:
        return StageJob(REFERRED, config, {}).run()
    except (ConfigError, RunError):
        refuse_problems(check_config(config, [REFERRED]))  # which say which setting it is
        raise
    except DataError as error:
        if "missing_text" not in error.what:
            raise
        mend = "give files whose text_field holds text, or name the field that does"
        raise DataError(error.where, error.what, mend) from error
