"""Which mixtures should a sweep try? Designs compared for the same number of runs.

    python benchmarks/designs.py shapes                    what each design draws on the Pile's 17 domains
    python benchmarks/designs.py simulator [--seeds 4]     on a process fitted to all 768 published runs
    make demo; python benchmarks/designs.py proxies        real proxies on the demo's text

Runs of a design teach a Gaussian process, and a direct search on it chooses a mixture. On the simulator its
regret is its loss above the lowest there is; on text models are trained on it anew. Rank correlations are
taken on mixtures of a kind of their own: the 256 that RegMix tested on, and on text draws around no
proportions at all. Proxies that are done are reused.
"""

import argparse
import itertools
import json
import multiprocessing
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from page import ROOT, Page
from regression import published as published_runs
from simulator import Learnt, Simulator, natural_of_the_pile

from mashbill.config import ModelShape, PlanConfig, ProxyConfig, load_config
from mashbill.config.search import DESIGNS
from mashbill.mixtures import draw_mixtures
from mashbill.proxies.proxy import train_proxy
from mashbill.regression.cross_validation import spearman
from mashbill.regression.laws.gaussian_process import GaussianProcess
from mashbill.regression.limits import no_limits
from mashbill.regression.objective import Objective
from mashbill.regression.simplex import SearchSpace
from mashbill.stages.local_run import finished_stages
from mashbill.tokens import TokenStore
from mashbill.tokens.shards import ValidationSet

SIZES = (16, 32, 64)
PUBLISHED = "RegMix's published"
STARTS = 10_000
SHAPE = ModelShape(layers=2, width=64, heads=2, kv_heads=2, feed_forward=192, context=128)
VALIDATION_TOKENS = 2_048
UNSEEN, FRESH_SEEDS = 24, 2
EXCHANGEABLE = {"regmix", "around-natural", "space-filling"}
"""Designs of which every part of a sweep is a smaller sweep."""
SWEEPS = {16: 2, 32: 1, 64: 1}
"""Sweeps that are trained of the other designs, by their runs."""
_simulators: list[Simulator] = []
"""Of a worker process, the one it works with."""


def effective(weights: np.ndarray) -> np.ndarray:
    """[mixtures] effective number of domains: the exponential of the entropy."""
    return np.exp(-(weights * np.log(np.maximum(weights, 1e-300))).sum(axis=1))


def print_shapes() -> None:
    """What each design draws, beside what RegMix published."""
    natural, published = natural_of_the_pile(), published_runs("train")[0]
    page = Page("design-shapes", "Designs: 512 mixtures of the Pile's 17 domains")
    page.table(
        [
            "design",
            "effective number of domains",
            "its quartiles",
            "one domain over half",
            "domains of weight",
            "greatest mean weight",
        ]
    )
    from_one = PlanConfig(design="regmix", min_strength=1.0)
    rows = {
        PUBLISHED: published,
        **{name: drawn(name, natural, 512, 0) for name in DESIGNS},
        "regmix, strengths from 1": draw_mixtures(natural, 512, from_one, seed=0),
    }
    for name, weights in rows.items():
        domains = effective(weights)
        over, positive = (weights.max(axis=1) > 0.5).mean(), (weights > 0).sum(axis=1).mean()
        quartiles = ", ".join(f"{q:.1f}" for q in np.quantile(domains, [0.25, 0.5, 0.75]))
        greatest = f"{weights.mean(axis=0).max():.2f}"
        page.row([name, f"{domains.mean():.1f}", quartiles, f"{over:.0%}", f"{positive:.1f}", greatest])
    page.save()


def drawn(design: str, natural: np.ndarray, count: int, seed: int) -> np.ndarray:
    """[count, domains] mixtures of a design."""
    return draw_mixtures(natural, count, PlanConfig.model_validate({"design": design}), seed=seed)


def _keep(simulator: Simulator) -> None:
    """Have a process know the simulator."""
    _simulators.append(simulator)


