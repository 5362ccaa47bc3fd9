"""What each design draws: RegMix's is its script's rule, ours keep what they say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta, ks_2samp, kstest, qmc

from builders.checkout import REGMIX
from mashbill.config import PlanConfig
from mashbill.config.search import DESIGNS
from mashbill.errors import ConfigError
from mashbill.mixtures import MixtureTable, draw_mixtures, epoch_ceiling
from mashbill.regression.limits import no_limits
from mashbill.regression.simplex import SearchSpace, simulate

PILE = MixtureTable.read(REGMIX / "natural.csv").weights[0]
OURS = tuple(name for name in DESIGNS if name != "regmix")


def of(design: str, **settings: float) -> PlanConfig:
    return PlanConfig.model_validate({"design": design, **settings})


def effective(weights: np.ndarray) -> np.ndarray:
    """Effective number of domains of each mixture: the exponential of its entropy."""
    return np.exp(-(weights * np.log(np.maximum(weights, 1e-300))).sum(axis=1))


def regmix_by_its_script(natural: np.ndarray, count: int, seed: int) -> np.ndarray:
    """RegMix's rule in a plain loop, as its script has it; rows may be off 1 by its rounding."""
    random = np.random.default_rng(seed)
    around = natural**0.5 / np.sum(natural**0.5)
    kept = []
    for _ in range(count * 100):
        strength = random.choice(np.logspace(np.log10(0.1), np.log10(5.0), 15))
        drawn = random.dirichlet(around * strength)
        if any(weight > min(15 * share, 1.0) for weight, share in zip(drawn, natural, strict=True)):
            continue
        drawn[drawn < 2e-4] = 0.0
        kept.append(np.round(drawn / drawn.sum() / 2e-4) * 2e-4)
    rows = np.array(kept)
    rows = rows[np.lexsort(rows.T)]
    different = [rows[0]]
    for row in rows[1:]:
        if np.abs(row - different[-1]).sum() > 1e-5:
            different.append(row)
    return np.array(different)[random.permutation(len(different))[:count]]


def test_what_is_called_regmix_is_its_scripts_rule() -> None:
    """The same distribution as the plain loop's: of the largest weight, of entropy, and of each domain."""
    theirs, ours = regmix_by_its_script(PILE, 256, 0), draw_mixtures(PILE, 512, of("regmix"), seed=0)
    for measure in (effective, lambda rows: rows.max(axis=1), lambda rows: (rows > 0).sum(axis=1)):
        assert ks_2samp(measure(theirs), measure(ours)).pvalue > 0.01
    assert ours.mean(axis=0) == pytest.approx(theirs.mean(axis=0), abs=0.04)
    single = [(rows.max(axis=1) > 0.9999).mean() for rows in (theirs, ours)]
    assert max(single) < 0.03  # a domain alone is drawn thousands of times, and kept once


def test_regmix_draws_few_domains_a_mixture() -> None:
    """Figures of the script for 512 mixtures of the Pile: 2.8 effective domains, one over half in 7 of 10."""
    weights = np.stack([draw_mixtures(PILE, 512, of("regmix"), seed=seed) for seed in range(4)])
    assert effective(weights.reshape(-1, 17)).mean() == pytest.approx(2.8, abs=0.06)
    assert (weights.max(axis=2) > 0.5).mean() == pytest.approx(0.72, abs=0.02)
    assert (weights <= 15 * PILE + 2e-4).all()
    assert all(len(np.unique(rows, axis=0)) == 512 for rows in weights)


def test_regmix_weights_are_multiples_of_the_least() -> None:
    """Up to the row's sum, which rounding leaves near 1."""
    weights = draw_mixtures(PILE, 64, of("regmix", min_weight=0.01), seed=0)
    for row in weights:
        assert any(np.allclose(row * n, np.round(row * n), atol=1e-9) for n in range(92, 109))


