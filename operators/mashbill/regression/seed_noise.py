"""Noise that differs by mixture, learnt where mixtures were trained again with other seeds.

The losses of one mixture under several seeds have a variance of their own. Its logarithm is regressed on the
mixture by a process that knows how uncertain a variance of so few seeds is; so a mixture that was trained
once takes after those near it. Where that explains the variances no better than one for all, all runs keep
the same noise; and so they do where nothing was trained twice, as one loss a mixture does not tell noise from
shape.

Source: stochastic kriging (Ankenman, Nelson and Staum 2010), with the variances themselves kriged.
"""

import numpy as np

from mashbill.regression.process import evidence, learn

ROOT = 1 / 3
LEAST_MIXTURES = 3  # repeated, for noise that differs among them
LEAST_EVIDENCE = 3.0  # nats by which noise that differs must be more likely than one noise for all
LARGEST = float(np.log(100))  # of an offset, either way
DECIMALS = 9
SAME = 1e-12  # a variance below is of one run that is given twice


def same_mixtures(weights: np.ndarray) -> np.ndarray:
    """[runs] a number for each run's mixture, the same where [runs, domains] weights are."""
    _, numbers = np.unique(np.round(weights, DECIMALS), axis=0, return_inverse=True)
    return numbers.reshape(-1)


def noise_offsets(weights: np.ndarray, targets: np.ndarray) -> np.ndarray | None:
    """[runs, targets] logarithm of a run's noise variance over the usual one; None where few
    mixtures were repeated, or noise does not differ.

    Args:
        weights: [runs, domains] mixtures.
        targets: [runs, targets] losses in the scale in which a process learns them; NaN where unknown.
    """
    numbers = same_mixtures(weights)
    _, first, times = np.unique(numbers, return_index=True, return_counts=True)
    if (times < 2).all():
        return None
    variances, doubts = _log_variances(numbers, targets)
    repeated = (~np.isnan(variances)).any(axis=1)
    if repeated.sum() < LEAST_MIXTURES:
        return None
    mixtures, variances, doubts = weights[first][repeated], variances[repeated], doubts[repeated]
    certain = np.where(np.isnan(variances), 0.0, 1 / np.exp(doubts))
    middle = np.nansum(certain * np.nan_to_num(variances), axis=0) / np.maximum(certain.sum(axis=0), 1e-12)
    centred = variances - middle
    process = learn(mixtures, centred, ROOT, offsets=doubts, noise=0.0)
    offsets = np.clip(process.mean(weights), -LARGEST, LARGEST)
    offsets[:, evidence(process, centred, doubts) < LEAST_EVIDENCE] = 0
    return offsets if offsets.any() else None


def _log_variances(numbers: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[mixtures, targets] logarithm of the variance over a mixture's runs, made unbiased, NaN where it was
    not repeated; and the logarithm of that estimate's own variance.

    Of n normal losses the logarithm of the sample variance is off by ``digamma(f) - log(f)`` and has the
    variance ``trigamma(f)``, with f = (n - 1) / 2.
    """
    from scipy.special import digamma, polygamma

    known = ~np.isnan(targets)
    member = numbers == np.arange(numbers.max() + 1)[:, None]
    runs = member.astype(float) @ known
    sums = member @ np.nan_to_num(targets)
    off = np.where(known, targets - (sums / np.maximum(runs, 1))[numbers], 0.0)
    half = np.where(runs > 1, (runs - 1) / 2, np.nan)
    variances = (member @ off**2) / (2 * half)
    variances = np.where(variances > SAME, variances, np.nan)
    doubts = np.where(np.isnan(half), 0.0, np.log(polygamma(1, np.nan_to_num(half, nan=1.0))))
    return np.log(variances) - (digamma(half) - np.log(half)), doubts
