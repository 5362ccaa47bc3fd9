"""How long the commands of ``mashbill mixtures`` take on RegMix's published sweep, and how well they predict.

    python benchmarks/commands.py [--runs 64 512] [--candidates 1000000] [--repeats 3]

The commands run as a user runs them, in a process each, start-up included, on one thread. ``fit`` compares
all regressors by cross-validation, for all 13 targets.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from page import Page
from regression import DATA


def run(*words: str) -> tuple[float, str]:
    """CPU seconds of a command, and what it printed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [str(Path(sys.executable).parent / "mashbill"), "mixtures", *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-2_000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout


def tables(folder: Path, kind: str, runs: int | None = None) -> list[str]:
    """The published runs as the commands take them, or the first of them."""
    words = []
    for option, name in (("--mixtures", "mixture"), ("--losses", "pile_loss")):
        path = folder / f"{kind}-{name}-{runs}.csv"
        pd.read_csv(DATA / f"{kind}_{name}_1m.csv", index_col=0).head(runs).to_csv(path)
        words += [option, str(path)]
    return words


def candidates(folder: Path, count: int) -> str:
    """A CSV of so many random mixtures."""
    path = folder / "candidates.csv"
    columns = pd.read_csv(DATA / "train_mixture_1m.csv", index_col=0, nrows=1).columns
    drawn = np.random.default_rng(0).dirichlet(np.ones(len(columns)), count)
    pd.DataFrame(drawn, columns=columns).to_csv(path, index_label="index")
    return str(path)


def measure(folder: Path, runs: int, arguments: argparse.Namespace) -> list[tuple[str, list[float], str]]:
    """Each command's name, CPU seconds of its runs, and what it found."""
    train, unseen, model = (
        tables(folder, "train", runs),
        tables(folder, "test"),
        ["--model", str(folder / "model")],
    )
    output = ["--output", str(folder / "written.csv")]
    commands = {
        "fit --target '*'": ["fit", *train, "--target", "*", "--output", model[1]],
        "evaluate": ["evaluate", *model, *unseen, "--json"],
        "select": ["select", *model, *output],
        "advise": ["advise", *model],
        f"predict, {arguments.candidates:,} mixtures": [
            "predict",
            *model,
            "--mixtures",
            candidates(folder, arguments.candidates),
            *output,
        ],
    }
    rows = []
    for name, words in commands.items():
        figures = [run(*words) for _ in range(arguments.repeats)]
        rows.append((name, [seconds for seconds, _ in figures], found(name, figures[-1][1])))
    return rows


def found(name: str, printed: str) -> str:
    """What ``evaluate`` says of the model on runs it has not seen, the mean over the targets."""
    if name != "evaluate":
        return ""
    targets = json.loads(printed)["targets"].values()
    rank, inside, regret = (
        statistics.mean(target[key] for target in targets) for key in ("spearman", "coverage_90", "regret")
    )
    return f"rank correlation {rank:.3f}, inside the 90% interval {inside:.0%}, regret {regret:.3f}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, nargs="+", default=[64, 512])
    parser.add_argument("--candidates", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    page = Page("commands", "Commands on RegMix's sweep, 13 targets, one thread, start-up included")
    page.table(["runs", "command", "CPU seconds, median (spread)", "on 256 unseen runs"])
    with tempfile.TemporaryDirectory() as folder:
        for runs in arguments.runs:
            for name, seconds, answer in measure(Path(folder), runs, arguments):
                spread = f"{statistics.median(seconds):.1f} ({min(seconds):.1f}-{max(seconds):.1f})"
                page.row([str(runs), name, spread, answer])
    page.save()


if __name__ == "__main__":
    main()
