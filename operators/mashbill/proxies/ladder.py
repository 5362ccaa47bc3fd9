"""The ladder: some of the sweep's mixtures trained again at other sizes or budgets, to see whether their
order holds.

olmix (arXiv 2602.12237) finds that proxies of 1M parameters rank 1B models poorly (0.73) and those from about
15M well (above 0.89).
"""

from collections.abc import Mapping, Sequence

import numpy as np

from mashbill.artifacts import Artifact, Counts, Part, Record, StageRun
from mashbill.config import ModelShape, PipelineConfig, Rung
from mashbill.mixtures import MixtureTable, SweepRuns
from mashbill.models.sizes import parameter_count
from mashbill.proxies.depths import DEPTH, ShapeRun, depth_parts, ranked_depths, train_depth
from mashbill.proxies.group import chosen_config, proxy_result, train_group
from mashbill.tokens import TokenStore

LADDER_TAG = 307
RUNG = "rung-"


class LadderRung(Part):
    """One size and budget, and the target losses of the ladder's mixtures there."""

    parameters: int
    tokens: int
    losses: tuple[float, ...]


class Ladder(Record):
    """Sizes and budgets, the sweep's first, and the rank correlation of each pair of them; depths of the
    proxy's size, the best first."""

    FILE = "ladder.json"
    rungs: tuple[LadderRung, ...]
    agreement: tuple[tuple[float, ...], ...]
    depths: tuple[ShapeRun, ...] = ()


OUTPUTS = {
    Ladder.FILE: "target losses by size, and the rank correlation of each pair of sizes; depths, ranked"
}


def ladder_parts(config: PipelineConfig, inputs: Mapping[str, Artifact]) -> list[str]:
    """The sizes and budgets, then the depths."""
    return [*(f"{RUNG}{i}" for i in range(len(config.ladder.rungs))), *depth_parts(config)]


def train_rung(run: StageRun) -> Counts:
    """Train the ladder's mixtures at one size and budget, or one depth."""
    if (run.part or "").startswith(DEPTH):
        return train_depth(run)
    config, store = run.config, TokenStore(run.inputs["tokenize"])
    number = int((run.part or "").removeprefix(RUNG))
    mixtures, _ = _spread_mixtures(run)
    shape, tokens = _size(config, config.ladder.rungs[number])
    proxy = chosen_config(config, run.inputs["sweep"]).model_copy(update={"model": shape})
    return train_group(
        run,
        store,
        mixtures,
        rows=range(len(mixtures.index)),
        configs=[proxy],
        tokens=tokens,
        evaluations=1,
        tag=LADDER_TAG + number,
    ).counts


def collect_ladder(run: StageRun) -> Counts:
    """Target losses by size, and how well each pair of sizes agrees on the order of the mixtures; and the
    depths, ranked."""
    config, store = run.config, TokenStore(run.inputs["tokenize"])
    rungs: list[LadderRung] = []
    if config.ladder.rungs:
        mixtures, small = _spread_mixtures(run)
        rungs.append(_rung(config.proxy.model, store, config.sweep.tokens, losses=small.tolist()))
        for number, rung in enumerate(config.ladder.rungs):
            artifact = run.parts[f"{RUNG}{number}"]
            losses = [
                proxy_result(artifact, int(index)).target_loss(config.target) for index in mixtures.index
            ]
            shape, tokens = _size(config, rung)
            rungs.append(_rung(shape, store, tokens, losses=losses))
    agreement = [[_agreement(a.losses, b.losses) for b in rungs] for a in rungs]
    depths = tuple(ranked_depths(run, run.parts))
    Ladder(rungs=tuple(rungs), agreement=tuple(map(tuple, agreement)), depths=depths).write(run.output)
    spent = sum(artifact.manifest.counts["tokens"] for artifact in run.parts.values())
    worst = {"least_agreement": round(min(agreement[0]), 3)} if rungs else {}
    best = {"best_depth": depths[0].layers} if depths else {}
    return {"sizes": len(rungs), "tokens": spent, **worst, **best}


def _agreement(one: Sequence[float], other: Sequence[float]) -> float:
    from scipy.stats import spearmanr

    return float(spearmanr(one, other, nan_policy="omit").statistic)


def _spread_mixtures(run: StageRun) -> tuple[MixtureTable, np.ndarray]:
    """Mixtures of the sweep, evenly spread over the order of their target losses, and [mixtures] those
    losses."""
    runs = SweepRuns.read(run.inputs["sweep"])
    mixtures, losses = runs.mixtures, runs.target_losses(run.config.target)
    finished = np.flatnonzero(~np.isnan(losses))
    order = finished[np.argsort(losses[finished], kind="stable")]
    rows = order[
        np.unique(np.linspace(0, len(order) - 1, min(run.config.ladder.mixtures, len(order))).astype(int))
    ]
    return mixtures.only(rows), losses[rows]


def _size(config: PipelineConfig, rung: Rung) -> tuple[ModelShape, int]:
    """Shape and tokens of a rung."""
    return rung.model or config.proxy.model, rung.tokens or config.sweep.tokens


def _rung(shape: ModelShape, store: TokenStore, tokens: int, *, losses: Sequence[float]) -> LadderRung:
    parameters = parameter_count(shape, store.vocabulary)
    return LadderRung(parameters=parameters, tokens=tokens, losses=tuple(losses))
