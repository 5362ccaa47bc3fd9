"""The mixture search alone: tables and token shards of others, or of other operators, in place of the stages
before."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mashbill.alone.arguments import plain
from mashbill.alone.given import Given, Ready, referring, stand_in
from mashbill.alone.tables import amounts_of, refuse_strangers, shards_of, table_of
from mashbill.artifacts import Artifact, Counts
from mashbill.config import CorpusConfig, PipelineConfig
from mashbill.errors import DataError
from mashbill.mixtures import (
    BaselineMixtures,
    Choice,
    LossTable,
    MixturePlan,
    MixtureTable,
    Rounds,
    SweepRuns,
)
from mashbill.mixtures.plan import NATURAL_MIXTURE
from mashbill.mixtures.sweep_runs import LOSSES, MIXTURES, align
from mashbill.regression.runs import weigh_columns
from mashbill.stages import STAGES, StageJob
from mashbill.tokens import TokenStore
from mashbill.tokens.shards import NO_TOKENS, write_index


def for_plan(given: Given) -> Ready:
    """What plan reads: how many tokens there are."""
    config, available, tokens = _amounts(given)
    if len(available) < 2:
        raise DataError(given.where("available"), "has one domain, and mixtures take two", "add another")
    return Ready(config, {"tokenize": tokens})


def for_sweep(given: Given) -> Ready:
    """What sweep reads: token shards and mixtures."""
    config, tokens = config_of_shards(given)
    return Ready(config, {"tokenize": tokens, "plan": _plan(given, config, TokenStore(tokens))})


def for_refine(given: Given) -> Ready:
    """What refine reads: token shards, and the runs so far."""
    config, tokens = config_of_shards(given)
    store = TokenStore(tokens)
    plan, runs = _plan(given, config, store), _runs(given, config)
    return Ready(config, {"tokenize": tokens, "plan": plan, "sweep": _sweep(config, runs)})


def for_ladder(given: Given) -> Ready:
    """What ladder reads: token shards, and the runs so far."""
    config, tokens = config_of_shards(given)
    _plan(given, config, TokenStore(tokens))  # which looks at the names
    return Ready(config, {"tokenize": tokens, "sweep": _sweep(config, _runs(given, config))})


def for_baselines(given: Given) -> Ready:
    """What baselines reads: token shards, and their natural proportions."""
    config, tokens = config_of_shards(given)
    store = TokenStore(tokens)
    natural = MixtureTable(np.arange(1), store.domains, np.array([list(store.natural().values())]))
    return Ready(config, {"tokenize": tokens, "plan": _planned(config, natural, natural.weights[0])})


def for_fit(given: Given) -> Ready:
    """What fit reads: runs."""
    config, runs = _of_runs(given)
    return Ready(config, _for_fit(config, runs, runs.mixtures.weights.mean(axis=0)))


def for_mix(given: Given) -> Ready:
    """What mix reads: runs, the regression of them, which is fitted here, and how many tokens there are."""
    config, runs = _of_runs(given)
    available, domains = amounts_of(given, config), runs.mixtures.domains
    refuse_strangers(given, "mixtures", domains, known=tuple(available), whose="the tokens available")
    amounts = np.array([available[domain] for domain in domains])
    inputs = _for_fit(config, runs, amounts / amounts.sum())
    fit = StageJob(STAGES["fit"], config, inputs).run()
    others = stand_in(config, "baselines", "none", write=_write_no_baselines)
    tokens = counted(config, dict(zip(domains, amounts.tolist(), strict=True)))
    plan_and_sweep = {name: inputs[name] for name in ("plan", "sweep")}
    return Ready(config, {**plan_and_sweep, "tokenize": tokens, "fit": fit, "baselines": others})


def for_validate(given: Given) -> Ready:
    """What validate reads: token shards and a choice."""
    config, tokens = config_of_shards(given)
    made = given.made("mixture", config, holds=Choice.FILE, by="ChooseMixture")
    refuse_strangers(
        given,
        "mixture",
        list(Choice.read(made).mixture),
        known=TokenStore(tokens).domains,
        whose="the shards",
    )
    return Ready(config, {"tokenize": tokens, "mix": referring(config, "mix", made)})


def for_gate(given: Given) -> Ready:
    """What gate reads: a choice."""
    config = given.config(CorpusConfig.of_names(("documents",), ()))
    made = given.made("mixture", config, holds=Choice.FILE, by="ChooseMixture")
    return Ready(config, {"mix": referring(config, "mix", made)})


def config_of_shards(given: Given) -> tuple[PipelineConfig, Artifact]:
    """The config of token shards, and these.

    Raises:
        ConfigError: there are none, or the target names another set.
    """
    made = shards_of(given, given.ground)
    store = TokenStore(made)
    config = given.config(CorpusConfig.of_names(store.domains, store.references))
    return config, referring(config, "tokenize", made)


def _amounts(given: Given) -> tuple[PipelineConfig, Mapping[str, float], Artifact]:
    available = amounts_of(given, given.ground)
    config = given.config(CorpusConfig.of_names(tuple(available), ()))
    return config, available, counted(config, available)


def counted(config: PipelineConfig, available: Mapping[str, float]) -> Artifact:
    """Token shards of which the amounts alone are known."""

    def write(folder: Path) -> Counts:
        empty = {**NO_TOKENS}
        sets: dict[str, Any] = {
            name: {
                "kind": "domain",
                "train": {**empty, "tokens": amount},
                "validation": empty,
                "shards": {"train": [], "validation": []},
            }
            for name, amount in available.items()
        }
        write_index(folder, 1, np.dtype(np.uint16), end_of_text=0, sets=sets)
        return {"tokens": sum(available.values())}

    return stand_in(config, "tokenize", list(available.items()), write=write)


def _plan(given: Given, config: PipelineConfig, store: TokenStore) -> Artifact:
    """The plan: another operator's as it is, or one of the mixtures that are given.

    Raises:
        DataError: runs have names, or domains that the shards have not.
    """
    value = given.values["mixtures"]
    made = given.published(value, config) if isinstance(value, str) else None
    if made is not None and made.has(NATURAL_MIXTURE):
        mixtures = MixturePlan.read(made).mixtures
    else:
        mixtures = table_of(given, config, "mixtures", kind=MixtureTable, file=MIXTURES)
    if not np.issubdtype(mixtures.index.dtype, np.integer):
        what = f"has names of runs ({mixtures.index[0]!r:.40}), and proxies are numbered"
        raise DataError(given.where("mixtures"), what, "number the rows in a column index")
    refuse_strangers(given, "mixtures", mixtures.domains, known=store.domains, whose="the shards")
    refuse_strangers(given, "tokens", store.domains, known=mixtures.domains, whose="the mixtures")
    if made is not None and made.has(NATURAL_MIXTURE) and mixtures.domains == store.domains:
        return referring(config, "plan", made)
    natural = np.array(list(store.natural().values()))
    return _planned(config, mixtures.having(store.domains), natural)


def _planned(config: PipelineConfig, mixtures: MixtureTable, natural: np.ndarray) -> Artifact:
    def write(folder: Path) -> Counts:
        MixturePlan(mixtures, natural).write(folder)
        return {"mixtures": len(mixtures.index)}

    return stand_in(config, "plan", [_values(mixtures), natural.tolist()], write=write)


def _runs(given: Given, config: PipelineConfig) -> SweepRuns:
    """The runs that are given, with losses of the sets of the target."""
    mixtures = table_of(given, config, "mixtures", kind=MixtureTable, file=MIXTURES)
    losses = _losses(given, config)
    losses.check_positive()
    return SweepRuns(mixtures, align(mixtures, losses))


def _losses(given: Given, config: PipelineConfig) -> LossTable:
    name = "losses" if given.get("losses") is not None else "mixtures"
    value = given.values[name]
    if name == "mixtures" and not (isinstance(value, str) and given.published(value, config)):
        raise DataError(given.where("losses"), "is missing", "give the losses of the runs")
    return table_of(given, config, name, kind=LossTable, file=LOSSES)


def _of_runs(given: Given) -> tuple[PipelineConfig, SweepRuns]:
    """The config of runs, and these; the target by column.

    Raises:
        DataError: a table is wrong, or the target names no column.
    """
    runs = _runs(given, given.ground)
    target = plain(given.get("target"))
    domains, columns = runs.mixtures.domains, runs.losses.columns
    wanted = weigh_columns(target or {"*": 1.0}, columns, given.where("losses"))
    kept = tuple(name for name in columns if name in wanted)
    losses = runs.losses.having(kept)
    references = [name for name in kept if name not in domains]
    exact = given.having({"target": wanted})
    return exact.config(CorpusConfig.of_names(domains, references)), SweepRuns(runs.mixtures, losses)


def _for_fit(config: PipelineConfig, runs: SweepRuns, natural: np.ndarray) -> dict[str, Artifact]:
    plan, sweep = _planned(config, runs.mixtures, natural), _sweep(config, runs)
    return {
        "plan": plan,
        "sweep": sweep,
        "refine": stand_in(config, "refine", "none", write=_write_no_rounds),
    }


def _sweep(config: PipelineConfig, runs: SweepRuns) -> Artifact:
    def write(folder: Path) -> Counts:
        runs.write(folder)
        return {"proxies": len(runs), "failed": len(runs) - len(runs.finished), "tokens": 0, "settings": 0}

    return stand_in(config, "sweep", [_values(runs.mixtures), _values(runs.losses)], write=write)


def _values(table: MixtureTable | LossTable) -> Any:
    return [list(table.columns), table.index.tolist(), table.values.tolist()]


def _write_no_baselines(folder: Path) -> Counts:
    BaselineMixtures({}).write(folder)
    return {}


def _write_no_rounds(folder: Path) -> Counts:
    Rounds(()).write(folder)
    return {"proxies": 0, "failed": 0, "tokens": 0, "rounds": 0}
