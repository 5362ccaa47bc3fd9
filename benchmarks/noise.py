"""How far two seeds of a proxy agree on the order of mixtures, by the size of a batch.

    make demo
    python benchmarks/noise.py [--batches 8 4] [--tokens 262144] [--mixtures 7]

Mixtures are the first of the demo's sweep. A sweep whose seeds disagree measures noise: this is what the
demo's batch and budget were chosen by. Proxies that are done are reused.
"""

import argparse
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from once import bits_per_byte
from page import ROOT, Page

from mashbill.config import load_config
from mashbill.mixtures import SweepRuns
from mashbill.stages.local_run import finished_stages
from mashbill.tokens import TokenStore


def train(job: tuple[str, str, int, int, int, dict[str, float], Path]) -> float:
    """Target loss of one proxy; reused where it is there."""
    path, folder, batch, tokens, seed, mixture, place = job
    config = load_config(path)
    proxy = config.proxy.model_copy(update={"batch_sequences": batch})
    measured = bits_per_byte(TokenStore(Path(folder)), mixture, proxy, tokens=tokens, seed=seed, place=place)
    return sum(weight * measured[name] for name, weight in config.target.items())


def main() -> None:
    """Train and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", default=str(ROOT / "dags" / "configs" / "demo.toml"))
    parser.add_argument("--batches", type=int, nargs="+", default=[8, 4])
    parser.add_argument("--tokens", type=int, default=262_144)
    parser.add_argument("--mixtures", type=int, default=7)
    parser.add_argument("--work", type=Path, default=ROOT / ".demo" / "noise")
    arguments = parser.parse_args()
    config = load_config(arguments.config)
    done = finished_stages(config)
    runs, folder = SweepRuns.read(done["sweep"]).mixtures, str(done["tokenize"].path)
    mixtures = [runs.row(i) for i in range(arguments.mixtures)]
    places = [
        (batch, seed, i) for batch in arguments.batches for seed in (1, 2) for i in range(len(mixtures))
    ]
    jobs = [
        (
            arguments.config,
            folder,
            batch,
            arguments.tokens,
            1_000 * seed + i,
            mixtures[i],
            arguments.work / f"{batch}-{arguments.tokens}-{seed}-{i}",
        )
        for batch, seed, i in places
    ]
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        losses = np.reshape(list(pool.map(train, jobs)), (len(arguments.batches), 2, len(mixtures)))
    title = f"Two seeds of {len(mixtures)} mixtures, {arguments.tokens:,} tokens each"
    page = Page("noise", title)
    page.table(
        [
            "sequences a batch",
            "steps",
            "mean target loss",
            "deviation over mixtures",
            "deviation over seeds",
            "correlation of two seeds",
        ]
    )
    for batch, pair in zip(arguments.batches, losses, strict=True):
        over_seeds = np.sqrt((pair.var(axis=0, ddof=1)).mean())
        page.row(
            [
                str(batch),
                str(arguments.tokens // (batch * config.proxy.model.context)),
                f"{pair.mean():.3f}",
                f"{pair.mean(axis=0).std(ddof=1):.3f}",
                f"{over_seeds:.3f}",
                f"{np.corrcoef(pair)[0, 1]:.2f}",
            ]
        )
    page.save()


if __name__ == "__main__":
    main()
