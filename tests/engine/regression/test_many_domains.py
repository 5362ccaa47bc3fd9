"""Two hundred domains are planned, chosen among and advised on within their limits."""

import numpy as np
import pytest

from mashbill.config import MixConfig, PlanConfig
from mashbill.mixtures import draw_mixtures, epoch_ceiling
from mashbill.regression.advice import advise
from mashbill.regression.fitted import FittedRegression, TargetModel
from mashbill.regression.laws.gaussian_process import GaussianProcess
from mashbill.regression.limits import Limits
from mashbill.regression.optimum import search
from mashbill.regression.simplex import SearchSpace

DOMAINS, RUNS = 200, 48


@pytest.mark.parametrize("design", ["maximin", "around-natural", "space-filling"])
@pytest.mark.slow
def test_two_hundred_domains_keep_to_their_limits(design: str) -> None:
    amounts = np.exp(np.random.default_rng(0).normal(0, 1.5, DOMAINS))
    natural = amounts / amounts.sum()
    ceiling = epoch_ceiling(natural * 20e9, 25e9, 4)
    mixtures = draw_mixtures(
        natural, RUNS, PlanConfig.model_validate({"design": design}), seed=0, ceiling=ceiling
    )
    helps = np.random.default_rng(1).gamma(0.3, size=DOMAINS)
    losses = (2 + (0.05 + mixtures @ helps) ** -0.3)[:, None]
    process = GaussianProcess().fit(mixtures, losses)
    fitted = FittedRegression(
        "gp", process, tuple(map(str, range(DOMAINS))), ("t",), mixtures, losses, losses
    )
    space = SearchSpace(natural, Limits(np.zeros(DOMAINS), ceiling))
    chosen = search(TargetModel(fitted, {"t": 1.0}), space, MixConfig(candidates=500), seed=0)
    advised = advise(process, np.ones(1), space, domains=fitted.domains, count=4, seed=0).weights
    for rows in (mixtures, chosen[None], advised):
        assert rows.sum(axis=1) == pytest.approx(np.ones(len(rows)))
        assert (rows >= 0).all()
        assert (rows <= ceiling + 1e-6).all()
    assert (0.05 + chosen @ helps) > (0.05 + natural @ helps)
