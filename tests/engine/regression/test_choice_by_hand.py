"""A choice among mixtures whose losses are known: where it lies, what it gains, and what it hangs on."""

from typing import Any, Self

import numpy as np
import pytest

from mashbill.config import MixConfig
from mashbill.errors import ConfigError, DataError
from mashbill.mixtures import MixtureTable
from mashbill.mixtures.bundle import bundle_domains
from mashbill.regression.advice import advise
from mashbill.regression.fitted import FittedRegression, TargetModel
from mashbill.regression.laws.gaussian_process import GaussianProcess
from mashbill.regression.limits import Limits, Repeats, bounds, no_limits
from mashbill.regression.objective import Objective
from mashbill.regression.optimum import (
    Beside,
    choose_mixture,
    outside_sampled,
    read_mixture,
    read_ratios,
    search,
)
from mashbill.regression.sensitivity import sensitivity
from mashbill.regression.simplex import SearchSpace, minimise

DOMAINS = ("web", "books", "code")
BOTTOM = np.array([0.5, 0.3, 0.2])


class Bowls:
    """A law of two sets: the first is best at a known mixture, the second falls with the last domain."""

    name = "bowls"

    @staticmethod
    def least_runs(domains: int) -> int:
        return domains

    def fit(self, weights: np.ndarray, losses: np.ndarray) -> Self:
        return self

    def predict(self, weights: np.ndarray) -> np.ndarray:
        return np.stack([2 + ((weights - BOTTOM) ** 2).sum(axis=1), 5 - weights[:, 2]], axis=1)


RUNS = np.array([[0.2, 0.4, 0.4], [0.6, 0.2, 0.2], [0.4, 0.5, 0.1], [0.1, 0.1, 0.8], [0.3, 0.6, 0.1]])
ERRORS = np.array([0.01, -0.02, 0.03, -0.04, 0.01])
NATURAL = np.array([0.8, 0.1, 0.1])


def model(target: dict[str, float] | None = None) -> TargetModel:
    """The law, with runs measured so much above what was predicted of them."""
    predicted = Bowls().predict(RUNS)
    fitted = FittedRegression(
        "bowls", Bowls(), DOMAINS, ("exam", "code"), RUNS, predicted + ERRORS[:, None], predicted
    )
    return TargetModel(fitted, target or {"exam": 1.0})


def config(**settings: Any) -> MixConfig:
    return MixConfig.model_validate({"target": {"exam": 1.0}, **settings})


def free_space() -> SearchSpace:
    return SearchSpace(NATURAL, no_limits(3))


def test_a_choice_is_the_known_best_and_gains_what_it_is_below_natural() -> None:
    beside = Beside.of_runs(model(), NATURAL)
    beside = Beside(beside.mixtures, np.array([100.0, 50.0, 10.0]), 200.0)
    choice = choose_mixture(model(), free_space(), beside, config=config(candidates=2_000), seed=0)
    chosen = np.array(list(choice.mixture.values()))
    assert chosen == pytest.approx(BOTTOM, abs=0.01)
    assert list(choice.mixture) == list(DOMAINS)
    natural_loss = 2 + 0.09 + 0.04 + 0.01
    assert choice.predicted.loss == pytest.approx(2, abs=1e-3)
    assert choice.baselines["natural"].loss == pytest.approx(natural_loss)
    assert choice.gain == pytest.approx(natural_loss - 2, abs=1e-3)
    low, high = choice.gain_interval
    assert low < choice.gain < high
    assert high - choice.gain == pytest.approx(choice.gain - low)
    pairs = np.abs(ERRORS[:, None] - ERRORS)[~np.eye(5, dtype=bool)]
    assert high - choice.gain == pytest.approx(np.quantile(pairs, 0.9), abs=0.011)
    assert set(choice.baselines) == {"natural", "uniform", "best run"}
    assert choice.baselines["uniform"].mixture == pytest.approx(dict.fromkeys(DOMAINS, 1 / 3))
    assert list(choice.baselines["best run"].mixture.values()) == [0.6, 0.2, 0.2]
    assert choice.epochs == pytest.approx({"web": 1.0, "books": 1.2, "code": 4.0}, abs=0.25)
    assert choice.sets["code"]["natural"] == pytest.approx(4.9)
    assert choice.sets["code"]["chosen"] == pytest.approx(4.8, abs=0.01)
    assert choice.sets["exam"]["natural"] == pytest.approx(natural_loss)
    assert choice.nearest_sampled == pytest.approx(0.2, abs=0.03)
    assert choice.outside_sampled is False
    assert (choice.regressor, choice.target, choice.limits) == ("bowls", {"exam": 1.0}, ())


