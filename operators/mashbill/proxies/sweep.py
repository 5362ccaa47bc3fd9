"""The sweep: one proxy a planned mixture, in groups, so that losses can be learnt from mixtures (RegMix)."""

from collections.abc import Mapping

from mashbill.artifacts import Artifact, Counts, StageRun
from mashbill.config import PipelineConfig
from mashbill.mixtures import MixtureTable, ScheduleTable
from mashbill.proxies.group import collect_groups, group_names, group_rows, train_group
from mashbill.tokens import TokenStore

SWEEP_TAG = 301


def sweep_parts(config: PipelineConfig, inputs: Mapping[str, Artifact]) -> list[str]:
    """Names of the groups."""
    mixtures = MixtureTable.read(inputs["plan"].path / "mixtures.csv")
    return group_names(len(mixtures.index), config.sweep.group_size)


def run_sweep_part(run: StageRun) -> Counts:
    """Train one group."""
    config = run.config
    mixtures = MixtureTable.read(run.inputs["plan"].path / "mixtures.csv")
    rows = group_rows(run.part or "", len(mixtures.index), config.sweep.group_size)
    store = TokenStore(run.inputs["tokenize"].path)
    sweep, phased = config.sweep, run.inputs["plan"].path / "schedules.csv"
    schedules = ScheduleTable.read(phased) if phased.exists() else None
    return train_group(
        run,
        store,
        mixtures,
        rows,
        config.proxy,
        tokens=sweep.tokens,
        evaluations=sweep.evaluations,
        tag=SWEEP_TAG,
        schedules=schedules,
    )


def collect_sweep(run: StageRun) -> Counts:
    """Gather the groups into one table of losses."""
    mixtures = MixtureTable.read(run.inputs["plan"].path / "mixtures.csv")
    return collect_groups(run.parts, mixtures, TokenStore(run.inputs["tokenize"].path).set_names, run.output)
