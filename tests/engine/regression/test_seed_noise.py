"""Noise that differs by mixture is learnt where mixtures were trained again with other seeds, and used."""

import numpy as np
import pytest

from mashbill.regression.cross_validation import cross_validate, split_folds
from mashbill.regression.laws.gaussian_process import GaussianProcess
from mashbill.regression.laws.linear import Linear
from mashbill.regression.process import learn, leave_one_out
from mashbill.regression.seed_noise import noise_offsets, same_mixtures

QUIET, LOUD = 0.02, 0.1  # standard deviations: variances differ 25 times


def law(weights: np.ndarray) -> np.ndarray:
    return 3 - 1.2 * np.sqrt(weights[:, 0] + 0.02) - 0.5 * np.sqrt(weights[:, 1] + 0.02) + 0.4 * weights[:, 2]


def loud(weights: np.ndarray) -> np.ndarray:
    return weights[:, 0] > 0.35


def repeated(seed: int, mixtures: int = 30, seeds: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """[runs, 3] mixtures under several seeds, and [runs, 1] losses, noisy where the first domain is large."""
    random = np.random.default_rng(seed)
    weights = np.repeat(random.dirichlet(np.ones(3), mixtures), seeds, axis=0)
    noise = np.where(loud(weights), LOUD, QUIET)
    return weights, (law(weights) + random.normal(0, noise))[:, None]


def standardised(losses: np.ndarray) -> np.ndarray:
    return (losses - losses.mean(axis=0)) / losses.std(axis=0)


def test_a_ratio_of_variances_is_found_and_carried_to_mixtures_trained_once() -> None:
    ratios = []
    for seed in range(4):
        weights, losses = repeated(seed)
        once = np.random.default_rng(seed).dirichlet(np.ones(3), 40)
        values = np.concatenate([losses, law(once)[:, None]])
        offsets = noise_offsets(np.concatenate([weights, once]), standardised(values))
        assert offsets is not None
        found = offsets[len(weights) :, 0]
        ratios.append(found[loud(once)].mean() - found[~loud(once)].mean())
    assert np.mean(ratios) == pytest.approx(np.log((LOUD / QUIET) ** 2), abs=1.2)


def test_unseen_mixtures_are_predicted_better_and_likelier_than_with_one_noise() -> None:
    unseen = np.random.default_rng(99).dirichlet(np.ones(3), 500)
    errors, surprises = [], []
    for seed in range(6):
        weights, losses = repeated(seed)
        targets = standardised(losses)
        offsets = noise_offsets(weights, targets)
        assert offsets is not None
        error, surprise = [], []
        for known in (offsets, None):
            process = learn(weights, targets, 1 / 3, offsets=known)
            predicted = process.mean(unseen)[:, 0] * losses.std() + losses.mean()
            error.append(np.sqrt(np.mean((predicted - law(unseen)) ** 2)))
            mean, deviation = leave_one_out(process, targets, known)
            surprise.append(np.mean(0.5 * ((targets - mean) / deviation) ** 2 + np.log(deviation)))
        errors.append(error[0] / error[1])
        surprises.append(surprise[1] - surprise[0])
    assert np.mean(errors) < 0.9
    assert min(surprises) > 0.1


def test_the_process_predicts_better_from_repeats_than_told_they_are_none() -> None:
    """Mixtures that differ in the seventh digit are not repeats, and all else is the same."""
    unseen = np.random.default_rng(99).dirichlet(np.ones(3), 500)
    ratios = []
    for seed in range(5):
        weights, losses = repeated(seed)
        apart = weights + np.random.default_rng(seed).uniform(0, 1e-7, weights.shape)
        errors = [
            np.sqrt(np.mean((GaussianProcess().fit(given, losses).predict(unseen)[:, 0] - law(unseen)) ** 2))
            for given in (weights, apart / apart.sum(axis=1, keepdims=True))
        ]
        ratios.append(errors[0] / errors[1])
    assert np.mean(ratios) < 0.92


def test_noise_is_one_where_nothing_was_repeated_or_nothing_differs() -> None:
    weights, losses = repeated(0, mixtures=40, seeds=1)
    assert noise_offsets(weights, standardised(losses)) is None
    random = np.random.default_rng(5)
    weights, _ = repeated(5, mixtures=24, seeds=2)
    even = (law(weights) + random.normal(0, 0.05, len(weights)))[:, None]
    assert noise_offsets(weights, standardised(even)) is None
    twice = np.repeat(law(weights[::2]), 2)[:, None]  # one run in two tables is no other seed
    assert noise_offsets(weights, standardised(twice)) is None


def test_mixtures_trained_twice_suffice() -> None:
    weights, losses = repeated(2, mixtures=120, seeds=2)
    offsets = noise_offsets(weights, standardised(losses))
    assert offsets is not None
    assert offsets[loud(weights)].mean() > offsets[~loud(weights)].mean() + 1


def test_three_mixtures_trained_many_times_suffice() -> None:
    random = np.random.default_rng(8)
    weights = np.repeat(np.eye(3) * 0.7 + 0.1, 25, axis=0)
    noise = np.repeat([0.01, 0.1, 1.0], 25)
    offsets = noise_offsets(weights, standardised(random.normal(3, noise)[:, None]))
    assert offsets is not None
    assert np.diff(offsets[::25, 0]).min() > 1


def test_a_mixture_has_no_other_noise_for_being_trained_more_often() -> None:
    """Half twice, half nine times, of one noise: two losses lie close by chance more often than nine."""
    random = np.random.default_rng(9)
    mixtures = random.dirichlet(np.ones(3), 80)
    weights = np.repeat(mixtures, np.where(loud(mixtures), 9, 2), axis=0)
    losses = (law(weights) + random.normal(0, 0.05, len(weights)))[:, None]
    assert noise_offsets(weights, standardised(losses)) is None


def test_weights_that_differ_by_rounding_are_of_one_mixture() -> None:
    weights = np.array([[0.5, 0.375, 0.125], [0.25, 0.25, 0.5]])
    rounded = weights + np.array([2e-10, -1e-10, -1e-10])
    apart = weights + np.array([2e-6, -1e-6, -1e-6])
    assert same_mixtures(np.concatenate([weights, rounded, apart])).tolist() == [2, 0, 2, 0, 3, 1]


def test_offsets_are_a_targets_own() -> None:
    weights, losses = repeated(1)
    random = np.random.default_rng(6)
    even = (law(weights) + random.normal(0, 0.05, len(weights)))[:, None]
    offsets = noise_offsets(weights, standardised(np.concatenate([even, losses], axis=1)))
    assert offsets is not None
    assert not offsets[:, 0].any()
    assert offsets[loud(weights), 1].mean() > offsets[~loud(weights), 1].mean() + 1
    unknown = standardised(losses)
    unknown[:6] = np.nan
    assert noise_offsets(weights, unknown) is not None


def test_runs_of_one_mixture_are_held_out_together() -> None:
    weights, losses = repeated(0, mixtures=10, seeds=2)
    numbers = same_mixtures(weights)
    for held, seen in split_folds(20, 4, 0, mixtures=numbers):
        assert not set(numbers[held]) & set(numbers[seen])
        assert len(held) + len(seen) == 20
    apart = np.random.default_rng(0).dirichlet(np.ones(3), 20)
    for one, other in zip(
        split_folds(20, 4, 0), split_folds(20, 4, 0, mixtures=same_mixtures(apart)), strict=True
    ):
        assert set(one[0]) == set(other[0])
    changed = losses.copy()
    changed[5] += 100  # the fifth mixture's other run has no say in what is predicted of it
    before, after = (cross_validate(Linear, weights, y, folds=5, seed=0).predicted for y in (losses, changed))
    assert after[4] == pytest.approx(before[4])
    assert not np.allclose(after, before)
