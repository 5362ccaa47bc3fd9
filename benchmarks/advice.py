"""Advice against random order on RegMix's sweep: how many of its runs must be trained before the choice is
that of all of them.

    python benchmarks/advice.py [--targets 13] [--seeds 3]

The 768 published runs are the mixtures that can be trained; a run's measured losses are revealed when it is
asked for. After every batch the run that the Gaussian process predicts best is the choice; its regret is its
measured loss less the best measured of all runs.
"""

import argparse
import statistics

import numpy as np
from page import Page
from regression import published

from mashbill.regression.advice import advise
from mashbill.regression.laws.gaussian_process import GaussianProcess
from mashbill.regression.limits import no_limits
from mashbill.regression.simplex import SearchSpace

START, BATCH, MOST = 32, 16, 128


def regrets(weights: np.ndarray, losses: np.ndarray, seed: int, advised: bool) -> list[float]:
    """Regret of the choice after each batch, for one target.

    Args:
        weights: [runs, domains]; losses: [runs, 1]; all that can be revealed.
        seed: seed of the first runs and of the random order.
        advised: ask advise which runs come next, or take a random order.
    """
    order = np.random.default_rng(seed).permutation(len(weights)).tolist()
    seen, found = order[:START], []
    domains = [str(i) for i in range(weights.shape[1])]
    space = SearchSpace(weights.mean(axis=0), no_limits(len(domains)))
    while True:
        process = GaussianProcess().fit(weights[seen], losses[seen])
        found.append(float(losses[int(process.predict(weights)[:, 0].argmin()), 0] - losses.min()))
        if len(seen) >= MOST:
            return found
        rest = [i for i in order if i not in set(seen)]
        if advised:
            advice = advise(
                process, np.ones(1), space, domains=domains, count=BATCH, seed=seed, pool=weights[rest]
            )
            seen = seen + [
                rest[int(np.abs(weights[rest] - row).sum(axis=1).argmin())] for row in advice.weights
            ]
        else:
            seen = seen + rest[:BATCH]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--targets", type=int, default=13)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    parts = [published(kind) for kind in ("train", "test")]
    weights, losses = (np.concatenate([part[i] for part in parts]) for i in (0, 1))
    page = Page(
        "advice", f"Which runs to train: advice against random order, {len(weights)} runs of RegMix's sweep"
    )
    page.table(
        [
            "runs revealed",
            "regret, random order",
            "regret, advised",
            "best run chosen, random",
            "best run chosen, advised",
        ]
    )
    curves = {}
    for advised in (False, True):
        curves[advised] = np.array(
            [
                regrets(weights, losses[:, [target]], seed, advised)
                for target in range(arguments.targets)
                for seed in range(arguments.seeds)
            ]
        )
    for i in range(curves[True].shape[1]):
        cells = [f"{statistics.mean(curves[a][:, i]):.4f}" for a in (False, True)] + [
            f"{(curves[a][:, i] == 0).mean():.0%}" for a in (False, True)
        ]
        page.row([str(START + i * BATCH), *cells])
    page.save()


if __name__ == "__main__":
    main()
