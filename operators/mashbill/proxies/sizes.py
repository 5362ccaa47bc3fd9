"""The ladder under a forecast: the final model at smaller sizes and budgets, on the chosen mixture.

A run is as the final one will be, but for what has to change with its size and budget: the batch, in
proportion to tokens^0.571 as Step Law has it, and the highest learning rate, in proportion to 1 / width,
without which narrow models would learn too slowly and size would seem to help more than it does. The
tokenizer, the context, the shape of the schedule and the rest of the optimiser are the final run's.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mashbill.artifacts import Artifact, Counts, StageRun
from mashbill.config import ModelShape, PipelineConfig, ProxyConfig
from mashbill.mixtures import MixtureTable
from mashbill.mixtures.forecast import SmallRun
from mashbill.models.sizes import parameter_count
from mashbill.proxies.group import proxy_result, train_group
from mashbill.proxies.result import ProxyResult
from mashbill.proxies.shapes import smaller_shape
from mashbill.tokens import TokenStore

BATCH_EXPONENT = 0.571
"""Of tokens in the best batch: Step Law (arXiv 2503.04715)."""
LADDER_TAG = 200_301  # plus a run's place; far from the tags of other families


@dataclass(frozen=True)
class PlannedSize:
    """A size and a budget of the ladder.

    Attributes:
        name: of its part; place: among all.
        proxy: shape, batch and optimisation; tokens: of each run; seeds: how many runs there are.
    """

    name: str
    place: int
    proxy: ProxyConfig
    tokens: int
    seeds: int

    @property
    def batch_tokens(self) -> int:
        """Tokens of a step."""
        return self.proxy.batch_sequences * self.proxy.model.context


def planned_sizes(config: PipelineConfig, vocabulary: int) -> list[PlannedSize]:
    """The sizes and budgets, smallest first; none where the forecast is off."""
    wanted, final = config.forecast, config.training.model
    shapes = wanted.shapes or [
        smaller_shape(final, share)
        for share in (np.geomspace(wanted.smallest, wanted.largest, wanted.sizes) if wanted.sizes else ())
    ]
    shapes = sorted(dict.fromkeys(shapes), key=lambda shape: parameter_count(shape, vocabulary))
    found: list[PlannedSize] = []
    for size, shape in enumerate(shapes):
        for budget, share in enumerate(sorted(wanted.budgets)):
            name = f"size-{size}-{budget}"
            proxy = settings_at(config, shape, share)
            batch = proxy.batch_sequences * shape.context
            tokens = max(1, round(config.training.tokens * share / batch)) * batch
            found.append(PlannedSize(name, len(found), proxy, tokens, wanted.seeds))
    return found


def settings_at(config: PipelineConfig, shape: ModelShape, share: float) -> ProxyConfig:
    """How a shape is trained on a share of the final run's tokens."""
    training, proxy = config.training, config.proxy
    sequences = training.batch_sequences * training.model.context * share**BATCH_EXPONENT / shape.context
    rate = training.learning_rate * training.model.width / shape.width  # arXiv 2203.03466
    return proxy.model_copy(
        update={
            "model": shape,
            "batch_sequences": max(1, round(sequences)),
            "learning_rate": rate,
            "min_learning_rate": rate * training.min_learning_rate / training.learning_rate,
            "warmup_share": training.warmup_share,
            "weight_decay": training.weight_decay,
            "gradient_clip": training.gradient_clip,
        }
    )


def train_size(run: StageRun, mixture: dict[str, float]) -> Counts:
    """Train the runs of one size and budget, measured on the target's sets alone."""
    store = TokenStore(run.inputs["tokenize"])
    planned = next(one for one in planned_sizes(run.config, store.vocabulary) if one.name == run.part)
    weights = np.array([mixture[domain] for domain in store.domains])
    return train_group(
        run,
        store,
        MixtureTable(np.arange(planned.seeds), store.domains, np.tile(weights, (planned.seeds, 1))),
        rows=range(planned.seeds),
        configs=[planned.proxy],
        tokens=planned.tokens,
        evaluations=run.config.forecast.evaluations,
        tag=LADDER_TAG + planned.place,
        sets=tuple(run.config.target),
    ).counts


def trained_runs(
    planned: PlannedSize, part: Artifact, config: PipelineConfig, *, vocabulary: int
) -> Iterator[tuple[SmallRun, ProxyResult]]:
    """What became of the runs of one size and budget."""
    for seed in range(planned.seeds):
        result = proxy_result(part, seed)
        loss = result.target_loss(config.target)
        run = SmallRun(
            parameters=parameter_count(planned.proxy.model, vocabulary),
            tokens=planned.tokens,
            batch_tokens=planned.batch_tokens,
            learning_rate=planned.proxy.learning_rate,
            seed=seed,
            loss=None if np.isnan(loss) else loss,
            fitted=not np.isnan(loss),
        )
        yield run, result
