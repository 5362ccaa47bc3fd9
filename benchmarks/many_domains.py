"""``mashbill mixtures`` with many domains: seconds of each command, losses from a power law of our own in the
place of proxies.

    python benchmarks/many_domains.py [--domains 200] [--runs 512] [--targets 4]

No peer is measured: RegMix's and olmix's code take their tables from files of a fixed form. Regret says that
the answers are of use.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from page import Page

TOKENS, MAX_EPOCHS = 25e9, 4


def power_law(weights: np.ndarray, targets: int) -> np.ndarray:
    """[mixtures, targets] losses: each target falls as a power of what helps it, which is a few domains much
    and the others little."""
    random = np.random.default_rng(1)
    helps = random.gamma(0.3, size=(weights.shape[1], targets))
    losses: np.ndarray = 2 + 1.5 * (0.05 + weights @ (helps / helps.max(axis=0))) ** -0.3
    return losses


def run(*arguments: object) -> tuple[float, Any]:
    """Wall seconds of a command, and its answer."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "mashbill.cli.main", "mixtures", *map(str, arguments), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    return time.perf_counter() - started, json.loads(done.stdout)


def measure(folder: Path, domains: int, runs: int, targets: int) -> list[tuple[str, float, str]]:
    """Each command, its seconds and what it found."""
    names = [f"domain-{i:03d}" for i in range(domains)]
    amounts = np.exp(np.random.default_rng(0).normal(0, 1.5, domains))
    pd.DataFrame({"domain": names, "tokens": amounts / amounts.sum() * 20e9}).to_csv(
        folder / "tokens.csv", index=False
    )
    limits = ["--tokens", TOKENS, "--max-epochs", MAX_EPOCHS]
    rows = []
    for design in ("space-filling", "maximin", "around-natural"):
        planned = ["plan", "--domains", folder / "tokens.csv", "--count", runs, "--design", design, *limits]
        seconds, _ = run(*planned, "--output", folder / "m.csv")
        rows.append((f"plan, {design}", seconds, ""))
    mixtures = pd.read_csv(folder / "m.csv")
    losses = power_law(mixtures[names].to_numpy(), targets)
    table = pd.DataFrame(losses, columns=[f"t{i}" for i in range(targets)])
    table.insert(0, "index", mixtures["index"])
    table.to_csv(folder / "l.csv", index=False)
    given = ["--mixtures", folder / "m.csv", "--losses", folder / "l.csv", "--target", "all"]
    seconds, report = run("fit", *given, "--output", folder / "model")
    order = np.mean([row["spearman"] for row in report["cross_validation"].values()])
    rows.append(("fit", seconds, f"{report['regressor']}, Spearman {order:.3f} out of fold"))
    held = [*limits, "--available", folder / "tokens.csv"]
    seconds, choice = run("select", "--model", folder / "model", *held, "--output", folder / "best.csv")
    reached = power_law(np.array([list(choice["mixture"].values())]), targets).mean()
    best = losses.mean(axis=1).min()
    rows.append(
        ("select", seconds, f"measured loss {reached:.3f}, best run {best:.3f}, mean run {losses.mean():.3f}")
    )
    seconds, advice = run(
        "advise", "--model", folder / "model", "--count", 16, "--output", folder / "next.csv"
    )
    rows.append(("advise", seconds, f"16 more promise {advice['gain']:.4f}"))
    again = [
        "plan",
        "--domains",
        folder / "tokens.csv",
        "--reuse",
        folder / "model",
        "--revised",
        names[0],
        "--count",
        16,
    ]
    seconds, facts = run(*again, "--output", folder / "again.csv")
    rows.append(
        ("plan --reuse", seconds, f"{len(facts['searched'])} searched, {facts['kept_runs']} runs count again")
    )
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--domains", type=int, default=200)
    parser.add_argument("--runs", type=int, default=512)
    parser.add_argument("--targets", type=int, default=4)
    arguments = parser.parse_args()
    sizes = (arguments.domains, arguments.runs, arguments.targets)
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(Path(folder), *sizes)
    page = Page("many_domains", f"Many domains: {sizes[0]} domains, {sizes[1]} runs, {sizes[2]} targets")
    page.table(["command", "seconds", "what it found"])
    for command, seconds, found in rows:
        page.row([command, f"{seconds:.1f}", found])
    page.save()


if __name__ == "__main__":
    main()
