"""``mashbill run`` and ``mashbill stages``: the pipeline in a terminal, with its progress."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from mashbill.artifacts import Artifact, file_in, read_progress
from mashbill.cli.answers import show
from mashbill.cli.elsewhere import refuse_under_way, run_shown
from mashbill.config import PipelineConfig, load_config, parse_overrides
from mashbill.errors import RunError
from mashbill.stages import STAGES, StageJob, finished_stages, run_stage_here, stages_up_to
from mashbill.stages.check import check_config, refuse_problems
from mashbill.stages.elsewhere import Elsewhere
from mashbill.stages.join import join
from mashbill.stages.repair import run_in_order

console = Console(stderr=True, markup=False)


def run_pipeline(
    name: str,
    path: Path,
    assignments: list[str],
    *,
    force: bool,
    approve: bool,
    repair: bool,
    as_json: bool,
) -> None:
    """Run a stage with what it needs, and print where the results are."""
    config = load_config(path, parse_overrides(assignments))
    last = "report" if name == "all" else name
    done = run_up_to(last, config, force=force, approve=approve, repair=repair)
    if as_json:
        results = {name: {"address": a.address, "counts": a.manifest.counts} for name, a in done.items()}
        print(json.dumps(results))  # noqa: T201
    elif last == "report":
        print_summary(done["report"])


def run_up_to(
    last: str, config: PipelineConfig, *, force: bool = False, approve: bool = False, repair: bool = False
) -> dict[str, Artifact]:
    """Run a stage with what it needs, a line each; the results by stage."""
    stages = stages_up_to(last)
    refuse_problems(check_config(config, stages))

    def run(job: StageJob, done: dict[str, Artifact]) -> Artifact:
        if job.stage.name == "train":
            _pass_gate(done["gate"], approve=approve)
        if force and job.stage.name == last:
            refuse_under_way(job)
            job.discard()
        return _run(job)

    return run_in_order(config, stages, run, repair=repair)


def join_training(path: Path, assignments: list[str], node: int) -> None:
    """Work for a training that another machine leads, until its models are there."""

    def tell(words: str) -> None:
        console.print(f"node {node:7} {words}", highlight=False, soft_wrap=True)

    join(load_config(path, parse_overrides(assignments)), node, tell)


def print_summary(report: Artifact) -> None:
    """The mixture chosen, predicted against measured, and where the report is."""
    from mashbill.reports.gather import Summary
    from mashbill.reports.report import PAGE

    summary = Summary.read(report)
    table = Table("domain", "chosen", title="mixture", title_justify="left")
    for domain, weight in sorted(summary.mixture.items(), key=lambda item: -item[1]):
        table.add_row(domain, f"{weight:.3f}")
    show(table)
    losses = Table("model", "predicted", "measured", title="target loss, bits per byte", title_justify="left")
    for model, loss in summary.predicted.items():
        losses.add_row(
            model,
            f"{loss:.3f}",
            f"{summary.measured[model]:.3f}" if model in summary.measured else "not trained",
        )
    show(losses, f"report: {file_in(report, PAGE)}")


def describe_stages(path: Path | None, assignments: list[str], *, as_json: bool) -> None:
    """The table of stages; with a config, what of it is done."""
    done: Mapping[str, Artifact] = (
        finished_stages(load_config(path, parse_overrides(assignments))) if path else {}
    )
    if as_json:
        rows: list[dict[str, Any]] = [
            {
                "name": s.name,
                "summary": s.summary,
                "inputs": s.inputs,
                "artifact": done[s.name].address if s.name in done else None,
            }
            for s in STAGES.values()
        ]
        print(json.dumps(rows))  # noqa: T201
        return
    table = Table("stage", "what it does", "reads", *(["state"] if path else []))
    for stage in STAGES.values():
        state = (
            [f"done, {done[stage.name].manifest.seconds:.0f} s" if stage.name in done else "to do"]
            if path
            else []
        )
        table.add_row(stage.name, stage.summary, ", ".join(stage.inputs), *state)
    show(table)


def _pass_gate(gate: Artifact, *, approve: bool) -> None:
    from mashbill.mixtures import Decision

    decision = Decision.read(gate)
    if decision.decision == "ask" and not approve:
        mend = "look at the predicted gain and rerun with --approve"
        raise RunError("gate", f"asks a person: {decision.reason}", mend)


def _run(job: StageJob) -> Artifact:
    found = job.reused()
    if found is not None:
        words = f"{job.stage.name:12} reused {found.address}"
        console.print(words, style="dim", highlight=False, soft_wrap=True)
        return found
    with Progress(
        TextColumn("{task.fields[name]:12}"),
        BarColumn(),
        TextColumn("{task.fields[words]}", markup=False),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as bars:
        elsewhere = Elsewhere.of(job)
        if elsewhere is None:
            shown = _StageBars(job, bars)
            job.progress = shown.progress
            artifact = run_stage_here(job, shown.refresh)
        else:
            artifact = run_shown(elsewhere, bars, console)
    words = ", ".join(
        f"{key} {value:,}"
        for key, value in artifact.manifest.counts.items()
        if isinstance(value, int | float)
    )
    console.print(
        f"{job.stage.name:12} {artifact.manifest.seconds:6.1f} s  {words}", highlight=False, soft_wrap=True
    )
    return artifact


class _StageBars:
    """One bar for the stage, and one for each part that worker processes are at."""

    def __init__(self, job: StageJob, bars: Progress) -> None:
        self.job, self.bars = job, bars
        self.whole = bars.add_task("", total=1.0, name=job.stage.name, words="")
        self.parts: dict[str, TaskID] = {}

    def progress(self, done: float, words: str) -> None:
        self.bars.update(self.whole, completed=done, words=words)

    def refresh(self) -> None:
        running = read_progress(self.job.store.storage.workspace())
        for name, state in running.items():
            if name.startswith(f"{self.job.stage.name}."):
                if name not in self.parts:
                    self.parts[name] = self.bars.add_task(
                        "", total=1.0, name=name.partition(".")[2], words=""
                    )
                self.bars.update(self.parts[name], completed=state.done, words=state.message)
        for name in [n for n in self.parts if n not in running]:
            self.bars.remove_task(self.parts.pop(name))