def test_intervals_are_as_wide_on_each_side_as_the_residuals_ask() -> None:
    found = model().predictions({"a": BOTTOM, "b": NATURAL}, 0.6)  # the fourth of five: 6 x 0.6 is 3.6
    assert found["a"].loss == pytest.approx(2)
    assert found["a"].interval == pytest.approx((2 - 0.03, 2 + 0.03))
    assert found["b"].interval == pytest.approx((2.14 - 0.03, 2.14 + 0.03))
    assert model().noise == pytest.approx(0.02)
    assert model().residuals == pytest.approx(ERRORS)
    both = model({"exam": 0.5, "code": 2.0})
    assert both.weights.tolist() == [0.5, 2.0]
    assert both.loss(BOTTOM[None]) == pytest.approx([0.5 * 2 + 2 * 4.8])
    assert both.residuals == pytest.approx(2.5 * ERRORS)
    assert TargetModel(model().fitted, {"exam": 1.0}, ("code",)).signs.tolist() == [1, -1]


@pytest.mark.parametrize("method", ["direct", "simulation"])
def test_either_method_comes_near_the_best_and_another_target_elsewhere(method: str) -> None:
    settings = config(method=method, candidates=4_000, best=16)
    found = search(model(), SearchSpace(np.full(3, 1 / 3), no_limits(3)), settings, seed=0)
    assert found == pytest.approx(BOTTOM, abs=0.1)
    of_code = search(model({"code": 1.0}), SearchSpace(np.full(3, 1 / 3), no_limits(3)), settings, seed=0)
    assert of_code[2] > 0.95
    assert found.sum() == pytest.approx(1)
    again = search(model(), SearchSpace(np.full(3, 1 / 3), no_limits(3)), settings, seed=1)
    assert not np.array_equal(found, again)


def test_the_mean_of_the_best_is_that_of_the_drawn_with_the_lowest_losses() -> None:
    looked_at: list[np.ndarray] = []

    def distance(rows: np.ndarray) -> np.ndarray:
        looked_at.append(rows)
        return ((rows - BOTTOM) ** 2).sum(axis=1)

    found = SearchSpace(np.full(3, 1 / 3), no_limits(3)).mean_of_best(distance, 500, 7, seed=4)
    (drawn,) = looked_at
    assert drawn.shape == (500, 3)
    best = sorted(drawn.tolist(), key=lambda row: ((np.array(row) - BOTTOM) ** 2).sum())[:7]
    assert found == pytest.approx(np.mean(best, axis=0))


def test_direct_search_from_the_drawn_ends_no_higher_than_the_best_of_them() -> None:
    def jagged(mixtures: np.ndarray) -> np.ndarray:
        return np.sin(40 * mixtures).sum(axis=1) + mixtures[:, 0]

    space = free_space()
    drawn = space.draw(300, 2)
    found = space.minimise(jagged, 300, seed=2)
    assert jagged(found[None])[0] <= jagged(drawn).min()
    start = np.array([0.3, 0.3, 0.4])
    best = np.array([0.2, 0.5, 0.3])
    kept = minimise(lambda rows: (np.abs(rows - best).sum(axis=1) > 1e-9) * 1.0, best, no_limits(3), seed=0)
    assert kept.tolist() == best.tolist()  # nothing as good was met
    assert minimise(jagged, start, no_limits(3), seed=0).tolist() != start.tolist()


