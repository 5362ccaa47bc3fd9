"""Depth against width: models of the proxy's size, deep and narrow or shallow and wide, on the sweep's best
mixture.

Seeds tell apart what a shape does from what a seed does: a shape is worse where its mean loss is above the
best one's by more than twice the standard error of the difference, the deviation over seeds taken together
over all shapes.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from mashbill.artifacts import Artifact, Counts, Part, StageRun
from mashbill.config import ModelShape, PipelineConfig
from mashbill.mixtures import MixtureTable, SweepRuns
from mashbill.models.sizes import parameter_count
from mashbill.proxies.group import chosen_config, proxy_result, train_group
from mashbill.proxies.shapes import of_equal_size
from mashbill.tokens import TokenStore

DEPTH_TAG = 300_301  # plus the depth
DEPTH = "depth-"
CLEAR = 2.0  # standard errors


class ShapeRun(Part):
    """A depth, and the target losses of its seeds.

    Attributes:
        layers, width, heads, parameters: of the shape.
        losses: by seed, None where it diverged; mean: of the others, None where there is none.
        error: standard error of the mean; None where no shape has two seeds.
        worse: than the best, beyond the seeds' noise; None where that is not known.
    """

    layers: int
    width: int
    heads: int
    parameters: int
    losses: tuple[float | None, ...]
    mean: float | None
    error: float | None
    worse: bool | None


def depth_parts(config: PipelineConfig) -> list[str]:
    """The depths."""
    return [f"{DEPTH}{layers}" for layers in config.ladder.depths]


def train_depth(run: StageRun) -> Counts:
    """Train one depth, once a seed."""
    config, store = run.config, TokenStore(run.inputs["tokenize"])
    layers, seeds = int((run.part or "").removeprefix(DEPTH)), config.ladder.depth_seeds
    weights = np.tile(_best_mixture(run, store.domains), (seeds, 1))
    shape = _shapes(config, store.vocabulary)[layers]
    return train_group(
        run,
        store,
        MixtureTable(np.arange(seeds), store.domains, weights),
        rows=range(seeds),
        configs=[chosen_config(config, run.inputs["sweep"]).model_copy(update={"model": shape})],
        tokens=config.sweep.tokens,
        evaluations=1,
        tag=DEPTH_TAG + layers,
    ).counts


def ranked_depths(run: StageRun, parts: Mapping[str, Artifact]) -> list[ShapeRun]:
    """The depths, the best first."""
    config, store = run.config, TokenStore(run.inputs["tokenize"])
    shapes = _shapes(config, store.vocabulary)
    seeds = range(config.ladder.depth_seeds)
    losses = [
        [proxy_result(parts[f"{DEPTH}{layers}"], seed).target_loss(config.target) for seed in seeds]
        for layers in shapes
    ]
    table = np.array(losses, np.float64).reshape(len(shapes), len(seeds))
    return rank(list(shapes.values()), table, vocabulary=store.vocabulary)


def rank(shapes: Sequence[ModelShape], losses: np.ndarray, *, vocabulary: int) -> list[ShapeRun]:
    """Shapes by their mean loss, the best first, and which are worse beyond the seeds' noise.

    Args:
        shapes: the shapes.
        losses: [shapes, seeds] target losses; NaN where a run diverged.
        vocabulary: ids of the tokenizer.
    """
    there = ~np.isnan(losses)
    counts = there.sum(axis=1)
    means = np.array(
        [row[kept].mean() if kept.any() else np.inf for row, kept in zip(losses, there, strict=True)]
    )
    order = np.argsort(means, kind="stable")
    deviation = _deviation(losses, means)
    found = []
    for i in order:
        error = worse = None
        if deviation is not None and counts[i]:
            error = float(deviation / np.sqrt(counts[i]))
            beyond = CLEAR * deviation * np.sqrt(1 / counts[i] + 1 / counts[order[0]])
            worse = bool(means[i] - means[order[0]] > beyond)
        found.append(
            ShapeRun(
                layers=shapes[i].layers,
                width=shapes[i].width,
                heads=shapes[i].heads,
                parameters=parameter_count(shapes[i], vocabulary),
                losses=tuple(None if np.isnan(loss) else float(loss) for loss in losses[i]),
                mean=float(means[i]) if counts[i] else None,
                error=error,
                worse=worse,
            )
        )
    return found


def _deviation(losses: np.ndarray, means: np.ndarray) -> float | None:
    """Of a seed's loss from its shape's mean, over all shapes; None where no shape has two."""
    there = ~np.isnan(losses)
    freedom = int(np.maximum(there.sum(axis=1) - 1, 0).sum())
    off = np.where(there, losses - np.where(np.isfinite(means), means, 0.0)[:, None], 0.0)
    return float(np.sqrt((off**2).sum() / freedom)) if freedom else None


def _shapes(config: PipelineConfig, vocabulary: int) -> dict[int, ModelShape]:
    return of_equal_size(config.proxy.model, config.ladder.depths, vocabulary=vocabulary)


def _best_mixture(run: StageRun, domains: Sequence[str]) -> np.ndarray:
    """[domains] weights of the sweep's run with the lowest target loss."""
    runs = SweepRuns.read(run.inputs["sweep"]).finished
    best = int(np.argmin(runs.target_losses(run.config.target)))
    weights: np.ndarray = runs.mixtures.having(tuple(domains)).weights[best]
    return weights
