"""The refine stage: adaptive rounds of proxies. Each fits the regression to all runs so far, as the fit stage
does, and trains the mixtures that it asks for.

It stops by itself where more runs promise too little; the rounds that are left then train nothing.
"""

from collections.abc import Mapping

import numpy as np

from mashbill.artifacts import Artifact, Counts, StageRun
from mashbill.config import PipelineConfig
from mashbill.cores import cores_here
from mashbill.mixtures import MixtureTable, Round, Rounds, SweepRuns, epoch_ceiling
from mashbill.mixtures.reuse import read_bundle
from mashbill.mixtures.sweep_runs import LOSSES, MIXTURES, has_runs, runs_that_count
from mashbill.proxies.group import chosen_config, train_group
from mashbill.regression.advice import Advice, advise
from mashbill.regression.fitted import fit_runs
from mashbill.regression.limits import Limits
from mashbill.regression.simplex import SearchSpace
from mashbill.tokens import TokenStore

ROUND_TAG = 306
FIRST_INDEX = 100_000  # of a round's proxies, times the round
OUTPUTS = {
    MIXTURES: "mixtures of all rounds",
    LOSSES: "their final bits per byte",
    Rounds.FILE: "what each promised",
}


def round_names(config: PipelineConfig, inputs: Mapping[str, Artifact]) -> list[str]:
    """The rounds."""
    return [f"round-{i + 1:03d}" for i in range(config.refine.rounds)]


def run_round(run: StageRun) -> Counts:
    """Train one round's proxies, unless an earlier round has stopped or this one promises too little."""
    config, store = run.config, TokenStore(run.inputs["tokenize"])
    before, number = list(run.parts.values()), int((run.part or "").removeprefix("round-"))
    if before and before[-1].manifest.counts["proxies"] == 0:
        return {**before[-1].manifest.counts}
    advice = _advice(run, store, [run.inputs["sweep"], *before], number=number)
    promised = {"gain": round(advice.gain, 5), "gain_90": round(advice.gain_90, 5)}
    if advice.gain_90 < config.refine.min_gain:
        run.progress(1.0, f"more proxies promise {advice.gain_90:.4f} at most: stopped")
        return {"proxies": 0, "failed": 0, "tokens": 0, **promised}
    weights = advice.weights
    table = MixtureTable(FIRST_INDEX * number + np.arange(len(weights)), store.domains, weights)
    trained = train_group(
        run,
        store,
        table,
        rows=range(len(weights)),
        configs=[chosen_config(config, run.inputs["sweep"])],
        tokens=config.sweep.tokens,
        evaluations=config.sweep.evaluations,
        tag=ROUND_TAG,
        processes=config.workers or cores_here(),  # rounds run one at a time
    )
    trained.runs.write(run.output)
    return {key: trained.counts[key] for key in ("proxies", "failed", "tokens")} | promised


def collect_rounds(run: StageRun) -> Counts:
    """One table of all rounds, and what each promised; no table where none trained."""
    trained = [artifact for artifact in run.parts.values() if has_runs(artifact)]
    rounds = [Round(round=name, **artifact.manifest.counts) for name, artifact in run.parts.items()]
    Rounds(tuple(rounds)).write(run.output)
    if trained:
        SweepRuns.read(*trained).write(run.output)
    totals = {
        key: sum(artifact.manifest.counts[key] for artifact in trained)
        for key in ("proxies", "failed", "tokens")
    }
    return {**totals, "rounds": len(trained)}


def _advice(run: StageRun, store: TokenStore, sweeps: list[Artifact], *, number: int) -> Advice:
    """What to train in a round."""
    config, plan = run.config, run.inputs["plan"]
    runs = runs_that_count(plan, *sweeps)
    have = store.train_amounts(runs.mixtures.domains)
    ceiling = epoch_ceiling(have, config.sweep.tokens, config.plan.max_epochs)
    space = SearchSpace(have / have.sum(), Limits(np.zeros(len(have)), ceiling), read_bundle(plan))
    fitted, _ = fit_runs(
        runs,
        config.regression.regressor,
        folds=config.regression.folds,
        seed=config.seed,
        keep_outliers=config.regression.keep_outliers,
    )
    return advise(
        fitted.posterior,
        np.array([config.target.get(name, 0.0) for name in runs.losses.columns]),
        space,
        domains=runs.mixtures.domains,
        count=config.refine.proxies,
        seed=int(np.random.SeedSequence([config.seed, ROUND_TAG, number]).generate_state(1)[0]),
    )
