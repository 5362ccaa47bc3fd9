"""``mashbill run`` and ``mashbill stages``: the pipeline in a shell, with its progress."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from mashbill.artifacts import Artifact, file_in, read_progress
from mashbill.cli.answers import show
from mashbill.cli.elsewhere import refuse_under_way, run_shown, submit_alone
from mashbill.cli.progress import Shown, Work
from mashbill.config import PipelineConfig, load_config, parse_overrides
from mashbill.errors import RunError
from mashbill.stages import STAGES, StageJob, finished_stages, run_stage_here, stages_up_to
from mashbill.stages.check import check_config, refuse_problems
from mashbill.stages.elsewhere import Elsewhere
from mashbill.stages.join import join
from mashbill.stages.reached import side_by_side
from mashbill.stages.repair import run_in_order

console = Console(stderr=True, markup=False)
LOOK_SECONDS = 2.0


def run_pipeline(
    name: str,
    path: Path,
    assignments: list[str],
    *,
    force: bool,
    approve: bool,
    repair: bool,
    as_json: bool,
    detach: bool = False,
) -> None:
    """Run a stage with what it needs, and print where the results are."""
    config = load_config(path, parse_overrides(assignments))
    last = "report" if name == "all" else name
    done = run_up_to(last, config, force=force, approve=approve, repair=repair, detach=detach)
    if as_json:
        results = {name: {"address": a.address, "counts": a.manifest.counts} for name, a in done.items()}
        print(json.dumps(results))  # noqa: T201
    elif last == "report":
        print_summary(done["report"])


def run_up_to(
    last: str,
    config: PipelineConfig,
    *,
    force: bool = False,
    approve: bool = False,
    repair: bool = False,
    detach: bool = False,
) -> dict[str, Artifact]:
    """Run a stage with what it needs, a line each; the results by stage.

    Raises:
        typer.Exit: jobs were submitted, and are not to be waited for.
    """
    stages = stages_up_to(last)
    refuse_problems(check_config(config, stages))

    def run(job: StageJob, done: dict[str, Artifact]) -> Artifact:
        if job.stage.name == "train":
            _pass_gate(done["gate"], approve=approve)
        if force and job.stage.name == last:
            refuse_under_way(job)
            job.discard()
        return _run(job, detach=detach)

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


def _run(job: StageJob, *, detach: bool) -> Artifact:
    found = job.reused()
    if found is not None:
        words = f"{job.stage.name:12} reused {found.address}"
        console.print(words, style="dim", highlight=False, soft_wrap=True)
        return found
    elsewhere = Elsewhere.of(job)
    if detach and elsewhere is not None:
        submit_alone(elsewhere, console)
    with Shown(console) as shown:
        if elsewhere is None:
            here = _Here(job, shown)
            job.progress = here.whole
            artifact = run_stage_here(job, here.refresh)
        else:
            artifact = run_shown(elsewhere, shown)
    words = ", ".join(
        f"{key} {value:,}"
        for key, value in artifact.manifest.counts.items()
        if isinstance(value, int | float)
    )
    console.print(
        f"{job.stage.name:12} {artifact.manifest.seconds:6.1f} s  {words}", highlight=False, soft_wrap=True
    )
    return artifact


class _Here:
    """How far a stage is that runs here, and each of its parts that worker processes are at."""

    def __init__(self, job: StageJob, shown: Shown) -> None:
        self.job, self.shown = job, shown
        self.whole = shown.work(job.stage.name)
        self.parts: dict[str, Work] = {}
        self.looked = float("-inf")

    def refresh(self) -> None:
        """Parts are under way; how far all are together is looked at now and then."""
        stage = f"{self.job.stage.name}."
        running = read_progress(self.job.store.storage.workspace())
        states = {name: state for name, state in running.items() if name.startswith(stage)}
        for name, state in states.items():
            if name not in self.parts:
                self.parts[name] = self.shown.work(name.removeprefix(stage), head="")
            self.parts[name](state.done, state.message)
        for name in self.parts.keys() - states.keys():
            self.parts.pop(name).remove()
        if time.monotonic() - self.looked >= LOOK_SECONDS:
            self.looked = time.monotonic()
            self.whole(*side_by_side(self.job, self.job.part_names()))
