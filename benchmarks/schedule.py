"""Does a schedule beat a constant mixture? Phased proxies on the demo's text, then fresh models on both
answers, over seeds.

    make demo
    python benchmarks/schedule.py [--runs 48] [--phases 3] [--tokens 196608] [--seeds 3]

Every proxy trains on a mixture of its own, spread over the phases at random. The regression over loss curves
and the static one over mean mixtures predict the final target loss of runs they have not seen. Then fresh
models train on the schedule that the first finds, and on the best single mixtures by either, all within four
epochs of a final run of ``--final-tokens``. Runs that are done are reused.
"""

import argparse
import json
import statistics
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from page import ROOT, Page

from mashbill.config import ModelShape, PlanConfig, ProxyConfig, load_config
from mashbill.mixtures import (
    Schedule,
    ScheduleChoice,
    ScheduleTable,
    draw_mixtures,
    epoch_ceiling,
    within_ceiling,
)
from mashbill.mixtures.design import spread_over_phases
from mashbill.proxies.proxy import train_proxy
from mashbill.regression.laws.gaussian_process import GaussianProcess
from mashbill.regression.limits import Limits
from mashbill.regression.simplex import candidates, minimise
from mashbill.regression.trajectories.limits import ScheduleLimits
from mashbill.regression.trajectories.optimum import Terms, choose_schedule
from mashbill.regression.trajectories.runs import PhasedRuns
from mashbill.stages.local_run import finished_stages
from mashbill.tokens import TokenStore
from mashbill.tokens.shards import ValidationSet

SHAPE = ModelShape(layers=2, width=64, heads=2, kv_heads=2, feed_forward=192, context=128)
VALIDATION_TOKENS = 4_096
EPOCHS = 4.0


class ShortStore(TokenStore):
    """A store whose validation sets are cut short, as small proxies would spend their time on them."""

    def validation(self, name: str) -> ValidationSet:
        """The first tokens of the set, and their share of its bytes."""
        whole = super().validation(name)
        kept = whole.tokens[:VALIDATION_TOKENS]
        return ValidationSet(name, kept, round(whole.bytes * len(kept) / len(whole.tokens)), whole.documents)


def train(
    store: TokenStore, schedule: Schedule, tokens: int, seed: int, place: Path
) -> list[dict[str, float]]:
    """One proxy's trajectory; reused where it was trained on the same schedule."""
    result = place / "result.json"
    if not result.exists() or json.loads(result.read_text())["phases"] != schedule.as_json():
        place.mkdir(parents=True, exist_ok=True)
        proxy = ProxyConfig(model=SHAPE, batch_sequences=8)
        trained = train_proxy(
            store,
            schedule,
            proxy,
            tokens=tokens,
            evaluations=1,
            seed=seed,
            folder=place,
            progress=lambda *_: None,
        )
        result.write_text(json.dumps({"phases": schedule.as_json(), "trajectory": trained.trajectory}))
    trajectory: list[dict[str, float]] = json.loads(result.read_text())["trajectory"]
    return trajectory


def sweep(store: TokenStore, arguments: argparse.Namespace) -> PhasedRuns:
    """Phased proxies, and what they were trained on."""
    plan = PlanConfig(phases=arguments.phases, design="around-natural")
    natural = np.array(list(store.natural().values()))
    weights = spread_over_phases(draw_mixtures(natural, arguments.runs, plan, seed=0), plan, 0)
    shares = np.full(weights.shape[:2], 1 / arguments.phases)
    table = ScheduleTable(np.arange(arguments.runs), store.domains, shares, weights)
    work = Path(arguments.work) / f"{arguments.phases}-phases-{arguments.tokens}"
    runs = [
        train(store, table.schedule(i), arguments.tokens, 1_000 + i, work / f"{i:03d}")
        for i in range(arguments.runs)
    ]
    losses = np.array([[[point[name] for name in store.set_names] for point in run] for run in runs])
    return PhasedRuns(table.index, store.domains, store.set_names, shares[0], weights, losses)


