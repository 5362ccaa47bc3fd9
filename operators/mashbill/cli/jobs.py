"""``mashbill jobs``: what runs elsewhere, listed, followed, read and ended."""

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Column, Table

from mashbill.artifacts import open_store
from mashbill.cli.answers import say
from mashbill.cli.mixture_options import JsonOption
from mashbill.cli.progress import Shown
from mashbill.config import load_config, parse_overrides
from mashbill.storage import Storage

app = typer.Typer(
    help="Stages and parts that run elsewhere, as [launch.STAGE] of a config sends them there.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
ConfigOption = Annotated[Path, typer.Option("--config", help="TOML config file.", show_default=False)]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="section.key=value", help="Override a setting; may be repeated."),
]
NameArgument = Annotated[str, typer.Argument(help="Name of the job, as mashbill jobs list shows it.")]


@app.command("list", epilog="Example: mashbill jobs list --config dags/configs/demo.toml")
def list_(
    config: ConfigOption,
    set_: SetOption = None,
    all_: Annotated[bool, typer.Option("--all", help="Those that have ended too.")] = False,
    json_: JsonOption = False,
) -> None:
    """List the jobs of the config's artifact store, and how each is."""
    from mashbill.stages.jobs import known_jobs

    jobs = list(known_jobs(_storage(config, set_)))
    shown = [job for job in jobs if all_ or job.state is None or not job.state.ended]
    longest = max((len(job.order.name) for job in shown), default=0)  # as names are typed again
    table = Table(Column("job", no_wrap=True, min_width=longest), "stage", "parts", "backend", "state")
    for job in shown:
        table.add_row(job.order.name, job.stage, ", ".join(job.parts), job.order.takes.backend, job.words)
    rows = [
        {
            "name": job.order.name,
            "stage": job.stage,
            "parts": job.parts,
            "attempt": job.attempt.number,
            "backend": job.order.takes.backend,
            "phase": None if job.state is None else job.state.phase,
            "words": job.words,
            "done": None if job.progress is None else job.progress.done,
            "record": f"{job.attempt.storage.root}/{job.attempt.key}",
        }
        for job in shown
    ]
    ended = len(jobs) - len(shown)
    others = [f"jobs that have ended, which --all shows: {ended}"] if ended else []
    say(json_, rows, table if shown else "no job is under way", *others)


@app.command(epilog="Example: mashbill jobs follow train-chosen-1a2b3c4d-1 --config my.toml")
def follow(
    name: NameArgument, config: ConfigOption, set_: SetOption = None, json_: JsonOption = False
) -> None:
    """Wait for a job to end, and show how far it is; its error is this command's."""
    from mashbill.cli.elsewhere import ShownJobs
    from mashbill.stages.following import failure_of
    from mashbill.stages.following import follow as follow_all
    from mashbill.stages.jobs import attempt_named, submitted_job

    submitted = submitted_job(attempt_named(_storage(config, set_), name))
    with Shown() as shown:
        (state,) = asyncio.run(follow_all([submitted], ShownJobs(shown).seen))
    error = failure_of(submitted, state)
    if error is not None:
        raise error
    say(json_, {"name": name, "phase": state.phase}, f"{name}: {state.phase}")


@app.command(epilog="Example: mashbill jobs logs train-chosen-1a2b3c4d-1 --config my.toml --node 1")
def logs(
    name: NameArgument,
    config: ConfigOption,
    set_: SetOption = None,
    node: Annotated[int, typer.Option(min=0, help="Which node's, from 0.")] = 0,
    lines: Annotated[int, typer.Option(min=1, help="How many lines, from the end.")] = 100,
) -> None:
    """Print the last lines that a node of a job said, with those of all its processes."""
    from mashbill.stages.jobs import attempt_named, said_by

    said = said_by(attempt_named(_storage(config, set_), name), node, lines)
    if said:
        print(said)  # noqa: T201
    else:
        print(f"{name}: node {node} has said nothing", file=sys.stderr)  # noqa: T201


@app.command(epilog="Example: mashbill jobs cancel train-chosen-1a2b3c4d-1 --config my.toml")
def cancel(
    names: Annotated[list[str], typer.Argument(help="Names of jobs, as mashbill jobs list shows them.")],
    config: ConfigOption,
    set_: SetOption = None,
    forget: Annotated[
        bool,
        typer.Option(
            "--forget",
            help="Of jobs whose machine or cluster is no more: end what can be reached, and note that they "
            "have ended.",
        ),
    ] = False,
    json_: JsonOption = False,
) -> None:
    """End jobs, with whatever they started; what they finished is kept."""
    from mashbill.launch.submission import backend_of, cancel_all
    from mashbill.launch.submission import forget as forget_attempt
    from mashbill.stages.jobs import attempt_named

    storage = _storage(config, set_)
    attempts = [attempt_named(storage, name) for name in names]
    left = [forget_attempt(attempt, backend_of) for attempt in attempts] if forget else [""] * len(names)
    try:
        if not forget:
            cancel_all(attempts, backend_of)
    finally:
        ends = [attempt.end for attempt in attempts]
        rows = [
            {"name": name, "phase": end.phase}
            for name, end in zip(names, ends, strict=True)
            if end is not None
        ]
        done = "forgotten" if forget else "ended"
        lines = [
            f"{name}: {done}" + (f", and may go on where it could not be reached: {words}" if words else "")
            for name, words, end in zip(names, left, ends, strict=True)
            if end is not None
        ]
        if rows:
            say(json_, rows[0] if len(names) == 1 else rows, *lines)


def _storage(path: Path, assignments: list[str] | None) -> Storage:
    return open_store(load_config(path, parse_overrides(assignments or []))).storage