def test_candidates_spread_around_the_natural_mixture_and_reach_its_corners() -> None:
    natural = np.array([0.64, 0.32, 0.04])
    drawn = SearchSpace(natural, no_limits(3)).draw(20_000, 0)
    assert drawn.sum(axis=1) == pytest.approx(np.ones(20_000))
    means = drawn.mean(axis=0)
    assert means[0] > means[1] > means[2]
    assert (drawn.max(axis=0) > 0.95).all()
    assert (drawn.min(axis=0) < 0.01).all()
    assert not np.array_equal(drawn, SearchSpace(natural, no_limits(3)).draw(20_000, 1))
    order = [2, 0, 1]
    swapped = SearchSpace(natural[order], no_limits(3)).draw(20_000, 0).mean(axis=0)
    assert swapped == pytest.approx(means[order], abs=0.02)


def test_bundled_domains_keep_their_ratios_in_every_search() -> None:
    bundle = bundle_domains(("a", "b", "c"), {"a": 0.3, "b": 0.1})
    space = SearchSpace(np.array([0.5, 0.3, 0.2]), Limits(np.zeros(3), np.array([1, 0.2, 1.0])), bundle)

    def most_of_b(rows: np.ndarray) -> np.ndarray:
        return (rows[:, 1] - 0.15) ** 2

    for found in (
        space.minimise(most_of_b, 200, seed=0),
        space.mean_of_best(most_of_b, 2_000, 5, seed=0),
    ):
        assert found[0] == pytest.approx(3 * found[1])
        assert found == pytest.approx([0.45, 0.15, 0.4], abs=0.02)
    drawn = space.draw(100, 0)
    assert drawn[:, 0] == pytest.approx(3 * drawn[:, 1])
    assert drawn[:, 1].max() <= 0.2 + 1e-9


class Doubt:
    """A deviation that grows with the second domain."""

    def deviation(self, mixtures: np.ndarray) -> np.ndarray:
        return np.stack([3 * mixtures[:, 1], 4 * mixtures[:, 1]], axis=1)


def test_the_objective_prices_doubt_and_distance_by_the_formula() -> None:
    rows = np.array([[0.5, 0.25, 0.25], [0.1, 0.0, 0.9]])
    target, doubt = np.array([1.0, 1.0]), Doubt()
    losses = Bowls().predict(rows).sum(axis=1)
    assert Objective(Bowls(), target)(rows) == pytest.approx(losses)
    cautious = Objective(Bowls(), target, doubt, 2.0)(rows)  # type: ignore[arg-type]
    assert cautious == pytest.approx(losses + 2 * 5 * rows[:, 1])  # 3 and 4 make 5
    prior = np.array([0.25, 0.5, 0.25])
    close = Objective(Bowls(), target, prior=prior, closeness=0.5)(rows)
    first = 0.5 * np.log(0.5 / 0.25) + 0.25 * np.log(0.25 / 0.5)
    second = 0.1 * np.log(0.1 / 0.25) + 0.9 * np.log(0.9 / 0.25)
    assert close - losses == pytest.approx([0.5 * first, 0.5 * second])
    nothing = Objective(Bowls(), target, prior=np.array([0.5, 0.0, 0.5]), closeness=1.0)(rows[:1])
    assert nothing - losses[:1] == pytest.approx([0.25 * np.log(0.25 / 1e-9) + 0.25 * np.log(0.5)], rel=1e-3)


