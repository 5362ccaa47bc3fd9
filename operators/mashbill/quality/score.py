"""The score stage: a classifier by PreSelect, by contrast with named good text (DCLM), or as given, and every
document's margin."""

import json
import shutil
from collections.abc import Sequence
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
from mashbill.quality.samples import deduplicated_partitions, reference_texts, sample_documents
from mashbill.quality.scores import SCORES
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
    partitions, store = deduplicated_partitions(run), DocumentStore.into(run.files)
    tally, tables, pace = Tally.over(run.config.domain_names), [], Pace(len(partitions))
    work = partial(_score_partition, store, tuple(scorers), label)
    for done, (flow, table) in enumerate(spread(run.config.engine, work, partitions, output=run.files)):
        told = pace.after(flow.bytes_in)
        run.progress(0.75 + 0.25 * (done + 1) / len(partitions), f"scoring {partitions[done].domain}: {told}")
        tally.add(partitions[done].domain, flow)
        tables.append(table)
    if len(scorers) > 1:
        ranked = rank_average(tables, len(scorers))
        for partition, table in zip(partitions, ranked, strict=True):
            store.write(table, partition.domain, partition.number, kind=SCORES)
    return tally.counts()


def _score_partition(
    store: DocumentStore, scorers: tuple[FastTextScorer, ...], label: str, partition: Partition
) -> tuple[Flow, pa.Table | None]:
    """Write the scores of a partition; or, as ranks are over the whole corpus, give them where several
    classifiers score."""
    table = _margins(scorers, label, partition)
    if not np.isfinite(table["margin"].to_numpy()).any():
        what = "has no feature that the classifier knows"
        raise DataError(f"domain {partition.domain}", what, "give another classifier")
    flow = Flow.through(len(table), pc.sum(table["bytes"]).as_py())
    if len(scorers) > 1:
        return flow, table
    store.write(table, partition.domain, partition.number, kind=SCORES)
    return flow, None


def _margins(scorers: tuple[FastTextScorer, ...], label: str, partition: Partition) -> pa.Table:
    table = partition.read(["id", "domain", "text"])
    sizes = pc.binary_length(table["text"]).cast(pa.int64())
    columns = {"id": table["id"], "domain": table["domain"], "bytes": sizes}
    for i, scorer in enumerate(scorers):
        margins = scorer.margins(table["text"], label=label)
        columns[f"margin_{i}"] = pa.array(np.where(np.isnan(margins), -np.inf, margins))
    columns["margin"] = columns["margin_0"]
    return pa.table(columns)


def rank_average(tables: Sequence[pa.Table], scorers: int) -> list[pa.Table]:
    """Replace ``margin`` by the logit of the mean rank under all scorers, ranks being over the whole corpus.

    Args:
        tables: partitions with columns margin_0, margin_1, ...
        scorers: how many there are.
    """
    from scipy.stats import rankdata

    ends = np.cumsum([len(table) for table in tables])
    ranks = np.zeros(ends[-1])
    for i in range(scorers):
        ranks += rankdata(np.concatenate([table[f"margin_{i}"].to_numpy() for table in tables])) / scorers
    share = (ranks - 0.5) / len(ranks)
    margins = np.split(np.log(share) - np.log1p(-share), ends[:-1])
    return [
        t.set_column(t.schema.get_field_index("margin"), "margin", pa.array(m))
        for t, m in zip(tables, margins, strict=True)
    ]
