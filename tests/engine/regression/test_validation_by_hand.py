"""Cross-validation that cannot leak, and intervals whose coverage is known."""

from typing import Self

import numpy as np
import pytest
from scipy.stats import spearmanr

from mashbill.errors import DataError
from mashbill.regression.cross_validation import (
    conformal_half_width,
    cross_validate,
    measured_by,
    spearman,
    split_folds,
)


class Memory:
    """Knows the losses of the runs it saw, to the letter, and says -1 of any other."""

    name = "memory"

    @staticmethod
    def least_runs(domains: int) -> int:
        return domains

    def fit(self, weights: np.ndarray, losses: np.ndarray) -> Self:
        self.known = {tuple(row): loss for row, loss in zip(weights.tolist(), losses, strict=True)}
        return self

    def predict(self, weights: np.ndarray) -> np.ndarray:
        return np.array([self.known.get(tuple(row), np.full(2, -1.0)) for row in weights.tolist()])


@pytest.mark.parametrize("folds", [2, 5, 50])
def test_no_run_is_predicted_by_a_model_that_saw_it(folds: int) -> None:
    weights = np.random.default_rng(0).dirichlet(np.ones(3), 13)
    losses = np.random.default_rng(1).random((13, 2))
    found = cross_validate(Memory, weights, losses, folds=folds, seed=0)
    assert (found.predicted == -1).all()
    assert found.mae == pytest.approx(losses.mean(axis=0) + 1)
    assert found.spearman.tolist() == [0, 0]


def test_two_mixtures_are_held_out_in_turn() -> None:
    folds = split_folds(4, 5, 0, mixtures=np.array([7, 3, 7, 3]))
    assert sorted(held.tolist() for held, _ in folds) == [[0, 2], [1, 3]]


def test_every_run_is_held_out_once_and_all_others_are_seen() -> None:
    splits = split_folds(11, 4, 0)
    assert sorted(np.concatenate([held for held, _ in splits]).tolist()) == list(range(11))
    assert sorted(len(held) for held, _ in splits) == [2, 3, 3, 3]
    assert all(sorted([*held, *seen]) == list(range(11)) for held, seen in splits)
    assert len(split_folds(5, 9, 0)) == 5
    first = [held.tolist() for held, _ in splits]
    assert first == [held.tolist() for held, _ in split_folds(11, 4, 0)]
    assert first != [held.tolist() for held, _ in split_folds(11, 4, 1)]
    assert np.concatenate([held for held, _ in splits]).tolist() != list(range(11))
    assert len(split_folds(4, 2, 0)) == 2
    with pytest.raises(DataError, match="left 3 finished runs; train at least 4"):
        split_folds(3, 2, 0)


def test_rank_correlation_is_scipys_with_ties_and_0_for_a_constant() -> None:
    random = np.random.default_rng(2)
    one, other = random.integers(0, 5, (20, 3)).astype(float), random.random((20, 3))
    other[:, 1] = -one[:, 1]
    expected = [spearmanr(a, b).statistic for a, b in zip(one.T, other.T, strict=True)]
    assert spearman(one, other) == pytest.approx(expected)
    assert spearman(one, other)[1] == pytest.approx(-1)
    other[:, 2] = 1
    assert spearman(one, other)[2] == 0
    assert measured_by(one, other).mae == pytest.approx(np.abs(one - other).mean(axis=0))


def test_half_a_width_is_the_order_statistic_that_conformal_prediction_asks_for() -> None:
    residuals = np.array([3.0, -1, 2, -5, 4, -6, 9, 8, -7])
    assert conformal_half_width(residuals, 0.9) == 9  # the ninth of nine: 10 x 0.9
    assert conformal_half_width(residuals, 0.8) == 8
    assert conformal_half_width(residuals, 0.5) == 5
    assert conformal_half_width(residuals, 0.45) == 5  # rounded up
    assert conformal_half_width(residuals, 0.95) == pytest.approx(9 * 10 * 0.95 / 9)


@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.9])
def test_an_interval_covers_a_new_run_as_often_as_it_says(coverage: float) -> None:
    """Exactly so with 19 residuals, as 20 times the coverage is whole: binomial error of 6,000 draws."""
    random = np.random.default_rng(3)
    draws = random.standard_t(3, (6_000, 20))
    inside = [abs(row[-1]) <= conformal_half_width(row[:-1], coverage) for row in draws]
    assert np.mean(inside) == pytest.approx(coverage, abs=4 * np.sqrt(coverage * (1 - coverage) / 6_000))