def test_a_choice_is_outside_where_the_runs_are_closer_to_one_another() -> None:
    fitted = model().fitted
    nearest, outside = outside_sampled(fitted, np.array([0.6, 0.2, 0.2]))
    assert (nearest, outside) == (0.0, False)
    gaps = np.abs(RUNS[:, None] - RUNS).sum(axis=2)
    widest = np.sort(gaps, axis=1)[:, 1].max()
    nearest, outside = outside_sampled(fitted, np.array([1.0, 0.0, 0.0]))
    assert nearest == pytest.approx(0.8)
    assert outside == (nearest > widest)
    corner = np.array([0.0, 0.0, 1.0])
    near = FittedRegression("bowls", Bowls(), DOMAINS, ("exam", "code"), RUNS[:3], RUNS[:3], RUNS[:3])
    nearest, outside = outside_sampled(near, corner)
    assert nearest == pytest.approx(1.2)
    assert outside is True


def test_what_a_domain_does_to_a_choice_is_worked_out_by_hand() -> None:
    def loss(rows: np.ndarray) -> np.ndarray:
        return rows @ np.array([1.0, 2.0, 4.0])

    chosen = np.array([0.5, 0.3, 0.2])
    table = sensitivity(loss, DOMAINS, chosen, limits=no_limits(3), slack=0.1)
    before = 0.5 + 0.6 + 0.8
    without_code = 0.5 / 0.8 * 1 + 0.3 / 0.8 * 2
    assert table["code"].without == pytest.approx(without_code - before)
    assert table["code"].halved == pytest.approx(0.4 + 0.9 * without_code - before)
    assert table["code"].doubled == pytest.approx(1.6 + 0.6 * without_code - before)
    assert table["web"].doubled == pytest.approx(1.0 - before)  # all of it, and no more
    assert table["books"].weight == pytest.approx(0.3)
    low, high = table["code"].as_good
    assert low < 0.05
    assert 0.25 < high <= 1 / 3  # where there are no books: 3 code + 1 is 2
    alone = sensitivity(loss, DOMAINS, np.array([1.0, 0, 0]), limits=no_limits(3), slack=0.0)
    assert alone["web"].without == pytest.approx(3.0 - 1.0)  # even shares of the others
    held = sensitivity(loss, DOMAINS, chosen, limits=Limits(np.array([0, 0, 0.2]), np.ones(3)), slack=0.1)
    assert held["code"].as_good[0] >= 0.2 - 1e-9
    other = sensitivity(loss, DOMAINS, chosen, limits=no_limits(3), slack=0.1, seed=9)
    assert other["code"].as_good != table["code"].as_good
    assert other["code"].without == table["code"].without
    tight = sensitivity(loss, DOMAINS, chosen, limits=no_limits(3), slack=0.0)
    assert tight["code"].as_good[1] < high


def test_limits_are_applied_by_hand() -> None:
    limits = Limits(np.array([0.0, 0.1, 0.2]), np.array([0.5, 1.0, 1.0]), np.array([1.0, 0.3, 1.0]))
    assert limits.highest.tolist() == [0.5, 0.3, 1.0]
    found = limits.applied(np.array([[0.3, 0.2, 0.5], [0.0, 0.0, 1.0], [0.5, 0.3, 0.2]]))
    assert found[0] == pytest.approx([0.3, 0.2, 0.5])
    assert found[1] == pytest.approx([0.0, 0.1, 0.9])
    assert found[2] == pytest.approx([0.5, 0.3, 0.2])
    lifted = Limits(np.array([0.0, 0.0, 0.4]), np.ones(3)).applied(np.array([[0.6, 0.3, 0.1]]))
    assert lifted[0] == pytest.approx([0.4, 0.2, 0.4])
    fixed = Limits(np.array([0.2, 0.3, 0.5]), np.ones(3)).applied(np.array([[1.0, 0.0, 0.0]]))
    assert fixed[0] == pytest.approx([0.2, 0.3, 0.5])


