"""A group of proxies: what one task trains, and how groups are gathered into one table of losses.

Results are kept in the scratch folder as soon as they are there, so that a killed group goes on where it was.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mashbill.artifacts import Artifact, Counts, Progress, StageRun, write_json
from mashbill.artifacts.json_file import PART
from mashbill.config import ProxyConfig
from mashbill.errors import DataError
from mashbill.mixtures import LossTable, MixtureTable, Schedule, ScheduleTable
from mashbill.proxies.devices import device_of, stack_size
from mashbill.proxies.stack_process import train_in_processes
from mashbill.tokens import TokenStore

MIN_PROXIES = 2
RESULT = "result.json"


def group_names(proxies: int, group_size: int) -> list[str]:
    """Names of the groups that so many proxies fall into."""
    return [f"group-{i:04d}" for i in range(-(-proxies // group_size))]


def group_rows(name: str, proxies: int, group_size: int) -> range:
    """Rows of the mixture table that a group trains."""
    first = int(name.removeprefix("group-")) * group_size
    return range(first, min(proxies, first + group_size))


def train_group(
    run: StageRun,
    store: TokenStore,
    mixtures: MixtureTable,
    rows: range,
    configs: Sequence[ProxyConfig],
    *,
    tokens: int,
    evaluations: int,
    tag: int,
    schedules: ScheduleTable | None = None,
    processes: int = 1,
) -> Counts:
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
    """
    members = plan_members(mixtures, rows, configs, (run.config.seed, tag), schedules)
    train_planned(
        members,
        Budget(store.folder, run.scratch, tokens, evaluations),
        store.vocabulary,
        run.progress,
        processes,
    )
    counts = {"proxies": 0, "tokens": 0, "seconds": 0.0, "failed": 0}
    for member in members:
        shutil.copytree(
            run.scratch / member.name,
            run.output / "proxies" / member.name,
            ignore=shutil.ignore_patterns(f"*{PART}"),  # of a checkpoint that a kill cut off
        )
        record = json.loads((run.scratch / member.name / RESULT).read_text())
        counts["proxies"] += 1
        counts["tokens"] += record["tokens"]
        counts["seconds"] += record["seconds"]
        counts["failed"] += bool(record["failed"])
    return {**counts, "seconds": round(counts["seconds"], 2)}


def folder_name(index: int, place: int = 0) -> str:
    """Name of a proxy's folder: its index, and which config it was trained with, unless that is the first."""
    return f"{index:04d}.{place}" if place else f"{index:04d}"


@dataclass(frozen=True)
class Planned:
    """A proxy to be trained: its folder's name, mixture or schedule, seed and config."""

    name: str
    mixture: Mapping[str, float] | Schedule
    seed: int
    config: ProxyConfig


@dataclass(frozen=True)
class Budget:
    """What the proxies of a group share: the folder of the token shards, where finished ones are kept,
    tokens, evaluations."""

    store: Path
    scratch: Path
    tokens: int
    evaluations: int

    def finished(self, stack: Sequence[Planned]) -> bool:
        """Whether all of a stack were trained before."""
        return all((self.scratch / member.name / RESULT).exists() for member in stack)


def plan_members(
    mixtures: MixtureTable,
    rows: range,
    configs: Sequence[ProxyConfig],
    seed: tuple[int, int],
    schedules: ScheduleTable | None = None,
) -> list[Planned]:
    """The proxies of some rows; one's seed is a function of the given one and its index, the same under each
    config."""
    members = []
    for row in rows:
        index = int(mixtures.index[row])
        own = int(np.random.SeedSequence([*seed, index]).generate_state(1)[0])
        mixture = mixtures.row(row) if schedules is None else schedules.schedule(row)
        members += [
            Planned(folder_name(index, place), mixture, own, config) for place, config in enumerate(configs)
        ]
    return members