def test_regmix_strength_is_for_all_domains_together() -> None:
    """Mixtures of a hundred equal domains have no more domains than those of ten have."""
    many, few = (
        draw_mixtures(np.full(n, 1 / n), 32, of("regmix", min_strength=s, max_strength=s), seed=0)
        for n, s in ((60, 5.0), (20, 5.0))
    )
    assert effective(many).mean() < effective(few).mean() * 1.6


def test_regmix_says_where_its_rule_leaves_too_few() -> None:
    equal = np.full(300, 1 / 300)
    with pytest.raises(ConfigError, match=r"as RegMix draws them: .* keep under 15 times .*plan.design"):
        draw_mixtures(equal, 16, of("regmix"), seed=0)


def test_candidates_of_a_simulation_are_draws_from_the_natural_dirichlet() -> None:
    """Untempered: mean p, variance p (1 - p) / 2 as concentrations sum to 1, and marginals are Beta."""
    drawn = simulate(PILE, 40_000, 0)
    assert drawn.mean(axis=0) == pytest.approx(PILE, abs=0.005)
    assert drawn.var(axis=0) == pytest.approx(PILE * (1 - PILE) / 2, abs=0.004)
    assert kstest(drawn[:, 11], beta(PILE[11], 1 - PILE[11]).cdf).pvalue > 0.001


def test_a_simulation_takes_the_mean_of_its_best_candidates() -> None:
    """Where the loss is the first weight, the mean of the candidates with least of it."""
    natural, space = np.array([0.6, 0.4]), SearchSpace(np.array([0.6, 0.4]), no_limits(2))
    found = space.mean_of_best(lambda rows: rows[:, 0], 1_000, 100, seed=3)
    least = np.sort(simulate(natural, 1_000, 3)[:, 0])[:100].mean()
    assert found == pytest.approx([least, 1 - least])


def test_candidates_of_a_direct_search_are_of_few_and_of_many_domains() -> None:
    drawn = SearchSpace(PILE, no_limits(17)).draw(4_000, 0)
    assert (effective(drawn) < 2).mean() > 0.15
    assert (effective(drawn) > 8).mean() > 0.15


def test_around_natural_strength_is_for_each_domain() -> None:
    """Concentrations are known, so the mean is: the tempered proportions."""
    weights = draw_mixtures(PILE, 3_000, of("around-natural"), seed=0)
    assert weights.mean(axis=0) == pytest.approx(PILE**0.5 / (PILE**0.5).sum(), abs=0.01)
    assert effective(weights).mean() == pytest.approx(8.5, abs=0.2)


def test_space_filling_is_even_over_the_simplex() -> None:
    """Every weight of a uniform mixture of n domains is Beta(1, n - 1)."""
    weights = draw_mixtures(np.full(5, 0.2), 1_024, of("space-filling", min_weight=0.0), seed=0)
    for column in weights.T:
        assert kstest(column, beta(1, 4).cdf).statistic < 0.02  # of independent draws 0.04 is usual


def test_space_filling_takes_sobols_points_in_their_turn() -> None:
    """Exponentials of the points over their sum, block after block of the sequence."""
    exponentials = -np.log(qmc.Sobol(5, seed=3).random(64))
    expected = exponentials / exponentials.sum(axis=1, keepdims=True)
    drawn = draw_mixtures(np.full(5, 0.2), 64, of("space-filling", min_weight=0.0), seed=3)
    assert drawn == pytest.approx(expected)


def test_space_filling_refuses_near_twins() -> None:
    """Of two domains there is room for 2,000 mixtures that differ by more than 0.001 in all."""
    weights = draw_mixtures(np.array([0.5, 0.5]), 700, of("space-filling"), seed=0)
    gaps = np.diff(np.sort(weights[:, 0])) * 2
    assert gaps.min() > 1e-3
    with pytest.raises(ConfigError, match="2500 different mixtures cannot be drawn"):
        draw_mixtures(np.array([0.5, 0.5]), 2_500, of("space-filling"), seed=0)


