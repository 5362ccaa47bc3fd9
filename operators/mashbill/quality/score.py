"""The score stage: PreSelect end to end, or a given classifier, and the margin of every document."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mashbill.artifacts import Counts, StageRun
from mashbill.classifiers.fasttext_scorer import FastTextScorer
from mashbill.config import PipelineConfig
from mashbill.errors import ConfigError, DataError
from mashbill.quality.classifier import POSITIVE, train_classifier
from mashbill.quality.predictive_strength import extremes, predictive_strength

SAMPLE_TAG = 402
ABILITY_DOCUMENTS = 400


def model_identity(config: PipelineConfig) -> Any:
    """Changes when the given classifier or family changes."""
    quality = config.quality
    paths = [Path(config.resolve(p)) for p in (*([quality.classifier] if quality.classifier else []), *quality.family)]
    identity = []
    for path in paths:
        if not path.exists():
            field = "quality.classifier" if quality.classifier else "quality.family"
            raise ConfigError(field, f"{path} does not exist", "correct the path")
        weights = path if path.is_file() else path / "model.safetensors"
        stat = (weights if weights.exists() else path).stat()
        identity.append([str(path), stat.st_size, stat.st_mtime_ns])
    return identity


def score(run: StageRun) -> Counts:
    """Score every document; train the classifier first where none is given."""
    given = run.config.quality.classifier
    if given:
        shutil.copyfile(run.config.resolve(given), run.output / "classifier.bin")
        facts: dict[str, Any] = {"method": "classifier"}
        label = run.config.quality.positive_label
    else:
        facts, label = _preselect(run), POSITIVE
    scorer = FastTextScorer.load(run.output / "classifier.bin")
    (run.output / "quality.json").write_text(json.dumps(facts, indent=1))
    return {**_score_documents(run, scorer, label), **{k: facts[k] for k in ("method", "held_out_accuracy") if k in facts}}


def _preselect(run: StageRun) -> dict[str, Any]:
    from mashbill.models.measuring import family_bits_per_byte, family_bits_per_character

    config = run.config.quality
    folders = [Path(run.config.resolve(f)) for f in config.family] or sorted((run.inputs["bootstrap"].path / "proxies").glob("*"))
    if len(folders) < 2:
        raise ConfigError("bootstrap.models", f"left {len(folders)} models, of which two are needed", "raise it, or give quality.family")
    run.progress(0.02, "measuring abilities")
    references = _reference_texts(run)
    abilities = {folder.name: family_bits_per_byte(folder, references) for folder in folders}
    sample = _sample(run)
    texts = sample["text"].to_pylist()
    bits = family_bits_per_character(folders, texts, config.sample_characters, lambda done, words: run.progress(0.1 + 0.6 * done, words))
    strength = predictive_strength(bits, -np.array(list(abilities.values())))
    best, worst = extremes(strength, config.extreme_share)
    run.progress(0.7, "training the classifier")
    trained = train_classifier([texts[i] for i in best], [texts[i] for i in worst], config, run.config.seed, run.output / "classifier.bin")
    side = np.full(len(texts), "none", dtype=object)
    side[best], side[worst] = "positive", "negative"
    table = pa.table(
        {
            "id": sample["id"],
            "domain": sample["domain"],
            "strength": strength,
            "bits_per_character": pa.array(list(bits), pa.list_(pa.float64())),
            "side": pa.array(side.tolist(), pa.string()),
        }
    )
    pq.write_table(table, run.output / "strength.parquet", compression="zstd")
    means = table.filter(pc.is_finite(table["strength"])).group_by("domain").aggregate([("strength", "mean")]).to_pylist()
    return {
        "method": "family" if config.family else run.config.bootstrap.family.replace("train", "bootstrap"),
        "abilities": abilities,
        **trained,
        "strength_quantiles": np.nanquantile(strength, [0, 0.25, 0.5, 0.75, 1]).tolist(),
        "strength_by_domain": {row["domain"]: row["strength_mean"] for row in means},
    }


def _reference_texts(run: StageRun) -> list[str]:
    names = run.config.quality.ability_references or run.config.reference_names
    if not names:
        raise ConfigError("corpus.references", "is empty, and abilities are measured on references", "add one, or give quality.classifier")
    texts: list[str] = []
    for name in names:
        files = sorted((run.inputs["ingest"].path / "references" / name).glob("*.parquet"))
        texts += pq.read_table(files[0], columns=["text"])["text"].slice(0, ABILITY_DOCUMENTS).to_pylist()
    return texts


def _sample(run: StageRun) -> pa.Table:
    """Documents drawn evenly over the whole corpus, in its order."""
    files = _document_files(run)
    rows = [pq.read_metadata(path).num_rows for path in files]
    total = sum(rows)
    count = min(total, run.config.quality.sample_documents)
    chosen = np.sort(np.random.default_rng([run.config.seed, SAMPLE_TAG]).choice(total, count, replace=False))
    starts = np.concatenate([[0], np.cumsum(rows)])
    tables = []
    for path, start, stop in zip(files, starts[:-1], starts[1:], strict=True):
        here = chosen[(chosen >= start) & (chosen < stop)] - start
        if len(here):
            tables.append(pq.read_table(path, columns=["id", "domain", "text"]).take(pa.array(here)))
    return pa.concat_tables(tables)


def _score_documents(run: StageRun, scorer: FastTextScorer, label: str) -> Counts:
    files = _document_files(run)
    by_domain = {d: {"documents_in": 0, "documents_out": 0, "bytes_in": 0, "bytes_out": 0} for d in run.config.domain_names}
    for i, path in enumerate(files):
        run.progress(0.75 + 0.25 * i / len(files), f"scoring {path.parent.name}")
        table = pq.read_table(path, columns=["id", "domain", "text"])
        margins = scorer.margins(table["text"], label=label)
        if np.isnan(margins).all():
            raise DataError(f"domain {path.parent.name}", "has no feature that the classifier knows", "give another classifier")
        margins = np.where(np.isnan(margins), -np.inf, margins)
        sizes = pc.binary_length(table["text"]).cast(pa.int64())
        out = run.output / "scores" / path.parent.name / path.name
        out.parent.mkdir(parents=True, exist_ok=True)
        scores = pa.table({"id": table["id"], "domain": table["domain"], "margin": margins, "bytes": sizes})
        pq.write_table(scores, out, compression="zstd")
        row, size = by_domain[path.parent.name], pc.sum(sizes).as_py()
        for key, value in (("documents_in", len(table)), ("documents_out", len(table)), ("bytes_in", size), ("bytes_out", size)):
            row[key] += value
    totals = {key: sum(row[key] for row in by_domain.values()) for key in ("documents_in", "documents_out", "bytes_in", "bytes_out")}
    return {**totals, "by_domain": by_domain, "removed": {}}


def _document_files(run: StageRun) -> list[Path]:
    folder = run.inputs["deduplicate"].path / "documents"
    return [path for domain in run.config.domain_names for path in sorted((folder / domain).glob("*.parquet"))]
