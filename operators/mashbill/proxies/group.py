"""A group of proxies: what one task trains, and how groups are gathered into one table of losses.

Results are kept in the scratch folder as soon as they are there, so that a killed group goes on where it was.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from mashbill.artifacts import Artifact, Counts, StageRun
from mashbill.artifacts.json_file import PART
from mashbill.config import PipelineConfig, ProxyConfig
from mashbill.errors import DataError
from mashbill.mixtures import LossTable, MixtureTable, ScheduleTable, SweepRuns, TrajectoryTable
from mashbill.models.capacity import capacity
from mashbill.proxies.result import ProxyResult, final_losses, folder_name, is_finished
from mashbill.proxies.stacks import Budget, PlannedProxy, train_planned
from mashbill.tokens import TokenStore

MIN_PROXIES = 2
PROXIES, GROUP = "proxies", "group-"


def group_names(proxies: int, group_size: int) -> list[str]:
    """Names of the groups that so many proxies fall into: each by its first and its last row, so that a
    group is the same whatever the size of the others."""
    groups = (range(first, min(proxies, first + group_size)) for first in range(0, proxies, group_size))
    return [f"{GROUP}{rows[0]:04d}-{rows[-1]:04d}" for rows in groups]


def group_rows(name: str) -> range:
    """Rows of the mixture table that a group trains."""
    first, last = name.removeprefix(GROUP).split("-")
    return range(int(first), int(last) + 1)


@dataclass(frozen=True)
class TrainedGroup:
    """What one task trained.

    Attributes:
        counts: proxies, tokens, seconds and failures.
        runs: the proxies trained with the first of the configs.
    """

    counts: Counts
    runs: SweepRuns


def sweep_configs(config: PipelineConfig) -> list[ProxyConfig]:
    """What each mixture of a sweep is trained with: the proxy's own settings, then the further ones."""
    return [config.proxy, *(config.proxy.optimised_as(settings) for settings in config.sweep.also)]


def chosen_config(config: PipelineConfig, sweep: Artifact) -> ProxyConfig:
    """The settings that the regression learns from, for proxies trained after the sweep."""
    return sweep_configs(config)[int(sweep.manifest.counts["settings"])]


def train_group(
    run: StageRun,
    store: TokenStore,
    mixtures: MixtureTable,
    *,
    rows: range,
    configs: Sequence[ProxyConfig],
    tokens: int,
    evaluations: int,
    tag: int,
    schedules: ScheduleTable | None = None,
    processes: int = 1,
    sets: tuple[str, ...] = (),
) -> TrainedGroup:
    """Train the proxies of some rows: one after the other on a core, or as many at once as the GPU holds.

    Args:
        run: the part; ``proxies/<index>`` folders are written, each with ``result.json``; those of a second
            or later config as ``proxies/<index>.<place of the config>``.
        store: the token shards.
        mixtures: all mixtures.
        rows: which of them to train.
        configs: shape and optimisation; each row is trained with each, from the same weights and on the same
            text.
        tokens: tokens of each proxy.
        evaluations: times the validation sets are measured.
        tag: tells families with the same seed apart.
        schedules: what is trained on where phases differ; ``mixtures`` are their means, row by row.
        processes: worker processes, for a part that has the machine to itself.
        sets: validation sets that are measured; none means all.
    """
    members = plan_members(mixtures, rows, configs, seed=(run.config.seed, tag), schedules=schedules)
    stack, workers = capacity(configs[0], store.vocabulary, processes)
    budget = Budget(store.folder, run.scratch, tokens, evaluations, sets)
    if (run.part or "").startswith(GROUP):
        adopt_finished(run, [member.name for member in members])
    train_planned(members, budget, stack=stack, processes=workers, progress=run.progress)
    for member in members:
        shutil.copytree(
            run.scratch / member.name,
            run.output / PROXIES / member.name,
            ignore=shutil.ignore_patterns(f"*{PART}"),  # of a checkpoint that a kill cut off
        )
    results = [ProxyResult.read(run.scratch / member.name) for member in members]
    first = results[:: len(configs)]
    measured = sets or store.set_names
    losses = LossTable(mixtures.index[rows], measured, final_losses(first, measured))
    counts = {
        "proxies": len(results),
        "tokens": sum(result.tokens for result in results),
        "seconds": round(sum(result.seconds for result in results), 2),
        "failed": sum(bool(result.failed) for result in results),
    }
    return TrainedGroup(counts, SweepRuns(mixtures.only(np.asarray(rows)), losses))


