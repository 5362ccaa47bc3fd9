"""What a few bad losses cost: rank correlation on RegMix's 256 unseen runs, from 64 of its training runs,
with the outliers learnt and with them left out.

    python benchmarks/outliers.py [--subsets 3] [--most 3]

In each of 13 sets other runs are bad: their loss is 12, or 0.5, or 2 above what was measured. The first
subset is the first 64 runs, the others are drawn.
"""

import argparse

import numpy as np
from page import Page
from regression import published

from mashbill.regression.cross_validation import spearman
from mashbill.regression.laws.gaussian_process import GaussianProcess
from mashbill.regression.outliers import find_outliers

RUNS = 64
KINDS = ("12", "0.5", "2 too high")


def spoilt(losses: np.ndarray, kind: str, count: int, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """[runs, sets] losses with so many bad ones a set, and [runs, sets] which they are."""
    random, bad = np.random.default_rng([seed, count]), np.zeros(losses.shape, bool)
    for column in range(losses.shape[1]):
        bad[random.choice(len(losses), count, replace=False), column] = True
    return np.where(bad, losses + 2 if kind == KINDS[2] else float(kind), losses), bad


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--subsets", type=int, default=3)
    parser.add_argument("--most", type=int, default=3, help="Bad losses of a set at most.")
    arguments = parser.parse_args()
    weights, losses = published("train")
    unseen, measured = published("test")
    page = Page("outliers", f"Bad losses among {RUNS} of RegMix's runs, change of the Spearman correlation")
    page.table(["bad losses a set", "all learnt", "left out", "found", "others taken for outliers"])
    subsets = [np.arange(RUNS)] + [
        np.random.default_rng(seed).choice(len(weights), RUNS, replace=False)
        for seed in range(1, arguments.subsets)
    ]

    def ranks(runs: np.ndarray, table: np.ndarray) -> np.ndarray:
        return spearman(GaussianProcess().fit(weights[runs], table).predict(unseen), measured)

    clean = [ranks(runs, losses[runs]) for runs in subsets]
    for count in range(1, arguments.most + 1):
        for kind in KINDS:
            learnt, left, hits, total, others = [], [], 0, 0, 0
            for seed, runs in enumerate(subsets):
                table, bad = spoilt(losses[runs], kind, count, seed=seed)
                found = find_outliers(weights[runs], table).found
                learnt.append(ranks(runs, table) - clean[seed])
                left.append(ranks(runs, np.where(found, np.nan, table)) - clean[seed])
                hits, total, others = (
                    hits + (found & bad).sum(),
                    total + bad.sum(),
                    others + (found & ~bad).sum(),
                )
            cells = [
                f"{min(c.mean() for c in changes):+.3f} ({np.min(changes):+.3f})"
                for changes in (learnt, left)
            ]
            page.row([f"{count} x {kind}", *cells, f"{hits} of {total}", str(others)])
    page.save()


if __name__ == "__main__":
    main()