def train_planned(
    members: Sequence[Planned], budget: Budget, vocabulary: int, progress: Progress, processes: int
) -> None:
    """Train what is not finished, in stacks where there is a GPU, over worker processes where there are
    several."""
    size = stack_size(members[0].config, vocabulary)
    processes = processes if device_of(members[0].config) == "cpu" else 1
    stacks = [members[start : start + size] for start in range(0, len(members), size)]
    todo = [stack for stack in stacks if not budget.finished(stack)]
    if min(processes, len(todo)) > 1:
        train_in_processes(todo, budget, progress, min(processes, len(todo)))
        return
    for done, stack in enumerate(todo):
        train_stack(stack, budget, _scaled(progress, done, len(todo), stack[0].name))


def train_stack(
    stack: Sequence[Planned], budget: Budget, progress: Progress = lambda share, words: None
) -> None:
    """Train a stack and keep its results."""
    from mashbill.proxies.proxy import Member, result_as_json, train_members

    folders = [budget.scratch / member.name for member in stack]
    members = [Member(m.mixture, m.seed, m.config, folder) for m, folder in zip(stack, folders, strict=True)]
    results = train_members(
        TokenStore(budget.store),
        members,
        tokens=budget.tokens,
        evaluations=budget.evaluations,
        scratch=folders[0],
        progress=progress,
    )
    for member, folder, result in zip(stack, folders, results, strict=True):
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / RESULT, {"index": int(member.name.partition(".")[0]), **result_as_json(result)})


def collect_groups(
    parts: Mapping[str, Artifact], mixtures: MixtureTable, sets: tuple[str, ...], output: Path, place: int = 0
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
    folders, records = group_records(parts, mixtures, place)
    counts = write_tables(mixtures, records, sets, output)
    for index, folder, record in zip(mixtures.index, folders, records, strict=True):
        if not record["failed"]:
            shutil.copytree(folder, output / "proxies" / folder_name(int(index)))
    return counts


def write_tables(
    mixtures: MixtureTable, records: Sequence[Mapping[str, Any]], sets: tuple[str, ...], output: Path
) -> Counts:
    """Write ``mixtures.csv``, ``losses.csv`` and ``trajectories.csv`` of trained proxies; failed ones have
    NaN.

    Raises:
        DataError: fewer than two proxies finished.
    """
    import pandas as pd

    losses = final_losses(records, sets)
    failed = int(np.isnan(losses).any(axis=1).sum())
    if len(records) - failed < MIN_PROXIES:
        raise DataError("proxies", f"{failed} of {len(records)} diverged", "lower proxy.learning_rate")
    mixtures.write(output / "mixtures.csv")
    LossTable(mixtures.index, sets, losses).write(output / "losses.csv")
    points = [{"index": record["index"], **point} for record in records for point in record["trajectory"]]
    pd.DataFrame(points).to_csv(output / "trajectories.csv", index=False)
    tokens, seconds = (sum(record[key] for record in records) for key in ("tokens", "seconds"))
    rate = round(tokens / max(seconds, 1e-9))
    return {
        "proxies": len(records),
        "failed": failed,
        "tokens": tokens,
        "tokens_per_second_and_process": rate,
    }


def group_records(
    parts: Mapping[str, Artifact], mixtures: MixtureTable, place: int = 0
) -> tuple[list[Path], list[dict[str, Any]]]:
    """[mixtures] folders of the proxies trained with one of the configs, and what became of each."""
    found = {p.name: p for artifact in parts.values() for p in (artifact.path / "proxies").iterdir()}
    folders = [found[folder_name(int(index), place)] for index in mixtures.index]
    return folders, [json.loads((folder / RESULT).read_text()) for folder in folders]


def final_losses(records: Sequence[Mapping[str, Any]], sets: Sequence[str]) -> np.ndarray:
    """[proxies, sets] bits per byte at the end of each; NaN where it failed."""
    rows = [
        [np.nan if record["failed"] else record["trajectory"][-1][name] for name in sets]
        for record in records
    ]
    return np.array(rows, np.float64).reshape(len(records), len(sets))


def _scaled(progress: Progress, done: int, of: int, name: str) -> Progress:
    return lambda share, words: progress((done + share) / of, f"proxy {name}: {words}")