def simulated(design: str, runs: int, seed: int) -> tuple[float, list[float]]:
    """Spearman on unseen mixtures, and the regret of each target, of so many runs on the simulator."""
    simulator = _simulators[0]
    if design == PUBLISHED:
        rows = np.random.default_rng([seed, runs]).choice(len(simulator.published), runs, replace=False)
        weights = simulator.published[rows]
    else:
        weights = drawn(design, simulator.natural, runs, seed * 1_000 + runs)
    learnt = Learnt(weights, simulator.train(weights, seed))
    unseen = simulator.unseen
    rank = float(spearman(learnt.predict(unseen), simulator.losses(unseen)).mean())
    regrets = []
    for target in simulator.targets:
        chosen = simulator.space.minimise(learnt.objective(target), STARTS, seed=seed)
        regrets.append(simulator.regret(chosen, target))
    return rank, regrets


def compare_on_simulator(designs: Sequence[str], seeds: int) -> None:
    """Print what each design is worth on the simulator."""
    jobs = [(name, runs, seed) for runs in SIZES for name in (*designs, PUBLISHED) for seed in range(seeds)]
    page = Page("designs-simulator", f"Designs on a simulator fitted to RegMix's 768 runs, {seeds} seeds")
    page.table(
        [
            "runs",
            "design",
            "Spearman, 256 unseen mixtures (spread)",
            "regret, 13 single losses (spread over seeds)",
            "regret, all 13 evenly",
        ]
    )
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, context, initializer=_keep, initargs=(Simulator(),)) as pool:
        results = pool.map(simulated, *zip(*jobs, strict=True))
        for name, runs, _ in jobs[::seeds]:
            rows = list(itertools.islice(results, seeds))
            single = [statistics.mean(regrets[:-1]) for _, regrets in rows]
            evenly = statistics.mean(regrets[-1] for _, regrets in rows)
            ranks = spread([rank for rank, _ in rows])
            page.row([str(runs), name, ranks, spread(single), f"{evenly:.4f}"])
    page.save()


def spread(values: Sequence[float]) -> str:
    """The mean, and the least and greatest in brackets."""
    return f"{statistics.mean(values):.3f} ({min(values):.3f}-{max(values):.3f})"


class ShortStore(TokenStore):
    """A store whose validation sets are cut short, as small proxies would spend their time on them."""

    def validation(self, name: str) -> ValidationSet:
        """The first tokens of the set, and their share of its bytes."""
        whole = super().validation(name)
        kept = whole.tokens[:VALIDATION_TOKENS]
        return ValidationSet(name, kept, round(whole.bytes * len(kept) / len(whole.tokens)), whole.documents)


def trained(job: tuple[str, list[float], int, int, str]) -> list[float]:
    """[sets] bits per byte of a proxy on a mixture; reused where it was trained before."""
    folder, weights, tokens, seed, result = job
    if not Path(result).exists():
        store = ShortStore(Path(folder))
        with tempfile.TemporaryDirectory() as work:
            proxy = train_proxy(
                store,
                dict(zip(store.domains, weights, strict=True)),
                ProxyConfig(model=SHAPE, batch_sequences=4),
                tokens=tokens,
                evaluations=1,
                seed=seed,
                folder=Path(work),
                progress=lambda *_: None,
            )
        losses = [proxy.trajectory[-1][name] for name in store.set_names]
        Path(result).write_text(json.dumps({"weights": weights, "losses": losses}))
    known = json.loads(Path(result).read_text())
    if known["weights"] != weights:
        sys.exit(f"{result} is of another mixture; remove its folder")
    return known["losses"]


