"""The refine stage: adaptive rounds of proxies. Each round fits a process to all runs so far and trains the
mixtures it asks for.

It stops by itself where more runs promise too little; the rounds that are left then train nothing.
"""

import json
import os
from collections.abc import Mapping

import numpy as np

from mashbill.artifacts import Artifact, Counts, StageRun
from mashbill.config import PipelineConfig
from mashbill.mixtures import LossTable, MixtureTable, epoch_ceiling
from mashbill.mixtures.reuse import read_bundle, with_kept_runs
from mashbill.proxies.group import train_group
from mashbill.proxies.result import ProxyResult, final_losses, folder_name
from mashbill.proxies.sweep import chosen_config
from mashbill.regression.advice import Advice, advise, draw_in_bundle
from mashbill.regression.laws.gaussian_process import GaussianProcess
from mashbill.search.fit import read_runs
from mashbill.tokens import TokenStore

ROUND_TAG = 306
FIRST_INDEX = 100_000  # of a round's proxies, times the round


def round_names(config: PipelineConfig, inputs: Mapping[str, Artifact]) -> list[str]:
    """The rounds."""
    return [f"round-{i + 1:03d}" for i in range(config.refine.rounds)]


def run_round(run: StageRun) -> Counts:
    """Train one round's proxies, unless an earlier round has stopped or this one promises too little."""
    config, store, name = run.config, TokenStore(run.inputs["tokenize"].path), run.part or ""
    before = list(run.parts.values())
    if before and before[-1].manifest.counts["proxies"] == 0:
        return {**before[-1].manifest.counts}
    number = int(name.removeprefix("round-"))
    advice = _advice(run, [run.inputs["sweep"], *before], store, number)
    facts = {"gain": round(advice.gain, 5), "gain_90": round(advice.gain_90, 5)}
    if advice.gain_90 < config.refine.min_gain:
        run.progress(1.0, f"more proxies promise {advice.gain_90:.4f} at most: stopped")
        return {"proxies": 0, "failed": 0, "tokens": 0, **facts}
    index = FIRST_INDEX * number + np.arange(len(advice.mixtures))
    table = MixtureTable(index, store.domains, advice.mixtures)
    sweep = config.sweep
    counts = train_group(
        run,
        store,
        table,
        range(len(index)),
        [chosen_config(config, run.inputs["sweep"])],
        tokens=sweep.tokens,
        evaluations=sweep.evaluations,
        tag=ROUND_TAG,
        processes=config.workers or os.cpu_count() or 1,  # rounds run one at a time
    )
    table.write(run.output / "mixtures.csv")
    results = [ProxyResult.read(run.output / "proxies" / folder_name(int(i))) for i in index]
    LossTable(index, store.set_names, final_losses(results, store.set_names)).write(run.output / "losses.csv")
    return {"proxies": counts["proxies"], "failed": counts["failed"], "tokens": counts["tokens"], **facts}


def collect_rounds(run: StageRun) -> Counts:
    """One table of all rounds, and what each promised; no table where none trained."""
    trained = [artifact for artifact in run.parts.values() if (artifact.path / "mixtures.csv").exists()]
    rounds = [{"round": name, **artifact.manifest.counts} for name, artifact in run.parts.items()]
    (run.output / "rounds.json").write_text(json.dumps(rounds, indent=1))
    if trained:
        mixtures = [MixtureTable.read(artifact.path / "mixtures.csv") for artifact in trained]
        losses = [LossTable.read(artifact.path / "losses.csv") for artifact in trained]
        index = np.concatenate([table.index for table in mixtures])
        MixtureTable(index, mixtures[0].columns, np.concatenate([t.weights for t in mixtures])).write(
            run.output / "mixtures.csv"
        )
        LossTable(index, losses[0].columns, np.concatenate([t.losses for t in losses])).write(
            run.output / "losses.csv"
        )
    totals = {
        key: sum(artifact.manifest.counts[key] for artifact in trained)
        for key in ("proxies", "failed", "tokens")
    }
    return {**totals, "rounds": len(trained)}


def _advice(run: StageRun, runs: list[Artifact], store: TokenStore, number: int) -> Advice:
    """What to train in a round."""
    config = run.config
    plan = run.inputs["plan"].path
    mixtures, losses = with_kept_runs(*read_runs(*(artifact.path for artifact in runs)), plan)
    have = np.array([store.counts(d, "train")["tokens"] for d in mixtures.domains], np.float64)
    ceiling = epoch_ceiling(have, config.sweep.tokens, config.plan.max_epochs)
    wanted = config.target
    target = np.array([wanted.get(name, 0.0) for name in losses.columns])
    process = GaussianProcess().fit(mixtures.weights, losses.losses)
    seed = int(np.random.SeedSequence([config.seed, ROUND_TAG, number]).generate_state(1)[0])
    floor, natural = np.zeros(len(have)), have / have.sum()
    kept = read_bundle(plan)
    pool = None if kept is None else draw_in_bundle(kept, natural, floor, ceiling, seed)
    return advise(process, target, natural, floor, ceiling, count=config.refine.proxies, seed=seed, pool=pool)