def choose(
    store: TokenStore, runs: PhasedRuns, target: Mapping[str, float], final_tokens: float
) -> tuple[ScheduleChoice, dict[str, float]]:
    """What the regression over loss curves chooses, and the best mixture by a process over mean mixtures."""
    have = store.train_amounts()
    repeats, natural = epoch_ceiling(have, final_tokens, EPOCHS), have / have.sum()
    limits = Limits(np.zeros(len(have)), np.ones(len(have)), repeats)
    choice = choose_schedule(runs, ScheduleLimits(runs.shares, limits), Terms(target, natural=natural))
    process = GaussianProcess().fit(runs.means, runs.losses[:, -1])
    weights = np.array([target.get(name, 0.0) for name in runs.sets])
    drawn = within_ceiling(candidates(natural, 2_000, 0), repeats)
    start = drawn[int((process.predict(drawn) @ weights).argmin())]
    found = minimise(lambda rows: process.predict(rows) @ weights, start, limits, seed=0)
    return choice, dict(zip(store.domains, found.tolist(), strict=True))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", default=str(ROOT / "dags" / "configs" / "demo.toml"))
    parser.add_argument("--store", help="folder of token shards; without it the demo's")
    parser.add_argument("--runs", type=int, default=64)
    parser.add_argument("--phases", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=393_216)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--final-tokens", type=float, default=40e6)
    parser.add_argument("--work", default=str(ROOT / ".demo" / "schedule"))
    arguments = parser.parse_args()
    config = load_config(arguments.config)
    store = ShortStore(Path(arguments.store) if arguments.store else finished_stages(config)["tokenize"].path)
    target = np.array([config.target.get(name, 0.0) for name in store.set_names])
    runs = sweep(store, arguments)
    facts, by_means = choose(store, runs, config.target, arguments.final_tokens)
    page = Page(
        "schedule",
        f"Schedules of {arguments.phases} phases, {arguments.runs} proxies of {arguments.tokens:,} tokens",
    )
    page.table(["regression", "rank correlation of unseen runs", "mean error, bits per byte"])
    for name, label in (("trajectories", "over loss curves, rolled out"), ("static", "over mean mixtures")):
        row = getattr(facts.cross_validation, name)
        page.row([label, f"{row.spearman:.3f}", f"{row.mae:.4f}"])
    page.say(f"{facts.reason.capitalize()}. Taken: {facts.taken}.")
    page.table(["domain", *(f"phase {i + 1}" for i in range(arguments.phases)), "mean", "single mixture"])
    candidate = Schedule.from_json([phase.model_dump() for phase in facts.candidate])
    for i, name in enumerate(store.domains):
        weights = [*candidate.weights[:, i], candidate.mean[name], facts.constant[name]]
        page.row([name, *(f"{weight:.3f}" for weight in weights)])
    trained_on = {
        "the schedule": candidate,
        "the best single mixture": Schedule.constant(facts.constant),
        "the best single mixture by means": Schedule.constant(by_means),
        "the schedule's mean": Schedule.constant(candidate.mean),
        "the schedule reversed": Schedule(candidate.domains, candidate.shares[::-1], candidate.weights[::-1]),
    }
    measured = measure(store, trained_on, target, arguments)
    compare(page, measured)
    page.save()


def measure(
    store: TokenStore, schedules: dict[str, Schedule], target: np.ndarray, arguments: argparse.Namespace
) -> dict[str, list[float]]:
    """Target loss of fresh models on each schedule, over seeds."""
    measured: dict[str, list[float]] = {}
    for name, schedule in schedules.items():
        work = Path(arguments.work) / "fresh"
        places = [
            work / f"{name.replace(' ', '-')}-{arguments.final_tokens:.0f}-{seed}"
            for seed in range(arguments.seeds)
        ]
        ends = [
            train(store, schedule, arguments.tokens, 9_000 + seed, place)[-1]
            for seed, place in enumerate(places)
        ]
        measured[name] = [
            sum(w * end[s] for s, w in zip(store.set_names, target, strict=True)) for end in ends
        ]
    return measured


def compare(page: Page, measured: dict[str, list[float]]) -> None:
    """The table of what fresh models ended at, against the schedule's."""
    page.table(
        [
            "trained on",
            "bits per byte of the target (spread)",
            "above the schedule (standard error)",
            "in seeds",
        ]
    )
    for name, values in measured.items():
        row = [name, f"{statistics.mean(values):.4f} ({min(values):.4f}-{max(values):.4f})"]
        above = np.array(values) - np.array(measured["the schedule"])
        error = above.std(ddof=1) / np.sqrt(len(above)) if len(above) > 1 else float("nan")
        of = [f"{above.mean():.4f} ({error:.4f})", f"{(above > 0).sum()} of {len(above)}"]
        page.row(row + (of if above.any() else ["", ""]))


if __name__ == "__main__":
    main()
