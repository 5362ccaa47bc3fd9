"""The mix stage: simulated mixtures around the natural proportions, and a search on from the best of them.

Candidates keep under the epoch limit of the final training budget. The choice comes with the predicted loss
of the target and its conformal interval, beside natural and uniform, and with the gain over natural and the
noise of that difference.
"""

from collections.abc import Sequence

import numpy as np

from mashbill.artifacts import Counts, StageRun
from mashbill.config import PipelineConfig
from mashbill.mixtures import BaselineMixtures, Choice, within_ceiling
from mashbill.mixtures.choice import MIXTURE, NATURAL
from mashbill.mixtures.reuse import read_bundle
from mashbill.regression.fitted import FittedRegression, TargetModel
from mashbill.regression.limits import CONFIGURED, Repeats, bounds
from mashbill.regression.optimum import Beside, choose_mixture
from mashbill.regression.simplex import SearchSpace
from mashbill.tokens import TokenStore

OUTPUTS = {MIXTURE: "the chosen mixture", Choice.FILE: "prediction, interval, baselines and sensitivity"}


def mix(run: StageRun) -> Counts:
    """Choose a mixture and say what is expected of it."""
    config, store = run.config, TokenStore(run.inputs["tokenize"])
    model = TargetModel(FittedRegression.read(run.inputs["fit"]), config.target)
    domains = model.fitted.domains
    tokens = store.train_amounts(domains)
    repeats = final_repeats(config, domains, tokens)
    limits = bounds(domains, config.mix.floors, config.mix.ceilings, repeats=repeats, named=CONFIGURED)
    natural = tokens / tokens.sum()
    others = BaselineMixtures.read(run.inputs["baselines"]).root
    beside = {NATURAL: natural, "uniform": np.full(len(natural), 1 / len(natural))}
    beside |= {name: np.array([given[d] for d in domains]) for name, given in others.items()}
    within = {name: within_ceiling(weights[None], limits.highest)[0] for name, weights in beside.items()}
    run.progress(0.1, f"searching from {config.mix.candidates:,} mixtures")
    choice = choose_mixture(
        model,
        SearchSpace(natural, limits, read_bundle(run.inputs["plan"])),
        Beside(within, tokens, config.training.tokens),
        config=config.mix,
        seed=config.seed,
    )
    choice.write(run.output)
    low, high = choice.gain_interval
    return {"predicted": choice.predicted.loss, "gain": choice.gain, "gain_low": low, "gain_high": high}


def budget_identity(config: PipelineConfig) -> dict[str, float]:
    """What of the final run a choice depends on: its tokens, and how often it may read a text."""
    return {"tokens": config.training.tokens, "max_epochs": config.training.max_epochs}


def final_repeats(config: PipelineConfig, domains: Sequence[str], tokens: np.ndarray) -> Repeats:
    """How often the final run may repeat each domain, given [domains] tokens there are."""
    available = dict(zip(domains, tokens.tolist(), strict=True))
    return Repeats(available, config.training.tokens, config.training.max_epochs, "training.max_epochs")
