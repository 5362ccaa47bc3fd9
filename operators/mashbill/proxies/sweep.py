"""The sweep: one proxy a planned mixture, in groups, so that losses can be learnt from mixtures (RegMix).

With further settings of the optimiser each mixture is trained with each. The regression learns from the
settings with the lowest mean loss; how well the others agree on the order of the mixtures says whether the
choice hangs on the settings.
"""

from collections.abc import Mapping

import numpy as np

from mashbill.artifacts import Artifact, Counts, Record, StageRun
from mashbill.config import Optimisation, PipelineConfig, ProxyConfig
from mashbill.mixtures import LossTable, MixturePlan
from mashbill.mixtures.sweep_runs import LOSSES, MIXTURES, TRAJECTORIES
from mashbill.proxies.group import (
    PROXIES,
    collect_groups,
    group_names,
    group_rows,
    proxy_folders,
    sweep_configs,
    train_group,
)
from mashbill.proxies.result import ProxyResult, final_losses
from mashbill.tokens import TokenStore

SWEEP_TAG = 301


class ComparedSettings(Optimisation):
    """Settings of the optimiser, and what became of the mixtures trained with them.

    Attributes:
        failed: proxies that diverged.
        mean_loss: over the mixtures that all settings finished.
        agreement: mean rank correlation with the chosen settings over the sets; None from fewer than 3
            mixtures.
    """

    failed: int
    mean_loss: float
    agreement: float | None


class SettingsComparison(Record):
    """The settings that each mixture was trained with; chosen: place of those with the fewest failures, then
    the lowest mean loss."""

    FILE = "settings.json"
    chosen: int
    settings: tuple[ComparedSettings, ...]


LOSSES_OF = "losses_{}.csv"
OUTPUTS = {
    LOSSES: "final bits per byte, one proxy a row",
    TRAJECTORIES: "bits per byte at several steps",
    SettingsComparison.FILE: "the settings of the optimiser compared, where mixtures were trained with "
    "several",
    LOSSES_OF.format("N"): "the losses with each of the settings, where there are several",
    MIXTURES: "the mixtures as trained",
    f"{PROXIES}/": "one model folder each",
}


def sweep_parts(config: PipelineConfig, inputs: Mapping[str, Artifact]) -> list[str]:
    """Names of the groups."""
    planned = MixturePlan.read(inputs["plan"]).mixtures
    return group_names(len(planned.index), config.sweep.group_size)


def run_sweep_part(run: StageRun) -> Counts:
    """Train one group."""
    config, plan = run.config, MixturePlan.read(run.inputs["plan"])
    return train_group(
        run,
        TokenStore(run.inputs["tokenize"]),
        plan.mixtures,
        rows=group_rows(run.part or ""),
        configs=sweep_configs(config),
        tokens=config.sweep.tokens,
        evaluations=config.sweep.evaluations,
        tag=SWEEP_TAG,
        schedules=plan.schedules,
    ).counts


def collect_sweep(run: StageRun) -> Counts:
    """Gather the groups into one table of losses."""
    mixtures = MixturePlan.read(run.inputs["plan"]).mixtures
    sets = TokenStore(run.inputs["tokenize"]).set_names
    configs = sweep_configs(run.config)
    tables = []
    for place in range(len(configs)):
        results = [ProxyResult.read(folder) for folder in proxy_folders(run.parts, mixtures, place)]
        tables.append(final_losses(results, sets))
    compared = compare_settings(tables, configs)
    compared.write(run.output)
    for place, losses in enumerate(tables):
        if len(tables) > 1:
            LossTable(mixtures.index, sets, losses).write(run.output / LOSSES_OF.format(place))
    counts = collect_groups(run.parts, mixtures, sets, output=run.output, place=compared.chosen)
    tokens = sum(artifact.manifest.counts["tokens"] for artifact in run.parts.values())
    return {**counts, "tokens": tokens, "settings": compared.chosen}


def compare_settings(tables: list[np.ndarray], configs: list[ProxyConfig]) -> SettingsComparison:
    """Which settings serve best, and how well each agrees with them on the order of the mixtures.

    Args:
        tables: [mixtures, sets] losses under each of the settings; NaN where a proxy failed.
        configs: the settings.
    """
    from scipy.stats import spearmanr

    finished = ~np.any([np.isnan(table).any(axis=1) for table in tables], axis=0)
    failed = [int(np.isnan(table).any(axis=1).sum()) for table in tables]
    means = [float(table[finished].mean()) if finished.any() else 0.0 for table in tables]
    chosen = min(range(len(tables)), key=lambda place: (failed[place], means[place]))

    def agreement(table: np.ndarray) -> float | None:
        pairs = zip(table[finished].T, tables[chosen][finished].T, strict=True)
        enough = finished.sum() > 2
        return float(np.mean([spearmanr(one, other).statistic for one, other in pairs])) if enough else None

    rows = [
        ComparedSettings(
            **{name: getattr(config, name) for name in Optimisation.model_fields},
            failed=failed[place],
            mean_loss=means[place],
            agreement=agreement(table),
        )
        for place, (table, config) in enumerate(zip(tables, configs, strict=True))
    ]
    return SettingsComparison(chosen=chosen, settings=tuple(rows))