def adopt_finished(run: StageRun, names: Sequence[str]) -> None:
    """Take proxies of a group that were finished in groups of another size: they are the same models.

    Args:
        run: the group.
        names: of its proxies' folders.
    """
    missing = [name for name in names if not is_finished(run.scratch / name)]
    committed = list(run.elsewhere()) if missing else []
    for name in missing:
        begun = (folder for folder in run.scratch.parent.glob(f"{GROUP}*/{name}") if is_finished(folder))
        done = (one.folder(f"{PROXIES}/{name}") for one in committed if one.names(f"{PROXIES}/{name}"))
        found = next(chain(begun, done), None)
        if found is not None:
            making = run.scratch / f"{name}.taken"
            shutil.rmtree(making, ignore_errors=True)
            shutil.copytree(found, making)
            shutil.rmtree(run.scratch / name, ignore_errors=True)
            making.replace(run.scratch / name)


def plan_members(
    mixtures: MixtureTable,
    rows: range,
    configs: Sequence[ProxyConfig],
    *,
    seed: tuple[int, int],
    schedules: ScheduleTable | None = None,
) -> list[PlannedProxy]:
    """The proxies of some rows; one's seed is a function of the given one and its index, the same under each
    config."""
    members = []
    for row in rows:
        index = int(mixtures.index[row])
        own = int(np.random.SeedSequence([*seed, index]).generate_state(1)[0])
        mixture = mixtures.row(row) if schedules is None else schedules.schedule(row)
        members += [PlannedProxy(index, mixture, own, config, place) for place, config in enumerate(configs)]
    return members


def collect_groups(
    parts: Mapping[str, Artifact],
    mixtures: MixtureTable,
    sets: tuple[str, ...],
    *,
    output: Path,
    place: int = 0,
) -> Counts:
    """Gather the groups' proxies into ``proxies/``, ``losses.csv`` and ``trajectories.csv``; failed ones have
    NaN.

    Args:
        parts: the groups.
        mixtures: all mixtures.
        sets: names of the validation sets.
        output: folder to write.
        place: which of the configs that each mixture was trained with.
    Raises:
        DataError: fewer than two proxies finished.
    """
    folders = proxy_folders(parts, mixtures, place)
    results = [ProxyResult.read(folder) for folder in folders]
    counts = write_tables(mixtures, results, sets, output=output)
    for index, folder, result in zip(mixtures.index, folders, results, strict=True):
        if not result.failed:
            shutil.copytree(folder, output / PROXIES / folder_name(int(index)))
    return counts


def write_tables(
    mixtures: MixtureTable, results: Sequence[ProxyResult], sets: tuple[str, ...], *, output: Path
) -> Counts:
    """Write ``mixtures.csv``, ``losses.csv`` and ``trajectories.csv`` of trained proxies; failed ones have
    NaN.

    Raises:
        DataError: fewer than two proxies finished.
    """
    losses = final_losses(results, sets)
    failed = int(np.isnan(losses).any(axis=1).sum())
    if len(results) - failed < MIN_PROXIES:
        raise DataError("proxies", f"{failed} of {len(results)} diverged", "lower proxy.learning_rate")
    points = [
        {"index": int(index), **point}
        for index, result in zip(mixtures.index, results, strict=True)
        for point in result.trajectory
    ]
    runs = SweepRuns(mixtures, LossTable(mixtures.index, sets, losses), TrajectoryTable.of(points))
    runs.write(output)
    tokens = sum(result.tokens for result in results)
    rate = round(tokens / max(sum(result.seconds for result in results), 1e-9))
    return {
        "proxies": len(results),
        "failed": failed,
        "tokens": tokens,
        "tokens_per_second_and_process": rate,
    }


def proxy_folders(parts: Mapping[str, Artifact], mixtures: MixtureTable, place: int = 0) -> list[Path]:
    """[mixtures] folders of the proxies trained with one of the configs."""
    found = {p.name: p for artifact in parts.values() for p in artifact.folder(PROXIES).iterdir()}
    return [found[folder_name(int(index), place)] for index in mixtures.index]


def proxy_result(artifact: Artifact, index: int) -> ProxyResult:
    """What became of one of a group's proxies, by the index of its mixture."""
    return ProxyResult.read(artifact.folder(f"{PROXIES}/{folder_name(index)}"))
