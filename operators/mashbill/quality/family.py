"""PreSelect's examples: how well a family of models compresses a sample of documents, and which documents are
its extremes."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mashbill.artifacts import StageRun
from mashbill.errors import ConfigError
from mashbill.quality.extremes import OVERALL, extremes_by_group, too_few_models
from mashbill.quality.lots import draw_lots
from mashbill.quality.predictive_strength import predictive_strength, rank_correlation
from mashbill.quality.samples import reference_texts, sample_documents
from mashbill.storage import local_path

STRENGTH = "strength.parquet"
TIES_TAG = 403
log = logging.getLogger(__name__)


def preselect_examples(run: StageRun) -> tuple[list[str], list[str], dict[str, Any]]:
    """Positives, negatives and what is known of them; writes ``strength.parquet``.

    Raises:
        ConfigError: fewer than two models are left, or an ability is missing.
        DataError: too few documents can be measured.
    """
    from mashbill.models.measurement import family_bits_per_character

    config = run.config.quality
    folders = [local_path(run.config, "quality.family", f) for f in config.family] or sorted(
        run.inputs["bootstrap"].folder("proxies").glob("*")
    )
    if len(folders) < 2:
        raise ConfigError(
            "bootstrap.models",
            f"left {len(folders)} models, of which two are needed",
            "raise it, or give quality.family",
        )
    abilities = _abilities(run, folders)
    sample = sample_documents(run, config.sample_documents)
    texts = sample["text"].to_pylist()
    bits = family_bits_per_character(
        folders,
        texts,
        config.sample_characters,
        progress=lambda done, words: run.progress(0.1 + 0.6 * done, words),
    )
    ability = np.array(list(abilities.values()))
    strength = (
        rank_correlation(bits, ability)
        if config.agreement == "spearman"
        else predictive_strength(bits, ability)
    )
    lots = draw_lots(sample["domain"], sample["id"], seed=run.config.seed, tag=TIES_TAG)
    groups = sample["domain"].to_numpy() if config.extremes == "domain" else np.full(len(sample), OVERALL)
    best, worst, ends = extremes_by_group(strength, groups, config.extreme_share, lots=lots)
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
    pq.write_table(table, run.output / STRENGTH, compression="zstd")
    warnings = too_few_models(ability, config.extreme_share, ends)
    for warning in warnings:
        log.warning(warning)
    facts = {
        "method": "family" if config.family else run.config.bootstrap.family.replace("train", "bootstrap"),
        "abilities": abilities,
        "strength_quantiles": np.nanquantile(strength, [0, 0.25, 0.5, 0.75, 1]).tolist(),
        "strength_levels": len(np.unique(strength[np.isfinite(strength)])),
        "thresholds": [end.model_dump() for end in ends],
        "warnings": warnings,
        "strength_by_domain": _means(table),
    }
    return [texts[i] for i in best], [texts[i] for i in worst], facts


def _means(table: pa.Table) -> dict[str, float]:
    """Mean strength of each domain's measured documents, the domains in alphabetical order."""
    measured = table.filter(pc.is_finite(table["strength"]))
    grouped = measured.group_by("domain", use_threads=False)  # in threads the order of sums is chance
    rows = grouped.aggregate([("strength", "mean")]).sort_by("domain").to_pylist()
    return {row["domain"]: row["strength_mean"] for row in rows}


def _abilities(run: StageRun, folders: list[Path]) -> dict[str, float]:
    """Each model's ability, higher is better: as given, or bits per byte on reference text, negated."""
    given = run.config.quality.abilities
    if given:
        missing = [folder.name for folder in folders if folder.name not in given]
        if missing:
            raise ConfigError(
                f"quality.abilities.{missing[0]}",
                "is missing",
                f"give the score of every model: {', '.join(missing)}",
            )
        return {folder.name: given[folder.name] for folder in folders}
    from mashbill.models.measurement import family_bits_per_byte

    run.progress(0.02, "measuring abilities")
    references = reference_texts(run, run.config.quality.ability_references or run.config.reference_names)
    return {folder.name: -family_bits_per_byte(folder, references) for folder in folders}
