"""The baselines stage: other methods' mixtures, found with the sweep's own proxies, one part a method."""

from collections.abc import Mapping

import numpy as np

from mashbill.artifacts import Artifact, Counts, StageRun
from mashbill.config import PipelineConfig
from mashbill.mixtures import BaselineMixtures, MixturePlan, MixtureTable
from mashbill.mixtures.choice import MIXTURE
from mashbill.models.capacity import device_of
from mashbill.models.huggingface import is_saved, load_model, save_model
from mashbill.proxies.methods.doremi import doremi, train_reference
from mashbill.proxies.methods.online import online_mixing, skill_it
from mashbill.proxies.methods.reweighted_proxy import MethodMixture, ReweightedProxy
from mashbill.tokens import TokenStore

BASELINE_TAG = 304
HISTORY = "history.csv"
OUTPUTS = {
    BaselineMixtures.FILE: "mixtures by name",
    f"*_{HISTORY}": "how a method's mixture changed over its run",
}


def baseline_parts(config: PipelineConfig, inputs: Mapping[str, Artifact]) -> list[str]:
    """The methods."""
    return list(config.baselines.methods)


def run_baseline(run: StageRun) -> Counts:
    """Find one method's mixture; DoReMi's reference and Skill-It's graph outlive a killed attempt."""
    config, store, name = run.config, TokenStore(run.inputs["tokenize"]), run.part or ""
    seed = int(np.random.SeedSequence([config.seed, BASELINE_TAG, *name.encode()]).generate_state(1)[0])
    tokens = config.sweep.tokens
    if name == "doremi":
        found = _doremi(run, store, tokens, seed=seed)
    elif name == "skill-it":
        kept = run.scratch / "graph"
        found = skill_it(
            store, config.proxy, config.baselines, tokens=tokens, seed=seed, progress=run.progress, kept=kept
        )
    else:
        found = online_mixing(
            store, config.proxy, config.baselines, tokens=tokens, seed=seed, progress=run.progress
        )
    kept = found.history[np.linspace(0, len(found.history) - 1, min(200, len(found.history))).astype(int)]
    MixtureTable(np.arange(1), store.domains, found.mixture[None]).write(run.output / MIXTURE)
    MixtureTable(np.arange(len(kept)), store.domains, kept).write(run.output / HISTORY)
    return {"tokens": found.tokens}


def collect_baselines(run: StageRun) -> Counts:
    """Gather the methods' mixtures into ``baselines.json``, tempered and given ones beside them."""
    plan = MixturePlan.read(run.inputs["plan"])
    tempered = plan.natural**run.config.plan.temperature
    mixtures = {"tempered": dict(zip(plan.domains, (tempered / tempered.sum()).tolist(), strict=True))}
    for name, given in run.config.baselines.given.items():
        mixtures[name] = {domain: given.get(domain, 0.0) for domain in plan.domains}
    tokens = 0
    for name, artifact in run.parts.items():
        mixtures[name] = MixtureTable.read(artifact.file(MIXTURE)).row(0)
        (run.output / f"{name}_{HISTORY}").write_bytes(artifact.file(HISTORY).read_bytes())
        tokens += artifact.manifest.counts["tokens"]
    BaselineMixtures(mixtures).write(run.output)
    return {"baselines": len(mixtures), "tokens": tokens}


def _doremi(run: StageRun, store: TokenStore, tokens: int, *, seed: int) -> MethodMixture:
    config, kept = run.config, run.scratch / "reference"
    plan = MixturePlan.read(run.inputs["plan"])
    natural = dict(zip(plan.domains, plan.natural.tolist(), strict=True))
    if not is_saved(kept):
        proxy = ReweightedProxy(store, config.proxy, tokens, seed=seed)
        weights = np.array([natural[name] for name in store.domains])
        model = train_reference(proxy, weights, lambda share, words: run.progress(share / 2, words))
        save_model(model, kept, store.tokenizer_path, end_of_text=store.end_of_text)
    found = doremi(
        store,
        load_model(kept).eval().to(device_of(config.proxy)),
        config.proxy,
        config=config.baselines,
        tokens=tokens,
        seed=seed + 1,
        progress=lambda share, words: run.progress(0.5 + share / 2, words),
    )
    return MethodMixture(found.mixture, found.history, 2 * found.tokens)
