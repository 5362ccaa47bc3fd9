"""A schedule alone: runs with their losses on the way, as tables of one's own or as a sweep wrote them."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np

from mashbill.alone.arguments import plain
from mashbill.alone.given import Given, Ready, stand_in
from mashbill.alone.models import choice_of
from mashbill.alone.search import counted
from mashbill.alone.tables import amounts_of, refuse_strangers, table_of
from mashbill.artifacts import Counts
from mashbill.config import CorpusConfig, PipelineConfig
from mashbill.errors import ConfigError
from mashbill.mixtures import MixturePlan, MixtureTable, ScheduleTable, TrajectoryTable
from mashbill.mixtures.plan import NATURAL_MIXTURE
from mashbill.mixtures.sweep_runs import MIXTURES, TRAJECTORIES
from mashbill.regression.runs import weigh_columns
from mashbill.storage import local_path, sha256_of


def for_schedule(given: Given) -> Ready:
    """What schedule reads: what the runs followed, their losses on the way, and the mixture that stays where
    a schedule is not worth it."""
    schedules, losses = _schedules(given, given.ground), _trajectories(given, given.ground)
    sets, phases = TrajectoryTable.read(losses).sets, schedules.shares.shape[1]
    target = weigh_columns(plain(given.get("target")) or {"*": 1.0}, sets, given.where("trajectories"))
    wanted = int(plain(given.get("phases") or 1, int))
    runs = {"plan": {"phases": phases}, "sweep": {"evaluations": wanted}}
    exact = replace(given.having({"target": target}), fixed={**given.fixed, **runs})
    config = exact.config(
        CorpusConfig.of_names(schedules.domains, [name for name in sets if name not in schedules.domains])
    )
    available = amounts_of(given, config)
    refuse_strangers(
        given, "mixtures", schedules.domains, known=tuple(available), whose="the tokens available"
    )
    amounts = {domain: available[domain] for domain in schedules.domains}
    have = np.array(list(amounts.values()))
    identity = [list(schedules.domains), schedules.index.tolist(), schedules.weights.tolist()]

    def write_plan(folder: Path) -> Counts:
        several = schedules if phases > 1 else None
        MixturePlan(schedules.means(), have / have.sum(), several).write(folder)
        return {}

    def write_sweep(folder: Path) -> Counts:
        shutil.copyfile(losses, folder / TRAJECTORIES)
        return {}

    inputs = {
        "tokenize": counted(config, amounts),
        "plan": stand_in(config, "plan", [identity, schedules.shares.tolist()], write=write_plan),
        "sweep": stand_in(config, "sweep", sha256_of(losses), write=write_sweep),
        "mix": choice_of(given, config, schedules.domains),
    }
    return Ready(config, inputs)


def _schedules(given: Given, config: PipelineConfig) -> ScheduleTable:
    """What the runs followed: a plan's, a table with a column phase, or mixtures."""
    value = given.values["mixtures"]
    made = given.published(value, config) if isinstance(value, str) else None
    if made is not None and made.has(NATURAL_MIXTURE):
        return MixturePlan.read(made).trained
    if made is None and isinstance(plain(value), str) and Path(value).suffix != ".json":
        return ScheduleTable.read(local_path(config, "mixtures", value))
    return ScheduleTable.of(table_of(given, config, "mixtures", kind=MixtureTable, file=MIXTURES))


def _trajectories(given: Given, config: PipelineConfig) -> Path:
    value = given.get("trajectories") or given.values["mixtures"]
    made = given.published(value, config) if isinstance(value, str) else None
    if made is not None and made.has(TRAJECTORIES):
        return made.file(TRAJECTORIES)
    if given.get("trajectories") is None or made is not None:
        mend = "give a CSV, or the address of what SweepProxies wrote"
        raise ConfigError(given.where("trajectories"), "is missing", mend)
    return local_path(config, "trajectories", str(value))
