"""The mix stage: simulated mixtures around the natural proportions, and a search on from the best of them.

Candidates keep under the epoch limit of the final training budget. The choice comes with the predicted loss
of the target and its conformal interval, beside natural and uniform, and with the gain over natural and the
noise of that difference.
"""

import json
from typing import Any

import joblib
import numpy as np

from mashbill.artifacts import Counts, StageRun
from mashbill.mixtures import MixtureTable, epoch_ceiling, within_ceiling
from mashbill.mixtures.reuse import read_bundle
from mashbill.regression.cross_validation import conformal_half_width
from mashbill.regression.fitted import FittedRegression
from mashbill.regression.limits import bounds, limits_in_force
from mashbill.regression.optimum import choose, outside_sampled, sensitivity_of
from mashbill.regression.simplex import CANDIDATE_TAG
from mashbill.tokens import TokenStore

PAIRS = 2_000
NAMED = ("mix.floors", "mix.ceilings")


def mix(run: StageRun) -> Counts:
    """Choose a mixture and say what is expected of it."""
    config, store = run.config, TokenStore(run.inputs["tokenize"].path)
    fitted: FittedRegression = joblib.load(run.inputs["fit"].path / "regression.joblib")
    tokens = np.array([store.counts(d, "train")["tokens"] for d in fitted.domains], np.float64)
    ceiling = epoch_ceiling(tokens, config.training.tokens, config.training.max_epochs)
    natural = tokens / tokens.sum()
    target = fitted.target_weights(config.target)
    floor, ceiling = bounds(
        fitted.domains, config.mix.floors, config.mix.ceilings, repeats=ceiling, named=NAMED
    )
    run.progress(0.1, f"searching from {config.mix.candidates:,} mixtures")
    chosen = choose(
        fitted, target, natural, floor, ceiling, config.mix, config.seed, read_bundle(run.inputs["plan"].path)
    )
    run.progress(0.9, "measuring the choice")
    mixtures = {"chosen": chosen, "natural": within_ceiling(natural[None], ceiling)[0]}
    mixtures["uniform"] = within_ceiling(np.full((1, len(natural)), 1 / len(natural)), ceiling)[0]
    others = json.loads((run.inputs["baselines"].path / "baselines.json").read_text())
    mixtures |= {
        name: within_ceiling(np.array([[m[d] for d in fitted.domains]]), ceiling)[0]
        for name, m in others.items()
    }
    choice = describe(fitted, mixtures, target, config.mix.interval, config.seed)
    choice["target"] = config.target
    choice["limits"] = limits_in_force(fitted.domains, chosen, floor, ceiling)
    choice["sensitivity"] = sensitivity_of(fitted, target, chosen, floor, ceiling, config.seed)
    choice["epochs"] = dict(
        zip(fitted.domains, (chosen * config.training.tokens / tokens).tolist(), strict=True)
    )
    (run.output / "choice.json").write_text(json.dumps(choice, indent=1))
    MixtureTable(np.arange(1), fitted.domains, chosen[None]).write(run.output / "mixture.csv")
    low, high = choice["gain_interval"]
    return {
        "predicted": choice["predicted"]["loss"],
        "gain": choice["gain"],
        "gain_low": low,
        "gain_high": high,
    }


def describe(
    fitted: FittedRegression, mixtures: dict[str, np.ndarray], target: np.ndarray, coverage: float, seed: int
) -> dict[str, Any]:
    """Predicted losses with intervals, and the gain over natural with its own.

    The noise of a difference is that of differences between pairs of runs, out of fold: what two predictions
    have wrong alike drops out.

    Args:
        fitted: the regression.
        mixtures: [domains] by name; ``chosen`` and ``natural`` among them.
        target: [sets] weights.
        coverage: coverage of the intervals.
        seed: seed of the pairs.
    """
    residuals = (fitted.losses - fitted.out_of_fold) @ target
    half = conformal_half_width(residuals, coverage)
    random = np.random.default_rng([seed, CANDIDATE_TAG, 1])
    pairs = random.integers(0, len(residuals), (2, PAIRS))
    pairs = pairs[:, pairs[0] != pairs[1]]
    difference_half = float(np.quantile(np.abs(residuals[pairs[0]] - residuals[pairs[1]]), coverage))
    losses = {name: fitted.regressor.predict(weights[None])[0] for name, weights in mixtures.items()}
    entries: dict[str, dict[str, Any]] = {
        name: {
            "mixture": dict(zip(fitted.domains, mixtures[name].tolist(), strict=True)),
            "loss": float(losses[name] @ target),
            "interval": [float(losses[name] @ target) - half, float(losses[name] @ target) + half],
        }
        for name in mixtures
    }
    gain = entries["natural"]["loss"] - entries["chosen"]["loss"]
    nearest, outside = outside_sampled(fitted, mixtures["chosen"])
    return {
        "mixture": entries["chosen"]["mixture"],
        "predicted": {"loss": entries["chosen"]["loss"], "interval": entries["chosen"]["interval"]},
        "baselines": {name: entry for name, entry in entries.items() if name != "chosen"},
        "regressor": fitted.name,
        "gain": gain,
        "gain_interval": [gain - difference_half, gain + difference_half],
        "sets": {s: {name: float(losses[name][i]) for name in mixtures} for i, s in enumerate(fitted.sets)},
        "nearest_sampled": nearest,
        "outside_sampled": outside,
    }