@dataclass(frozen=True)
class Text:
    """Proxies on the demo's text.

    Attributes:
        store: token shards; target: [sets] weights.
        tokens: of each proxy.
        work: where results lie.
        pool: processes that train.
    """

    store: ShortStore
    target: np.ndarray
    tokens: int
    work: Path
    pool: ProcessPoolExecutor

    @property
    def space(self) -> SearchSpace:
        """All mixtures."""
        return SearchSpace(self.natural, no_limits(len(self.natural)))

    @property
    def natural(self) -> np.ndarray:
        """[domains] natural proportions."""
        return np.array(list(self.store.natural().values()))

    def train(self, name: str, weights: np.ndarray, first_seed: int) -> np.ndarray:
        """[mixtures, sets] losses of a proxy on each, seeds counted from the first."""
        folder = self.work / f"{name}-{first_seed}-{self.tokens}"
        folder.mkdir(parents=True, exist_ok=True)
        jobs = [
            (str(self.store.folder), row.tolist(), self.tokens, first_seed + i, str(folder / f"{i:03d}.json"))
            for i, row in enumerate(weights)
        ]
        return np.array(list(self.pool.map(trained, jobs)))

    def sweeps(self, design: str) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """Runs, mixtures and losses of each sweep; where mixtures are exchangeable, parts of the largest."""
        if design in EXCHANGEABLE:
            most = max(SIZES)
            weights = drawn(design, self.natural, most, 0)
            losses = self.train(design, weights, 1_000)
            for runs in SIZES:
                for start in range(0, most, runs):
                    yield runs, weights[start : start + runs], losses[start : start + runs]
            return
        for runs, sweeps in SWEEPS.items():
            for i in range(sweeps):
                weights = drawn(design, self.natural, runs, i)
                yield runs, weights, self.train(f"{design}-{runs}", weights, 2_000 + 100 * i)


def compare_on_text(text: Text, designs: Sequence[str]) -> None:
    """Print what each design is worth with proxies."""
    random, domains = np.random.default_rng(7), len(text.natural)
    unseen = np.concatenate([random.dirichlet(np.full(domains, a), UNSEEN // 2) for a in (0.2, 1.0)])
    measured = text.train("unseen", unseen, 5_000)
    found: dict[tuple[int, str], list[tuple[float, float, float]]] = {}
    for design in designs:
        for runs, weights, losses in text.sweeps(design):
            process = GaussianProcess().fit(weights, losses)
            predicted = process.predict(unseen)
            best = text.space.minimise(Objective(process, text.target), STARTS, seed=0)
            name = f"chosen-{design}-{runs}-{len(found.get((runs, design), []))}"
            fresh = text.train(name, np.repeat(best[None], FRESH_SEEDS, axis=0), 9_000).mean(axis=0)
            ranks = spearman(predicted, measured)
            target_rank = spearman((predicted @ text.target)[:, None], (measured @ text.target)[:, None])
            row = (float(ranks.mean()), float(target_rank[0]), float(fresh @ text.target))
            found.setdefault((runs, design), []).append(row)
    page = Page("designs-text", f"Designs with proxies of {text.tokens:,} tokens on the demo's text")
    page.table(
        [
            "runs",
            "design",
            "sweeps",
            f"Spearman, {UNSEEN} unseen mixtures, {len(text.store.set_names)} sets (spread)",
            "Spearman, the target (spread)",
            "target's bits per byte, trained anew on the choice (spread)",
        ]
    )
    for (runs, design), rows in sorted(found.items()):
        page.row([str(runs), design, str(len(rows)), *(spread(column) for column in zip(*rows, strict=True))])
    natural = text.train("natural", np.repeat(text.natural[None], FRESH_SEEDS, axis=0), 9_000)
    loss = float((natural @ text.target).mean())
    page.say(f"On the natural mixture: {loss:.3f}.", natural=loss)
    page.save()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=["shapes", "simulator", "proxies"])
    parser.add_argument("--designs", nargs="+", choices=DESIGNS, default=DESIGNS)
    parser.add_argument("--seeds", type=int, default=4, help="of the simulator")
    parser.add_argument("--config", default=str(ROOT / "dags" / "configs" / "demo.toml"))
    parser.add_argument("--store", help="folder of token shards; without it the demo's")
    parser.add_argument("--tokens", type=int, default=49_152, help="of each proxy")
    parser.add_argument("--work", default=str(ROOT / ".demo" / "designs"))
    arguments = parser.parse_args()
    if arguments.part == "shapes":
        print_shapes()
    elif arguments.part == "simulator":
        compare_on_simulator(arguments.designs, arguments.seeds)
    else:
        config = load_config(arguments.config)
        folder = Path(arguments.store) if arguments.store else finished_stages(config)["tokenize"].path
        store = ShortStore(folder)
        target = np.array([config.target.get(name, 0.0) for name in store.set_names])
        with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
            compare_on_text(
                Text(store, target, arguments.tokens, Path(arguments.work), pool), arguments.designs
            )


if __name__ == "__main__":
    main()
