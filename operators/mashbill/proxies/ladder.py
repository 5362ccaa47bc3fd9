"""The ladder: some of the sweep's mixtures trained again at other sizes or budgets, to see whether their
order holds.

olmix (arXiv 2602.12237) finds that proxies of 1M parameters rank 1B models poorly (0.73) and those from about
15M well (above 0.89).
"""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from mashbill.artifacts import Artifact, Counts, StageRun
from mashbill.config import ModelShape, PipelineConfig, Rung
from mashbill.mixtures import LossTable, MixtureTable
from mashbill.models.sizes import parameter_count
from mashbill.proxies.group import proxy_result, train_group
from mashbill.proxies.sweep import chosen_config
from mashbill.tokens import TokenStore

LADDER_TAG = 307


def ladder_parts(config: PipelineConfig, inputs: Mapping[str, Artifact]) -> list[str]:
    """The sizes and budgets."""
    return [f"rung-{i}" for i in range(len(config.ladder.rungs))]


def train_rung(run: StageRun) -> Counts:
    """Train the ladder's mixtures at one size and budget."""
    config, store = run.config, TokenStore(run.inputs["tokenize"].path)
    number = int((run.part or "").removeprefix("rung-"))
    mixtures, _ = _spread_mixtures(run)
    shape, tokens = _size(config, config.ladder.rungs[number])
    proxy = chosen_config(config, run.inputs["sweep"]).model_copy(update={"model": shape})
    return train_group(
        run,
        store,
        mixtures,
        range(len(mixtures.index)),
        [proxy],
        tokens=tokens,
        evaluations=1,
        tag=LADDER_TAG + number,
    )


def collect_ladder(run: StageRun) -> Counts:
    """Target losses by size, and how well each pair of sizes agrees on the order of the mixtures."""
    from scipy.stats import spearmanr

    config, store = run.config, TokenStore(run.inputs["tokenize"].path)
    rungs: list[dict[str, Any]] = []
    if run.parts:
        mixtures, small = _spread_mixtures(run)
        rungs.append(_rung(config.proxy.model, store, config.sweep.tokens, small.tolist()))
        for rung, artifact in zip(config.ladder.rungs, run.parts.values(), strict=True):
            losses = [
                proxy_result(artifact, int(index)).target_loss(config.target) for index in mixtures.index
            ]
            shape, tokens = _size(config, rung)
            rungs.append(_rung(shape, store, tokens, losses))
    agreement = [
        [float(spearmanr(a["losses"], b["losses"], nan_policy="omit").statistic) for b in rungs]
        for a in rungs
    ]
    (run.output / "ladder.json").write_text(json.dumps({"rungs": rungs, "agreement": agreement}, indent=1))
    spent = sum(artifact.manifest.counts["tokens"] for artifact in run.parts.values())
    worst = {"least_agreement": round(min(agreement[0]), 3)} if rungs else {}
    return {"sizes": len(rungs), "tokens": spent, **worst}


def _spread_mixtures(run: StageRun) -> tuple[MixtureTable, np.ndarray]:
    """Mixtures of the sweep, evenly spread over the order of their target losses, and [mixtures] those
    losses."""
    sweep = run.inputs["sweep"].path
    mixtures, table = MixtureTable.read(sweep / "mixtures.csv"), LossTable.read(sweep / "losses.csv")
    losses = table.losses @ np.array([run.config.target.get(name, 0.0) for name in table.columns])
    finished = np.flatnonzero(~np.isnan(losses))
    order = finished[np.argsort(losses[finished], kind="stable")]
    rows = order[
        np.unique(np.linspace(0, len(order) - 1, min(run.config.ladder.mixtures, len(order))).astype(int))
    ]
    return MixtureTable(mixtures.index[rows], mixtures.columns, mixtures.weights[rows]), losses[rows]


def _size(config: PipelineConfig, rung: Rung) -> tuple[ModelShape, int]:
    """Shape and tokens of a rung."""
    return rung.model or config.proxy.model, rung.tokens or config.sweep.tokens


def _rung(shape: Any, store: TokenStore, tokens: int, losses: list[float]) -> dict[str, Any]:
    return {"parameters": parameter_count(shape, store.vocabulary), "tokens": tokens, "losses": losses}
