"""Direct search against RegMix's simulation on one regression: how far above the lowest loss they choose.

    python benchmarks/direct_search.py [--runs 64] [--subsets 3]

A Gaussian process learns from some of RegMix's 512 published training runs; every way chooses a mixture by
it, for each of the 13 losses alone and for all of them evenly. Judge is the process fitted to all 768 runs,
which is of the same kind, so in the process's favour. The first subset is the first runs of the table.
"""

import argparse
import statistics
from collections.abc import Callable

import numpy as np
from page import Page
from regression import published
from simulator import Learnt, Simulator

from mashbill.mixtures.dirichlet import draw_around
from mashbill.regression.simplex import simulate

CANDIDATES, BEST, STARTS = 100_000, 128, 10_000
CAUTION = 0.5

Way = Callable[[int | None], np.ndarray]
"""From a loss, or None for all evenly, to [domains] a mixture."""


def by_candidates(learnt: Learnt, drawn: np.ndarray) -> Way:
    """The mean of the best of some [candidates, domains]."""
    predicted = learnt.predict(drawn)

    def choose(target: int | None) -> np.ndarray:
        loss = predicted.mean(axis=1) if target is None else predicted[:, target]
        return drawn[np.argsort(loss, kind="stable")[:BEST]].mean(axis=0)

    return choose


def directly(learnt: Learnt, simulator: Simulator, caution: float) -> Way:
    """Where a direct search ends."""

    def choose(target: int | None) -> np.ndarray:
        return simulator.space.minimise(learnt.objective(target, caution), STARTS, seed=0)

    return choose


def around_natural(natural: np.ndarray) -> np.ndarray:
    """[candidates, domains] of many domains, as our simulation had them before it took RegMix's."""
    random, prior = np.random.default_rng(0), natural**0.5 / (natural**0.5).sum()
    strength = np.exp(random.uniform(np.log(0.1), np.log(5), (CANDIDATES, 1)))
    return draw_around(random, prior * strength * len(natural))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=64)
    parser.add_argument("--subsets", type=int, default=3)
    arguments = parser.parse_args()
    simulator, (weights, losses) = Simulator(), published("train")
    above: dict[str, list[list[float]]] = {}
    for subset in range(arguments.subsets):
        order = np.random.default_rng(subset).permutation(len(weights)) if subset else np.arange(len(weights))
        rows = order[: arguments.runs]
        learnt = Learnt(weights[rows], losses[rows])
        ways = {
            "mean of the best 128 of RegMix's 100,000": by_candidates(
                learnt, simulate(simulator.natural, CANDIDATES, 0)
            ),
            "mean of the best 128 of 100,000 around natural": by_candidates(
                learnt, around_natural(simulator.natural)
            ),
            "direct": directly(learnt, simulator, 0.0),
            f"direct, caution {CAUTION} (the default)": directly(learnt, simulator, CAUTION),
        }
        for name, choose in ways.items():
            regrets = [simulator.regret(choose(target), target) for target in simulator.targets]
            above.setdefault(name, []).append(regrets)
    page = Page(
        "direct-search", f"Choosing from {arguments.runs} of RegMix's runs, {arguments.subsets} subsets"
    )
    page.table(
        [
            "choice",
            "above the lowest of 13 single losses, first subset",
            "all subsets (spread)",
            "all 13 evenly",
        ]
    )
    for name, found in above.items():
        single = [statistics.mean(row[:-1]) for row in found]
        evenly = statistics.mean(row[-1] for row in found)
        spread = f"{statistics.mean(single):.3f} ({min(single):.3f}-{max(single):.3f})"
        page.row([name, f"{single[0]:.3f}", spread, f"{evenly:.4f}"])
    page.save()


if __name__ == "__main__":
    main()
