"""The plan stage: mixtures from the start, or, with ``plan.reuse``, only of the domains that changed since an
earlier search.

Domains that were in the earlier search and whose documents are much the same keep their ratios as one virtual
domain (olmix, arXiv 2602.12237); mixtures of the added and the revised are planned around it, and earlier
runs count again where they can be compared.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import joblib
import numpy as np
from pydantic import ValidationError

from mashbill.artifacts import ArtifactStore, Counts, StageRun, open_store
from mashbill.config import PipelineConfig, ProxyConfig
from mashbill.documents import DOCUMENTS, REFERENCES, DocumentStore
from mashbill.errors import ConfigError
from mashbill.mixtures import MixtureTable, epoch_ceiling
from mashbill.mixtures.reuse import FACTS, LOSSES, MIXTURES, RATIOS
from mashbill.regression.fitted import FittedRegression
from mashbill.search.earlier import EarlierSearch, find_earlier
from mashbill.search.plan import plan as plan_from_the_start
from mashbill.search.plan import write_plan
from mashbill.search.reuse import plan_again, runs_that_count
from mashbill.search.revision import changed_share
from mashbill.tokens import TokenStore


@dataclass(frozen=True)
class Changes:
    """What became of the validation sets and domains since an earlier search.

    Attributes:
        added, removed: domains that are new, and that are gone.
        shares: share of documents that came or went, by set that both have.
        revised: sets whose share is over what counts as the same.
    """

    added: tuple[str, ...]
    removed: tuple[str, ...]
    shares: Mapping[str, float]
    revised: tuple[str, ...]


def plan(run: StageRun) -> Counts:
    """Plan the sweep's mixtures."""
    if run.config.plan.reuse is None:
        return plan_from_the_start(run)
    earlier = find_earlier(run.config, run.inputs)
    if earlier is None:
        return _from_the_start(run, "there is no earlier choice of at least two of these domains", {})
    store = open_store(run.config)
    fitted: FittedRegression = joblib.load(store.open(earlier.mix.inputs["fit"]).path / "regression.joblib")
    run.progress(0.1, "comparing documents with the earlier search's")
    changes = compare_corpora(run, store, earlier, fitted)
    facts = _facts(earlier, changes)
    why_not = _not_comparable(run.config, earlier, fitted, changes)
    run.progress(0.8, "planning")
    if not (changes.added or changes.removed or set(changes.revised) & set(run.config.mixture_names)):
        counts = _from_the_start(run, "no domain changed, so mixtures of all are planned", facts)
    else:
        counts = _of_what_changed(run, store, earlier, fitted, changes)
    kept_runs = 0 if why_not else _write_kept_runs(run, fitted, changes)
    written = json.loads((run.output / FACTS).read_text())
    written |= {
        "kept_runs": kept_runs,
        "runs": why_not or "earlier runs that read nothing gone or revised count again",
    }
    (run.output / FACTS).write_text(json.dumps(written, indent=1))
    return {**counts, "kept_runs": kept_runs}


def compare_corpora(
    run: StageRun, store: ArtifactStore, earlier: EarlierSearch, fitted: FittedRegression
) -> Changes:
    """Compare the documents of today's sets with those of the earlier search: domains as selected, references
    as ingested."""
    tokenize = run.inputs["tokenize"].manifest
    stages = ("select", "ingest")
    now = {stage: DocumentStore.of(store.open(tokenize.inputs[stage])) for stage in stages}
    then = {stage: DocumentStore.of(store.open(earlier.tokenize.inputs[stage])) for stage in stages}
    today = TokenStore(run.inputs["tokenize"].path)
    sets = [("select", DOCUMENTS, name) for name in today.domains if name in fitted.domains]
    sets += [("ingest", REFERENCES, name) for name in today.references if name in fitted.sets]
    shares = {}
    for i, (stage, kind, name) in enumerate(sets):
        run.progress(0.1 + 0.7 * i / len(sets), f"comparing {name}")
        before, after = (side[stage].partitions(name, kind=kind) for side in (then, now))
        shares[name] = changed_share(before, after)
    return Changes(
        added=tuple(name for name in today.domains if name not in fitted.domains),
        removed=tuple(name for name in fitted.domains if name not in today.domains),
        shares=shares,
        revised=tuple(name for name, share in shares.items() if share > run.config.plan.revised_share),
    )