def test_maximin_lies_farther_apart_than_what_it_is_picked_from() -> None:
    def nearest(weights: np.ndarray) -> float:
        roots = np.sqrt(weights)
        distance = np.sqrt(((roots[:, None] - roots[None]) ** 2).sum(axis=2))
        np.fill_diagonal(distance, np.inf)
        return float(distance.min())

    for seed in range(3):
        spread = nearest(draw_mixtures(PILE, 32, of("maximin"), seed=seed))
        assert spread > 1.5 * max(
            nearest(draw_mixtures(PILE, 32, of(d), seed=seed)) for d in ("regmix", "around-natural")
        )


@pytest.mark.parametrize("design", DESIGNS)
def test_a_design_is_what_its_seed_says(design: str) -> None:
    first, again, other = (draw_mixtures(PILE, 24, of(design), seed=s) for s in (5, 5, 6))
    assert np.array_equal(first, again)
    assert not np.isclose(first[:, None], other[None]).all(axis=2).any()


@pytest.mark.parametrize("design", ["around-natural", "space-filling"])
def test_small_weights_become_zero_and_the_rest_share_them(design: str) -> None:
    raw = draw_mixtures(PILE, 16, of(design, min_weight=0.0), seed=0)
    large = np.where(raw < 0.02, 0.0, raw)
    assert (large == 0).any()
    expected = large / large.sum(axis=1, keepdims=True)
    assert draw_mixtures(PILE, 16, of(design, min_weight=0.02), seed=0) == pytest.approx(expected)


@pytest.mark.parametrize("design", DESIGNS)
def test_a_least_weight_that_no_mixture_keeps_is_refused(design: str) -> None:
    """Of forty domains held to a fortieth each, the only mixture has no weight of a twentieth."""
    equal = np.full(40, 1 / 40)
    with pytest.raises(ConfigError, match=r"cannot be drawn.*plan\.min_weight"):
        draw_mixtures(equal, 4, of(design, min_weight=0.05), seed=0, ceiling=equal)


@pytest.mark.parametrize("design", ["around-natural", "space-filling"])
def test_fewer_mixtures_are_the_first_of_more(design: str) -> None:
    assert np.array_equal(*(draw_mixtures(PILE, n, of(design), seed=0)[:8] for n in (8, 40)))


def test_around_natural_mixtures_vary_in_strength() -> None:
    weights = draw_mixtures(np.full(8, 1 / 8), 200, of("around-natural"), seed=0)
    assert weights.max(axis=1).min() < 0.35
    assert weights.max(axis=1).max() > 0.9


@pytest.mark.parametrize("design", OURS)
@given(
    proportions=st.lists(st.floats(0.05, 1), min_size=2, max_size=12),
    seed=st.integers(0, 2**31),
    slack=st.floats(1.3, 4),
    least=st.sampled_from([0.0, 2e-4, 0.02, 0.09]),
)
@settings(max_examples=40)
def test_our_designs_keep_their_limits(
    design: str, proportions: list[float], seed: int, slack: float, least: float
) -> None:
    natural = np.array(proportions) / sum(proportions)
    ceiling = np.minimum(1, natural * slack)
    try:
        weights = draw_mixtures(natural, 5, of(design, min_weight=least), seed=seed, ceiling=ceiling)
    except ConfigError:
        assert (
            least > 0.01
        )  # with a dozen domains and tight ceilings so large a least weight may leave nothing
        return
    assert np.allclose(weights.sum(axis=1), 1)
    assert (weights <= ceiling + 1e-6).all()
    assert (weights[weights > 0] >= least - 1e-12).all()
    assert (weights >= 0).all()
    apart = np.abs(weights[:, None] - weights[None]).sum(axis=2)[np.triu_indices(5, 1)]
    assert (apart > 1e-3).all()


@pytest.mark.parametrize("design", DESIGNS)
def test_epochs_hold_a_scarce_domain_down(design: str) -> None:
    amounts = PILE * 1e9
    ceiling = epoch_ceiling(amounts, 1.5e9, 2)
    weights = draw_mixtures(PILE, 40, of(design), seed=0, ceiling=ceiling)
    assert (weights <= ceiling + 1e-9).all()
    assert np.isclose(weights.max(axis=0), ceiling, rtol=0.02).any()
