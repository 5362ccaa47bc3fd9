"""Regressors on RegMix's published sweep: rank correlation on its 256 unseen runs, from random subsets of its
512 training runs.

    python benchmarks/regression.py [--runs 32 64 128] [--subsets 5]

The peer is RegMix's own LightGBM: its hyper-parameters, all 20 samples a leaf, no early stopping on the
reported test set.
"""

import argparse
import statistics
import time
from pathlib import Path

import lightgbm
import numpy as np
import pandas as pd
from page import Page

from mashbill.regression.cross_validation import spearman
from mashbill.regression.laws.ensemble import new_regressor

DATA = Path(__file__).parents[1] / "tests" / "data" / "regmix"


def published(kind: str) -> tuple[np.ndarray, np.ndarray]:
    """[runs, domains] mixtures and [runs, targets] losses."""
    mixtures = pd.read_csv(DATA / f"{kind}_mixture_1m.csv", index_col=0).to_numpy()
    return mixtures / mixtures.sum(axis=1, keepdims=True), pd.read_csv(
        DATA / f"{kind}_pile_loss_1m.csv", index_col=0
    ).to_numpy()


def regmix(weights: np.ndarray, losses: np.ndarray, unseen: np.ndarray) -> np.ndarray:
    """RegMix's regressor, one model a target."""
    settings = {
        "n_estimators": 1_000,
        "learning_rate": 1e-2,
        "n_jobs": 1,
        "verbosity": -1,
        "random_state": 42,
    }
    return np.stack(
        [lightgbm.LGBMRegressor(**settings).fit(weights, target).predict(unseen) for target in losses.T], 1
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, nargs="+", default=[32, 64, 128])
    parser.add_argument("--subsets", type=int, default=5)
    parser.add_argument(
        "--regressors", nargs="+", default=["linear", "exponential", "power", "gp", "lightgbm", "ensemble"]
    )
    arguments = parser.parse_args()
    weights, losses = published("train")
    unseen, measured = published("test")
    page = Page(
        "regression",
        f"Regressors on RegMix's sweep, mean Spearman over 13 targets on {len(unseen)} unseen runs",
    )
    page.table(["runs", "RegMix's LightGBM", *arguments.regressors, "seconds of the last"])
    for runs in arguments.runs:
        found: dict[str, list[float]] = {name: [] for name in ("regmix", *arguments.regressors)}
        seconds = []
        for subset in range(arguments.subsets if runs < len(weights) else 1):
            chosen = np.random.default_rng(subset).choice(len(weights), runs, replace=False)
            found["regmix"].append(
                float(spearman(regmix(weights[chosen], losses[chosen], unseen), measured).mean())
            )
            for name in arguments.regressors:
                started = time.perf_counter()
                predicted = new_regressor(name).fit(weights[chosen], losses[chosen]).predict(unseen)
                seconds.append(time.perf_counter() - started)
                found[name].append(float(spearman(predicted, measured).mean()))
        cells = [f"{statistics.mean(v):.3f} ({min(v):.3f}-{max(v):.3f})" for v in found.values()]
        page.row([str(runs), *cells, f"{seconds[-1]:.0f}"])
    page.save()


if __name__ == "__main__":
    main()