def _of_what_changed(
    run: StageRun, store: ArtifactStore, earlier: EarlierSearch, fitted: FittedRegression, changes: Changes
) -> Counts:
    """Plan mixtures of the added and the revised domains beside the others, which keep their ratios."""
    config, tokens = run.config, TokenStore(run.inputs["tokenize"].path)
    have = {name: float(tokens.counts(name, "train")["tokens"]) for name in tokens.domains}
    chosen = MixtureTable.read(store.open(earlier.address).path / "mixture.csv").row(0)
    ceiling = epoch_ceiling(np.array(list(have.values())), config.sweep.tokens, config.plan.max_epochs)
    revised = [name for name in changes.revised if name in have]
    facts = _facts(earlier, changes)
    try:
        again = plan_again(
            fitted, chosen, have, revised=revised, seed=config.seed, ceiling=ceiling, config=config.plan
        )
    except ConfigError as error:
        return _from_the_start(run, f"what is kept {error.what}", facts)
    bundle, natural = again.bundle, np.array(list(tokens.natural().values()))
    write_plan(again.mixtures, natural, config.plan, config.seed, run.output)
    MixtureTable(np.arange(1), bundle.domains, bundle.ratios[None]).write(run.output / RATIOS)
    searched = list(bundle.names[1:])
    kept = {
        name: float(r) for name, r in zip(bundle.domains, bundle.ratios, strict=True) if name not in searched
    }
    reason = f"{len(kept)} domains keep their ratios, {len(searched)} are searched"
    (run.output / FACTS).write_text(
        json.dumps({**facts, "reason": reason, "kept": kept, "searched": searched}, indent=1)
    )
    count = len(again.mixtures.index)
    limited = int((ceiling < 1).sum())
    return {
        "mixtures": count,
        "domains": len(have),
        "limited_domains": limited,
        "kept_domains": len(kept),
        "reuse": reason,
    }


def _from_the_start(run: StageRun, reason: str, facts: Mapping[str, Any]) -> Counts:
    """Plan mixtures of all domains, and say why."""
    counts = plan_from_the_start(run)
    nothing: dict[str, Any] = {
        "choice": None,
        "added": [],
        "removed": [],
        "revised": {},
        "kept": {},
        "kept_runs": 0,
        "runs": "",
    }
    record = {**nothing, "searched": list(run.config.mixture_names), **facts, "reason": reason}
    (run.output / FACTS).write_text(json.dumps(record, indent=1))
    return {**counts, "kept_domains": 0, "kept_runs": 0, "reuse": reason}


def _facts(earlier: EarlierSearch, changes: Changes) -> dict[str, Any]:
    return {
        "choice": earlier.address,
        "added": list(changes.added),
        "removed": list(changes.removed),
        "revised": {name: changes.shares[name] for name in changes.revised},
    }


def _write_kept_runs(run: StageRun, fitted: FittedRegression, changes: Changes) -> int:
    """Write the earlier runs that count, with the losses of the sets that did not change; how many they
    are."""
    today = TokenStore(run.inputs["tokenize"].path)
    mixtures, losses = runs_that_count(fitted, today.domains, changes.revised)
    sets = [name for name in losses.columns if name in today.set_names and name not in changes.revised]
    if len(mixtures.index):
        mixtures.write(run.output / MIXTURES)
        losses.having(sets).write(run.output / LOSSES)
    return len(mixtures.index)


def _not_comparable(
    config: PipelineConfig, earlier: EarlierSearch, fitted: FittedRegression, changes: Changes
) -> str:
    """Why the earlier proxies' losses cannot stand beside today's; empty where they can."""
    sweep = earlier.sweep.settings["sweep"]
    if not _same_proxy(earlier.sweep.settings["proxy"], config.proxy):
        return "earlier runs don't count, as the proxy's settings are others"
    if sweep["tokens"] != config.sweep.tokens:
        return f"earlier runs don't count, as sweep.tokens was {sweep['tokens']:,}"
    if earlier.sweep.settings["plan"].get("phases", 1) != config.plan.phases:
        return "earlier runs don't count, as plan.phases is another"
    if earlier.tokenize.settings["tokens"]["vocabulary"] != config.tokens.vocabulary:
        return "earlier runs don't count, as tokens.vocabulary is another"
    for name in config.target:
        if name not in fitted.sets:
            return f"earlier runs don't count, as they did not measure {name}"
        if name in changes.revised:
            return f"earlier runs don't count, as the text of {name}, a target, is revised"
    return ""


def _same_proxy(settings: Mapping[str, Any], proxy: ProxyConfig) -> bool:
    """Whether proxies were the same models; where they were trained, and how many at once, makes no
    difference."""
    try:
        earlier = ProxyConfig.model_validate(settings)
    except ValidationError:
        return False
    return earlier.model_copy(update={"device": proxy.device, "stack": proxy.stack}) == proxy
