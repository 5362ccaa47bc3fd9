"""The plan stage: mixtures from the start, or, with ``plan.reuse``, only of the domains that changed since an
earlier search.

Domains that were in the earlier search and whose documents are much the same keep their ratios as one virtual
domain (olmix, arXiv 2602.12237); mixtures of the added and the revised are planned around it, and earlier
runs count again where they can be compared.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import ValidationError

from mashbill.artifacts import ArtifactStore, Counts, StageRun, open_store
from mashbill.config import PipelineConfig, ProxyConfig
from mashbill.documents import DOCUMENTS, REFERENCES, DocumentStore
from mashbill.errors import ConfigError, DataError
from mashbill.mixtures import Choice, SweepRuns, epoch_ceiling
from mashbill.mixtures.plan import NATURAL_MIXTURE, SCHEDULES
from mashbill.mixtures.reuse import RATIOS, Reuse, write_bundle
from mashbill.mixtures.sweep_runs import KEPT_LOSSES, KEPT_MIXTURES, write_kept_runs
from mashbill.mixtures.sweep_runs import MIXTURES as PLANNED
from mashbill.regression.fitted import FittedRegression
from mashbill.search.earlier import LAST, EarlierSearch, find_earlier
from mashbill.search.plan import plan_from_the_start, planned
from mashbill.search.reuse import earlier_runs, plan_again
from mashbill.search.revision import changed_share
from mashbill.tokens import TokenStore

OUTPUTS = {
    PLANNED: "one mixture a row",
    NATURAL_MIXTURE: "the natural mixture",
    SCHEDULES: "with plan.phases: how each mixture is spread over them",
    Reuse.FILE: "with plan.reuse: what is kept of an earlier search, what is searched, and why",
    RATIOS: "domains that keep their ratios",
    f"{KEPT_MIXTURES}, {KEPT_LOSSES}": "earlier runs that count",
}


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
        reason = "there is no earlier choice of at least two of these domains"
        counts, reuse = _from_the_start(run, reason)
        reuse.write(run.output)
        return counts
    store = open_store(run.config)
    try:
        fitted = FittedRegression.read(store.open(earlier.mix.inputs["fit"]))
    except DataError as error:
        if run.config.plan.reuse != LAST:
            raise
        counts, reuse = _from_the_start(run, f"the earlier regression cannot be read ({error.where})")
        reuse.write(run.output)
        return counts
    run.progress(0.1, "comparing documents with the earlier search's")
    changes = compare_corpora(run, store, earlier, fitted=fitted)
    why_not = _not_comparable(run.config, earlier, fitted, changes=changes)
    run.progress(0.8, "planning")
    if not (changes.added or changes.removed or set(changes.revised) & set(run.config.mixture_names)):
        counts, reuse = _from_the_start(run, "no domain changed, so mixtures of all are planned")
    else:
        counts, reuse = _of_what_changed(
            run, Choice.read(store.open(earlier.address)), fitted, changes=changes
        )
    kept_runs = 0 if why_not else _write_kept_runs(run, fitted, changes)
    found = {
        "choice": earlier.address,
        "added": changes.added,
        "removed": changes.removed,
        "revised": {name: changes.shares[name] for name in changes.revised},
        "kept_runs": kept_runs,
        "runs": why_not or "earlier runs that read nothing gone or revised count again",
    }
    reuse.model_copy(update=found).write(run.output)
    return {**counts, "kept_runs": kept_runs}


def compare_corpora(
    run: StageRun, store: ArtifactStore, earlier: EarlierSearch, *, fitted: FittedRegression
) -> Changes:
    """Compare the documents of today's sets with those of the earlier search: domains as selected, references
    as ingested."""
    tokenize = run.inputs["tokenize"].manifest
    stages = ("select", "ingest")
    now = {stage: DocumentStore.of(store.open(tokenize.inputs[stage])) for stage in stages}
    then = {stage: DocumentStore.of(store.open(earlier.tokenize.inputs[stage])) for stage in stages}
    today = TokenStore(run.inputs["tokenize"])
    sets = [("select", DOCUMENTS, name) for name in today.domains if name in fitted.domains]
    sets += [("ingest", REFERENCES, name) for name in today.references if name in fitted.sets]
    shares = {}
    for i, (stage, kind, name) in enumerate(sets):
        run.progress(0.1 + 0.7 * i / len(sets), f"comparing {name}")
        before, after = (side[stage].partitions(name, kind=kind) for side in (then, now))
        shares[name] = changed_share(before, after, run.config.engine)
    return Changes(
        added=tuple(name for name in today.domains if name not in fitted.domains),
        removed=tuple(name for name in fitted.domains if name not in today.domains),
        shares=shares,
        revised=tuple(name for name, share in shares.items() if share > run.config.plan.revised_share),
    )


def _of_what_changed(
    run: StageRun, choice: Choice, fitted: FittedRegression, *, changes: Changes
) -> tuple[Counts, Reuse]:
    """Plan mixtures of the added and the revised domains beside the others, which keep their ratios."""
    config, store = run.config, TokenStore(run.inputs["tokenize"])
    amounts = store.train_amounts()
    have = dict(zip(store.domains, amounts.tolist(), strict=True))
    ceiling = epoch_ceiling(amounts, config.sweep.tokens, config.plan.max_epochs)
    revised = [name for name in changes.revised if name in have]
    chosen, seed = choice.mixture, config.seed
    try:
        again = plan_again(
            fitted, chosen, have, revised=revised, seed=seed, ceiling=ceiling, config=config.plan
        )
    except ConfigError as error:
        return _from_the_start(run, f"what is kept {error.what}")
    natural = np.array(list(store.natural().values()))
    planned(again.mixtures, natural, config.plan, seed=seed).write(run.output)
    write_bundle(again.bundle, run.output / RATIOS)
    reason = f"{len(again.ratios)} domains keep their ratios, {len(again.searched)} are searched"
    counts = {
        "mixtures": len(again.mixtures.index),
        "domains": len(have),
        "limited_domains": int((ceiling < 1).sum()),
        "kept_domains": len(again.ratios),
        "reuse": reason,
    }
    return counts, Reuse(reason=reason, kept=again.ratios, searched=again.searched)


def _from_the_start(run: StageRun, reason: str) -> tuple[Counts, Reuse]:
    """Plan mixtures of all domains, and say why."""
    counts = plan_from_the_start(run)
    reuse = Reuse(reason=reason, searched=run.config.mixture_names)
    return {**counts, "kept_domains": 0, "kept_runs": 0, "reuse": reason}, reuse


def _write_kept_runs(run: StageRun, fitted: FittedRegression, changes: Changes) -> int:
    """Write the earlier runs that count, with the losses of the sets that did not change; how many they
    are."""
    today = TokenStore(run.inputs["tokenize"])
    runs = earlier_runs(fitted, today.domains, changes.revised)
    columns = runs.losses.columns
    sets = [name for name in columns if name in today.set_names and name not in changes.revised]
    if len(runs):
        write_kept_runs(SweepRuns(runs.mixtures, runs.losses.having(sets)), run.output)
    return len(runs)


def _not_comparable(
    config: PipelineConfig, earlier: EarlierSearch, fitted: FittedRegression, *, changes: Changes
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
    return earlier.what_is_computed() == proxy.what_is_computed()
