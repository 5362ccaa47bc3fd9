"""The score stage: a classifier by PreSelect, by contrast with named good text (DCLM), or as given, and every
document's margin."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mashbill.artifacts import Counts, Pace, StageRun
from mashbill.classifiers import FastTextScorer
from mashbill.classifiers.normalisation import sidecar
from mashbill.config import PipelineConfig
from mashbill.documents import DocumentStore, Flow, Partition, Tally
from mashbill.errors import ConfigError, DataError
from mashbill.partitions import spread
from mashbill.quality.classifier import POSITIVE, train_classifier
from mashbill.quality.family import STRENGTH, preselect_examples
from mashbill.quality.ranks import KeptMargins, Ranking, rank_margins
from mashbill.quality.samples import deduplicated_partitions, reference_texts, sample_documents
from mashbill.quality.scores import SCORES
from mashbill.quality.sketch import QuantileSketch
from mashbill.storage import local_path, path_identity

CLASSIFIER, FACTS = "classifier.bin", "quality.json"
OUTPUTS = {
    f"{SCORES.name}/": "margin of every document",
    CLASSIFIER: "the fastText model",
    STRENGTH: "the sample, its compression by each model and its predictive strength",
    FACTS: "abilities, levels of strength and documents on the thresholds', held-out accuracy, warnings",
}


def model_identity(config: PipelineConfig) -> Any:
    """Changes when a given classifier, its normalisation or the family changes."""
    quality = config.quality
    classifiers = [("quality.classifier", quality.classifier)] if quality.classifier else []
    classifiers += [("quality.ensemble", path) for path in quality.ensemble]
    identity = []
    for setting, given in classifiers:
        identity += path_identity(config, setting, given, beside=(_sidecar_name(given),))
    for given in quality.family:
        identity += path_identity(config, "quality.family", given)
    return identity


def given_classifiers(config: PipelineConfig) -> list[Path]:
    """The classifiers that the config names, on this machine, with their normalisation beside them."""
    quality = config.quality
    named = [("quality.classifier", quality.classifier or "")]
    named += [("quality.ensemble", path) for path in quality.ensemble]
    return [local_path(config, setting, given, beside=(_sidecar_name(given),)) for setting, given in named]


def _sidecar_name(given: str) -> str:
    return sidecar(Path(given)).name


def score(run: StageRun) -> Counts:
    """Score every document; train the classifier first where none is given."""
    config = run.config.quality
    facts: dict[str, Any]
    if config.classifier:
        label = config.positive_label
        given = given_classifiers(run.config)
        scorers = [FastTextScorer.load(path) for path in given]
        for source, name in ((given[0], CLASSIFIER), (sidecar(given[0]), sidecar(Path(CLASSIFIER)).name)):
            if source.exists():
                shutil.copyfile(source, run.output / name)
        facts = {
            "method": "ensemble" if config.ensemble else "classifier",
            "classifiers": [path.name for path in given],
        }
    else:
        label = POSITIVE
        positives, negatives, facts = contrast_examples(run) if config.positives else preselect_examples(run)
        run.progress(0.7, "training the classifier")
        trained = train_classifier(
            positives, negatives, config, seed=run.config.seed, path=run.output / CLASSIFIER
        )
        facts |= trained.model_dump()
        scorers = [FastTextScorer.load(run.output / CLASSIFIER, keep_table=False)]
    (run.output / FACTS).write_text(json.dumps(facts, ensure_ascii=False, indent=1))
    counts = _score_documents(run, scorers, label)
    told: Counts = {k: facts[k] for k in ("method", "held_out_accuracy") if k in facts}
    if facts.get("warnings"):
        told["warnings"] = len(facts["warnings"])
    return {**counts, **told}


def contrast_examples(run: StageRun) -> tuple[list[str], list[str], dict[str, Any]]:
    """As many texts of the named good sets as of the other domains, half the sample each.

    Source: DCLM (arXiv 2406.11794), section 4.4: positives from chosen sources against the rest.
    """
    config = run.config.quality
    unknown = [
        n for n in config.positives if n not in (*run.config.domain_names, *run.config.reference_names)
    ]
    if unknown:
        raise ConfigError(
            "quality.positives",
            f"names {unknown[0]!r}, which is neither a domain nor a reference",
            "correct the name",
        )
    half = config.sample_documents // 2
    domains = [n for n in config.positives if n in run.config.domain_names]
    references = [n for n in config.positives if n in run.config.reference_names]
    rest = [d for d in run.config.domain_names if d not in domains]
    if not rest:
        raise ConfigError(
            "quality.positives",
            "names every domain, and nothing is left to tell them from",
            "leave a domain out",
        )
    good = sample_documents(run, half, domains)["text"].to_pylist() if domains else []
    good += reference_texts(run, references, half) if references else []
    good = [good[i] for i in np.linspace(0, len(good) - 1, min(half, len(good))).astype(int)]
    bad = sample_documents(run, len(good), rest)["text"].to_pylist()
    return good, bad, {"method": "contrast", "positive_sets": list(config.positives)}


def _score_documents(run: StageRun, scorers: Sequence[FastTextScorer], label: str) -> Counts:
    partitions, several = deduplicated_partitions(run), len(scorers) > 1
    tally, pace = Tally.over(run.config.domain_names), Pace(len(partitions))
    kept = KeptMargins(run.shared, len(scorers)) if several else None
    sketches = [QuantileSketch() for _ in scorers] if several else []
    work = partial(_score_partition, _Scoring(DocumentStore.into(run.files), tuple(scorers), label, kept))
    scored = spread(run.config.engine, work, list(enumerate(partitions)), output=run.files)
    upto = 0.15 if several else 0.25
    for done, (partition, (flow, found)) in enumerate(zip(partitions, scored, strict=True)):
        told = pace.after(flow.bytes_in)
        run.progress(0.75 + upto * (done + 1) / len(partitions), f"scoring {partition.domain}: {told}")
        tally.add(partition.domain, flow)
        for sketch, other in zip(sketches, found, strict=True):
            sketch.merge(other)
    if kept is not None:
        _write_ranked(run, kept, sketches)
    return tally.counts()


@dataclass(frozen=True)
class _Scoring:
    """What scoring a partition needs, wherever it runs.

    Attributes:
        store: where scores are written; scorers: the classifiers; label: that stands for good text.
        kept: where margins are kept until they are ranked, where there are several classifiers.
    """

    store: DocumentStore
    scorers: tuple[FastTextScorer, ...]
    label: str
    kept: KeptMargins | None


def _score_partition(job: _Scoring, given: tuple[int, Partition]) -> tuple[Flow, Sequence[QuantileSketch]]:
    """Write the scores of a partition; or, as ranks are over the whole corpus, keep its margins where several
    classifiers score, unless a killed run has, and give sketches of them."""
    place, partition = given
    finished = job.kept is not None and job.kept.has(place)
    table = job.kept.read(place) if job.kept and finished else _margins(job.scorers, job.label, partition)
    first = table["margin_0"]
    if not np.isfinite(first.to_numpy()).any():
        what = "has no feature that the classifier knows"
        raise DataError(f"domain {partition.domain}", what, "give another classifier")
    flow = Flow.through(len(table), pc.sum(table["bytes"]).as_py())
    if job.kept is None:
        scores = table.append_column("margin", first)
        job.store.write(scores, partition.domain, partition.number, kind=SCORES)
        return flow, ()
    if not finished:
        job.kept.put(place, table)
    return flow, job.kept.sketches(table)


def _margins(scorers: tuple[FastTextScorer, ...], label: str, partition: Partition) -> pa.Table:
    table = partition.read(["id", "domain", "text"])
    sizes = pc.binary_length(table["text"]).cast(pa.int64())
    columns = {"id": table["id"], "domain": table["domain"], "bytes": sizes}
    for i, scorer in enumerate(scorers):
        margins = scorer.margins(table["text"], label=label)
        columns[f"margin_{i}"] = pa.array(np.where(np.isnan(margins), -np.inf, margins))
    return pa.table(columns)


def _write_ranked(run: StageRun, kept: KeptMargins, sketches: Sequence[QuantileSketch]) -> None:
    """Write the scores of all partitions: logits of the mean ranks under all classifiers."""
    partitions = deduplicated_partitions(run)
    ranking = rank_margins(
        kept,
        sketches,
        len(partitions),
        engine=run.config.engine,
        done=lambda share: run.progress(0.9 + 0.05 * share, "ranking"),
    )
    work = partial(_write_partition, DocumentStore.into(run.files), ranking)
    for done, _ in enumerate(spread(run.config.engine, work, list(enumerate(partitions)), output=run.files)):
        run.progress(0.95 + 0.05 * (done + 1) / len(partitions), "writing ranks")


def _write_partition(store: DocumentStore, ranking: Ranking, given: tuple[int, Partition]) -> None:
    place, partition = given
    store.write(ranking.ranked(place), partition.domain, partition.number, kind=SCORES)
