"""Curation alone: documents of others' files, or of what another operator wrote, in place of the stages
before."""

from collections.abc import Mapping
from typing import Any

from mashbill.alone.arguments import CORPUS, corpus_of
from mashbill.alone.arguments import DOCUMENTS as SETS
from mashbill.alone.given import Given, Ready, referring, stand_in
from mashbill.alone.scores import scores_of
from mashbill.artifacts import Artifact
from mashbill.config import PipelineConfig
from mashbill.config.section import Settings
from mashbill.documents import DOCUMENTS, EVALUATIONS, REFERENCES, DocumentStore
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
KINDS = (DOCUMENTS, REFERENCES, EVALUATIONS)


def for_ingest(given: Given) -> Ready:
    """What ingest reads: the sources alone."""
    return Ready(given.config(_with_settings(given, _sources(given))), {})


def for_filter(given: Given) -> Ready:
    """What filter reads: documents and what they must not repeat, in one artifact."""
    config, documents, _ = documents_of(given, together=True)
    return Ready(config, {"ingest": documents})


def for_deduplicate(given: Given) -> Ready:
    """What deduplicate reads: documents, and what they must not repeat."""
    config, documents, sets = documents_of(given)
    return Ready(config, {"ingest": sets, "filter": documents})


def for_bootstrap(given: Given) -> Ready:
    """What bootstrap reads: documents of several domains, and references."""
    config, documents, sets = documents_of(given)
    if len(config.domain_names) == 1:
        what = "have one domain, and models of a family differ by their mixture of at least two"
        raise ConfigError(given.where(SETS[0]), what, "give documents by domain")
    return Ready(config, {"ingest": sets, "deduplicate": documents})


def for_score(given: Given) -> Ready:
    """What score reads: documents and references, and a family where none of its settings says how."""
    if not any(given.get(name) for name in ("classifier", "positives", "family", "proxies")):
        mend = "give classifier, positives, family or proxies"
        raise ConfigError(given.where("classifier"), "says nothing to score by", mend)
    config, documents, sets = documents_of(given)
    proxies = given.get("proxies")
    if proxies is None:
        bootstrap = stand_in(config, "bootstrap", "none", write=lambda _: {"proxies": 0})
    else:
        bootstrap = referring(
            config, "bootstrap", given.made("proxies", config, holds="proxies", by="BootstrapQuality")
        )
    return Ready(config, {"ingest": sets, "deduplicate": documents, "bootstrap": bootstrap})


def for_select(given: Given) -> Ready:
    """What select reads: documents and their scores."""
    config, documents, _ = documents_of(given)
    return Ready(config, {"deduplicate": documents, "score": scores_of(given, config, documents)})


def for_tokenize(given: Given) -> Ready:
    """What tokenize reads: documents and references."""
    config, documents, sets = documents_of(given)
    return Ready(config, {"ingest": sets, "select": documents})


def documents_of(given: Given, *, together: bool = False) -> tuple[PipelineConfig, Artifact, Artifact]:
    """The config, the documents, and the references and evaluation sets.

    Args:
        given: the arguments.
        together: whether both must be in one artifact.
    Raises:
        ConfigError: nothing matches, or a name is none.
        DataError: a set has no document, or too many records are rejected.
    """
    corpus, written = _sources(given), _written(given)
    others = {field: corpus[field] for field in CORPUS[1:] if field in corpus}
    if written is not None:
        corpus = _sets_of(written, others)
    config = given.config(_with_settings(given, corpus))
    if together and (written is None or others):
        whole = _refer(config)
        return config, whole, whole
    if written is not None:
        documents = referring(config, REFERRED.name, written)
    else:
        documents = _refer(_having(config, CORPUS[:1]))
    return config, documents, _refer(_having(config, tuple(others))) if others else documents


def _sources(given: Given) -> Settings:
    return corpus_of(given.values, given.arguments.sources(given.values))


def _with_settings(given: Given, corpus: Mapping[str, Any]) -> Settings:
    """The sets, beside the settings of the corpus that are given."""
    return {**given.arguments.raw(given.values, {})["corpus"], **corpus}


def _having(config: PipelineConfig, fields: tuple[str, ...]) -> PipelineConfig:
    """The config with some of its sets."""
    nothing: dict[str, tuple[()]] = {field: () for field in CORPUS if field not in fields}
    return config.model_copy(update={"corpus": config.corpus.model_copy(update=nothing)})


def _written(given: Given) -> Artifact | None:
    """What another operator wrote, where that is given as documents."""
    place = given.get(SETS[0])
    if not isinstance(place, str):
        return None
    found = given.published(place, given.ground)
    return found if found is not None and found.names(DOCUMENTS.name) else None


def _sets_of(written: Artifact, others: Mapping[str, Any]) -> Settings:
    """The sets of what another operator wrote, and those that are given beside it; each as files too."""
    store, corpus = DocumentStore.of(written), {}
    for field, kind in zip(CORPUS, KINDS, strict=True):
        own = [
            {
                "name": name,
                "sources": [
                    {
                        "path": f"{written.address}/{kind.name}/{name}/*.parquet",
                        "id_field": "id",
                        "metadata_fields": ["metadata"],
                    }
                ],
            }
            for name in store.sets(kind)
        ]
        corpus[field] = [*own, *others.get(field, [])]
    return corpus


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