def test_what_is_left_of_a_run_is_what_it_has_not_read() -> None:
    limits = Limits(np.zeros(3), np.ones(3), np.array([0.4, 0.9, 0.05]))
    left = limits.left(np.array([0.3, 0.1, 0.1]), 0.5, DOMAINS)
    assert left.repeats is not None
    assert left.repeats.tolist() == pytest.approx([0.2, 1.0, 0.0])
    free = no_limits(3).left(np.array([0.3, 0.1, 0.1]), 0.5, DOMAINS)
    assert free.highest.tolist() == [1, 1, 1]
    with pytest.raises(ConfigError, match=r"--max: allows 0\.4 in all"):
        Limits(np.zeros(3), np.ones(3), np.array([0.4, 0.2, 0.1])).left(
            np.array([0.3, 0.1, 0.1]), 0.5, DOMAINS
        )


@pytest.mark.parametrize(
    "least, most, message",
    [
        ({"web": 0.6, "books": 0.5}, {}, "--min: asks for 1.1 in all"),
        ({}, {"web": 0.3, "books": 0.3, "code": 0.3}, "--max: allows 0.9 in all"),
        ({"web": 0.5}, {"web": 0.4}, "--min web: is over what its ceiling allows"),
        ({"lost": 0.5}, {}, "--min lost: is no domain of the model; choose among web, books, code"),
        ({}, {"lost": 0.5}, "--max lost: is no domain"),
    ],
)
def test_limits_that_nothing_keeps_to_are_named(
    least: dict[str, float], most: dict[str, float], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        bounds(DOMAINS, least, most)


def test_limits_by_name_are_in_the_domains_order() -> None:
    available = {"code": 10.0, "web": 100.0, "books": 50.0}
    repeats = Repeats(available, 200.0, 2.0, "--max-epochs", "tokens.csv")
    limits = bounds(DOMAINS, {"books": 0.1}, {"web": 0.7}, repeats=repeats)
    assert limits.floor.tolist() == [0, 0.1, 0]
    assert limits.ceiling.tolist() == [0.7, 1, 1]
    assert limits.highest == pytest.approx([0.7, 0.5, 0.1])
    exact = bounds(DOMAINS, {"web": 0.5, "books": 0.3, "code": 0.2}, {"web": 0.5, "books": 0.3, "code": 0.2})
    assert exact.applied(np.array([[1, 0, 0.0]]))[0] == pytest.approx([0.5, 0.3, 0.2])
    with pytest.raises(DataError, match=r"tokens\.csv: domain code: is missing"):
        Repeats({"web": 1, "books": 1}, 1, 1, "--max-epochs", "tokens.csv").ceiling(DOMAINS)
    with pytest.raises(DataError, match=r"the tokens: domain more: is no domain of the model"):
        Repeats({**available, "more": 1.0}, 1, 1, "--max-epochs").ceiling(DOMAINS)
    with pytest.raises(ConfigError, match="--max-epochs: allows 160 tokens where the run needs 200"):
        Repeats(available, 200.0, 1.0, "--max-epochs").ceiling(DOMAINS)


def test_limits_that_a_choice_touches_are_said() -> None:
    limits = Limits(np.array([0.0, 0.2, 0.0]), np.array([0.5, 1.0, 1.0]))
    assert limits.in_force(DOMAINS, np.array([0.5, 0.2, 0.3])) == (
        "web is at its ceiling of 0.5",
        "books is at its floor of 0.2",
    )
    assert limits.in_force(DOMAINS, np.array([0.49, 0.21, 0.3])) == ()
    assert no_limits(3).in_force(DOMAINS, np.array([1.0, 0.0, 0.0])) == ()


def test_mixtures_are_read_by_their_domains_names() -> None:
    table = MixtureTable(np.array([0]), ("code", "web", "books"), np.array([[0.2, 0.8, 0.0]]), "m.csv")
    assert read_mixture(model(), table).tolist() == [0.8, 0.0, 0.2]
    bundle = read_ratios(model(), table)
    assert bundle.ratios == pytest.approx([0.8, 0, 0.2])
    assert bundle.free.tolist() == [1]
    alone = MixtureTable(np.array([0]), DOMAINS, np.array([[1.0, 0.0, 0.0]]), "m.csv")
    with pytest.raises(ConfigError, match=r"--ratios m\.csv: leaves fewer than two"):
        read_ratios(model(), alone)


@pytest.fixture(scope="module")
def known() -> tuple[GaussianProcess, np.ndarray, np.ndarray]:
    """A process of runs under the law, and other mixtures."""
    random = np.random.default_rng(0)
    weights = random.dirichlet(np.ones(3), 16)
    losses = Bowls().predict(weights) + random.normal(0, 0.01, (16, 2))
    return GaussianProcess().fit(weights, losses), random.dirichlet(np.ones(3), 60), weights


def test_advice_from_a_pool_is_the_greatest_improvement_on_drawn_surfaces(
    known: tuple[GaussianProcess, np.ndarray, np.ndarray],
) -> None:
    process, pool, _ = known
    target = np.array([1.0, 0.0])
    advice = advise(process, target, free_space(), domains=DOMAINS, count=4, seed=3, noise=0.5, pool=pool)
    means = process.predict(pool)[:, 0]
    best = pool[means.argmin()]
    assert list(advice.choice.values()) == pytest.approx(best)
    rows = [int(np.flatnonzero((pool == row).all(axis=1))[0]) for row in advice.weights]
    assert len(set(rows)) == 4
    surfaces = process.draw(pool, 4_000, 99)[:, :, 0]
    at_choice = surfaces[:, means.argmin()]
    gains = at_choice - surfaces.min(axis=1)
    assert advice.gain == pytest.approx(gains.mean(), rel=0.2)
    assert advice.gain_90 == pytest.approx(np.quantile(gains, 0.9), rel=0.2)
    promised = np.maximum(at_choice[:, None] - surfaces, 0).mean(axis=0)
    assert promised[rows[0]] > 0.8 * promised.max()
    together = np.maximum(at_choice - surfaces[:, rows].min(axis=1), 0).mean()
    alone = np.argsort(-promised)[:4]
    assert together >= 0.95 * np.maximum(at_choice - surfaces[:, alone].min(axis=1), 0).mean()
    chances = np.bincount(surfaces.argmin(axis=1), minlength=60) / 4_000
    assert [entry.chance for entry in advice.next] == pytest.approx(chances[rows].tolist(), abs=0.08)
    assert (advice.noise, advice.worth_it) == (0.5, False)
    eager = advise(process, target, free_space(), domains=DOMAINS, count=2, seed=3, noise=1e-6, pool=pool)
    assert eager.worth_it is True
    whole = advise(process, target, free_space(), domains=DOMAINS, count=99, seed=3, pool=pool[:5])
    assert sorted(map(tuple, whole.weights.tolist())) == sorted(map(tuple, pool[:5].tolist()))
    assert whole.worth_it is None


def test_advice_in_a_space_looks_near_the_best_and_keeps_to_its_limits(
    known: tuple[GaussianProcess, np.ndarray, np.ndarray],
) -> None:
    process, _, _ = known
    space = SearchSpace(NATURAL, Limits(np.zeros(3), np.array([0.45, 1.0, 1.0])))
    advice = advise(process, np.array([1.0, 0.0]), space, domains=DOMAINS, count=3, seed=1)
    assert (advice.weights[:, 0] <= 0.45 + 1e-9).all()
    choice = np.array(list(advice.choice.values()))
    found = minimise(lambda rows: process.predict(rows)[:, 0], choice, space.limits, seed=7)
    assert process.predict(choice[None])[0, 0] <= process.predict(found[None])[0, 0] + 1e-3
    assert ((advice.weights - BOTTOM) ** 2).sum(axis=1).max() < 0.1
