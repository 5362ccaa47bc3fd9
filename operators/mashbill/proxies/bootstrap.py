"""The bootstrap: a small sweep over deduplicated text, whose proxies disagree about documents in a way that
means something.

Proxies on different mixtures spread in predictive strength; checkpoints of one run agree on nearly every
document, so that their extremes are noise (measured: docs/decisions/0004-family-from-mixtures.md).
"""

import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mashbill.artifacts import Artifact, Counts, StageRun, open_store
from mashbill.config import PipelineConfig
from mashbill.documents import REFERENCES, DocumentStore
from mashbill.mixtures import MixtureTable, draw_mixtures, epoch_ceiling
from mashbill.mixtures.sweep_runs import LOSSES, MIXTURES, TRAJECTORIES
from mashbill.proxies.group import PROXIES, collect_groups, group_names, group_rows, train_group
from mashbill.tokens import TokenStore, write_token_store
from mashbill.tokens.shards import INDEX, TOKENIZER

BOOTSTRAP_TAG = 302
OUTPUTS = {
    f"{PROXIES}/": "one model folder each",
    LOSSES: "their final bits per byte",
    TRAJECTORIES: "bits per byte at several steps",
    TOKENIZER: "their tokenizer",
    MIXTURES: "their mixtures",
}


def bootstrap_parts(config: PipelineConfig, inputs: Mapping[str, Artifact]) -> list[str]:
    """Names of the groups; none where the family or the classifier is given, or the last sweep's proxies
    serve."""
    if config.quality.classifier or config.quality.family or config.quality.positives or _last_sweep(config):
        return []
    return group_names(config.bootstrap.models, config.bootstrap.group_size)


def family_identity(config: PipelineConfig) -> str | None:
    """Changes when another sweep is the last one, where its proxies serve."""
    sweep = _last_sweep(config)
    return sweep.address if sweep else None


def run_bootstrap_part(run: StageRun) -> Counts:
    """Train one group of the family."""
    store, config = _shared_store(run), run.config
    rows = group_rows(run.part or "")
    counts = train_group(
        run,
        store,
        _mixtures(store, config),
        rows=rows,
        configs=[config.proxy],
        tokens=config.bootstrap.tokens,
        evaluations=1,
        tag=BOOTSTRAP_TAG,
    ).counts
    shutil.copyfile(store.tokenizer_path, run.output / TOKENIZER)
    shutil.copyfile(store.index_path, run.output / INDEX)
    return counts


def collect_bootstrap(run: StageRun) -> Counts:
    """Gather the family; an empty artifact where it is given."""
    sweep = _last_sweep(run.config)
    if sweep and not run.parts:
        shutil.copytree(sweep.folder(PROXIES), run.output / PROXIES)
        shutil.copyfile(sweep.file(MIXTURES), run.output / MIXTURES)
        return {
            "proxies": len(list((run.output / PROXIES).iterdir())),
            "from_sweep": sweep.fingerprint[:16],
        }
    if not run.parts:
        return {"proxies": 0}
    first = next(iter(run.parts.values()))
    shutil.copyfile(first.file(TOKENIZER), run.output / TOKENIZER)
    store = TokenStore(first)
    return collect_groups(run.parts, _mixtures(store, run.config), store.set_names, output=run.output)


def _last_sweep(config: PipelineConfig) -> Artifact | None:
    if config.bootstrap.family != "last_sweep":
        return None
    return open_store(config).newest("sweep")


def _mixtures(store: TokenStore, config: PipelineConfig) -> MixtureTable:
    """The family's mixtures: around the natural one, other than the sweep's, repeats limited as in the
    sweep."""
    tokens = store.train_amounts()
    ceiling = epoch_ceiling(tokens, config.bootstrap.tokens, config.plan.max_epochs)
    weights = draw_mixtures(
        tokens / tokens.sum(),
        config.bootstrap.models,
        config.plan,
        seed=config.seed + BOOTSTRAP_TAG,
        ceiling=ceiling,
    )
    return MixtureTable(np.arange(config.bootstrap.models), store.domains, weights)


def _shared_store(run: StageRun) -> TokenStore:
    """Token shards of a sample, made once for all groups on this disk; the group that comes second uses the
    first's."""
    folder = run.scratch.parent / "store"
    if not (folder / INDEX).exists():
        making = run.scratch.parent / f"store-{uuid.uuid4().hex[:8]}"
        making.mkdir(parents=True)
        _write_store(run, making)
        try:
            making.rename(folder)
        except OSError:
            shutil.rmtree(making)
    return TokenStore(folder)


def _write_store(run: StageRun, folder: Path) -> None:
    """Shards of the domains in alphabetical order: what is drawn for a domain, and the order in which they
    take turns, then don't change with the config's order."""
    config = run.config
    write_token_store(
        DocumentStore.of(run.inputs["deduplicate"]).by_set(sorted(config.domain_names)),
        DocumentStore.of(run.inputs["ingest"]).by_set(sorted(config.reference_names), REFERENCES),
        config.tokens.model_copy(update={"tokenizer": None}),
        seed=config.seed,
        output=folder,
        progress=lambda share, words: run.progress(share * 0.1, words),
        max_domain_bytes=config.bootstrap.sample_bytes,
    )
