"""The shell's front door: every command, its options and its exit code.

Exit 0 done, 1 failed, 2 bad usage or bad config. Errors are one line that names file, field and mend;
``--debug`` adds the traceback.
"""

import errno
import logging
import sys
from pathlib import Path
from typing import Annotated

import typer

from mashbill import __version__
from mashbill.cli import jobs, mixtures, proxies, tasks
from mashbill.cli.run import describe_stages, run_pipeline
from mashbill.errors import MashbillError, one_line

PATH_MEND = "correct the path, its permissions, or make room"
OF_PATHS = frozenset(
    {
        errno.EACCES,
        errno.EEXIST,
        errno.EINVAL,
        errno.EISDIR,
        errno.ELOOP,
        errno.ENAMETOOLONG,
        errno.ENOENT,
        errno.ENOTDIR,
        errno.EPERM,
        errno.EROFS,
    }
)
"""Failures of a path that was given; others, as a full disk, are the world's."""

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # help speaks of [sections], which rich takes for styles
)

app.add_typer(mixtures.app, name="mixtures")
app.add_typer(proxies.app, name="proxies")
app.add_typer(tasks.app, name="tasks")
app.add_typer(jobs.app, name="jobs")

ConfigOption = Annotated[Path, typer.Option("--config", help="TOML config file.", show_default=False)]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="section.key=value", help="Override a setting; may be repeated."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


def _tell_version(asked: bool) -> None:
    if asked:
        print(f"mashbill {__version__}")  # noqa: T201
        raise typer.Exit


@app.callback()
def front(
    version: Annotated[
        bool,
        typer.Option("--version", help="Say which version this is.", callback=_tell_version, is_eager=True),
    ] = False,
) -> None:
    """Take raw text to a trained language model, with the best mixture of domains found on small models
    first."""


@app.command(epilog="Example: mashbill run all --config dags/configs/demo.toml --set sweep.tokens=200000")
def run(
    stage: Annotated[str, typer.Argument(help="Stage to run, with what it needs; or all.")],
    config: ConfigOption,
    set_: SetOption = None,
    force: Annotated[bool, typer.Option(help="Run the named stage even if its result is there.")] = False,
    approve: Annotated[bool, typer.Option(help="Approve training where the gate asks a person.")] = False,
    repair: Annotated[
        bool, typer.Option(help="Make again, from its inputs, a result whose files are gone or damaged.")
    ] = False,
    detach: Annotated[
        bool, typer.Option("--detach", help="Come back once the next stage that runs elsewhere is submitted.")
    ] = False,
    json_: JsonOption = False,
) -> None:
    """Run a stage and whatever it needs; what is done already is reused."""
    how = {"force": force, "approve": approve, "repair": repair, "detach": detach}
    run_pipeline(stage, config, set_ or [], as_json=json_, **how)


@app.command(epilog="Example: mashbill stages --config dags/configs/demo.toml")
def stages(
    config: Annotated[Path | None, typer.Option("--config", help="With it, say what is done.")] = None,
    set_: SetOption = None,
    json_: JsonOption = False,
) -> None:
    """List the stages, what each does, and what is done and what is not."""
    describe_stages(config, set_ or [], as_json=json_)


@app.command(epilog="Example: mashbill check --config dags/configs/demo.toml")
def check(config: ConfigOption, set_: SetOption = None, json_: JsonOption = False) -> None:
    """Look at every file, model and address that a config names; nothing is run."""
    from mashbill.cli.check import print_checks

    print_checks(config, set_ or [], as_json=json_)


@app.command(epilog="Example: mashbill forecast --config dags/configs/demo.toml")
def forecast(
    config: ConfigOption,
    set_: SetOption = None,
    tasks: Annotated[
        Path | None,
        typer.Option(
            help="CSV with columns loss,error: models measured on both, for the final error on tasks."
        ),
    ] = None,
    json_: JsonOption = False,
) -> None:
    """Forecast the final model's loss, with an interval and by step; what that needs is run first."""
    from mashbill.cli.forecast import print_forecast

    print_forecast(config, set_ or [], tasks, as_json=json_)


@app.command(epilog="Example: mashbill train --config dags/configs/1b.toml --dry-run")
def train(
    config: ConfigOption,
    set_: SetOption = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Check the recipe without a GPU: parameters, FLOPs, memory, epochs."),
    ] = False,
    available: Annotated[
        Path | None, typer.Option(help="CSV with columns domain,tokens: tokens available, for --dry-run.")
    ] = None,
    json_: JsonOption = False,
) -> None:
    """Train the final models, or check the recipe with --dry-run."""
    if dry_run:
        from mashbill.cli.recipe import print_dry_run

        print_dry_run(config, set_ or [], available, as_json=json_)
    else:
        run_pipeline("train", config, set_ or [], force=False, approve=False, repair=False, as_json=json_)


@app.command(epilog="Example: mashbill join --config dags/configs/1b.toml --node 1")
def join(
    config: ConfigOption,
    node: Annotated[int, typer.Option(min=1, help="Which of training.nodes this machine is, from 1.")],
    set_: SetOption = None,
) -> None:
    """Lend this machine to a training over several nodes, which mashbill train leads on the first."""
    from mashbill.cli.run import join_training

    join_training(config, set_ or [], node)


@app.command(
    epilog="Example: mashbill part train chosen --run s3://lake/artifacts/runs/0123456789abcdef.json"
)
def part(
    stage: Annotated[str, typer.Argument(help="Stage that the run is of.")],
    run: Annotated[
        str, typer.Option("--run", help="Address of the config and inputs, which jobs are submitted with.")
    ],
    parts: Annotated[
        list[str] | None, typer.Argument(help="Parts to make; without any the whole stage.")
    ] = None,
    record: Annotated[
        str | None, typer.Option(help="Key of the job's record, where it tells how it gets on.")
    ] = None,
) -> None:
    """Make parts of a stage, unless they are there, as a job elsewhere does."""
    from mashbill.cli.part import make_parts

    make_parts(stage, parts or [], run, record=record)


@app.command(
    epilog="Example: mashbill evaluate models/chosen models/natural --config my.toml --tasks arc_easy"
)
def evaluate(
    models: Annotated[
        list[Path],
        typer.Argument(help="Hugging Face folders, or scratch folders of trainings under way."),
    ],
    config: ConfigOption,
    tasks_: tasks.TasksOption = None,
    set_: SetOption = None,
    json_: JsonOption = False,
) -> None:
    """Measure models on tasks, and on texts where they are tokenized; what a killed call finished is kept."""
    from mashbill.cli.evaluate import print_evaluation

    print_evaluation(models, config, set_ or [], tasks=tasks.named(tasks_), as_json=json_)


@app.command(epilog="Example: mashbill score --classifier model.bin data/*.jsonl --output scores")
def score(
    inputs: Annotated[list[Path], typer.Argument(help="Files of text: jsonl(.gz/.zst), parquet or txt.")],
    classifier: Annotated[Path, typer.Option(help="A trained fastText .bin file.")],
    output: Annotated[Path, typer.Option(help="Folder for the scores, one parquet a file.")],
    label: Annotated[str, typer.Option(help="Label that stands for good text.")] = "__label__1",
    text_field: Annotated[str, typer.Option(help="Field or column that holds the text.")] = "text",
) -> None:
    """Score files of text with a fastText classifier, as parquet of probability and margin."""
    from mashbill.cli.score import score_files

    score_files(inputs, classifier, output, label=label, text_field=text_field)


@app.command(epilog="Example: mashbill selftest --config my.toml --documents 2000")
def selftest(
    config: ConfigOption,
    set_: SetOption = None,
    documents: Annotated[
        int, typer.Option(min=40, help="Documents of your corpus that flaws are planted in.")
    ] = 1_000,
    json_: JsonOption = False,
) -> None:
    """Plant duplicates, evaluation text and broken records in a sample of your corpus, and say what is
    caught."""
    from mashbill.cli.selftest import print_selftest

    print_selftest(config, set_ or [], documents, as_json=json_)


def main() -> None:
    """Run the shell, turning our errors into one line and an exit code."""
    debug = "--debug" in sys.argv
    sys.argv = [argument for argument in sys.argv if argument != "--debug"]
    _say_what_takes_long()
    try:
        app()
    except MashbillError as error:
        if debug:
            raise
        for line in str(error).splitlines():
            print(f"error: {line}", file=sys.stderr)  # noqa: T201
        sys.exit(error.exit_code)
    except OSError as error:
        if debug:
            raise
        reason = error.strerror or one_line(error)
        print(f"error: {error.filename or 'a file'}: {reason.lower()}; {PATH_MEND}", file=sys.stderr)  # noqa: T201
        sys.exit(2 if error.errno in OF_PATHS else 1)
    except KeyboardInterrupt:
        sys.exit(130)


def _say_what_takes_long() -> None:
    """Have it said, on the error stream, that kernels are being compiled; of all else, warnings alone."""
    logging.getLogger("mashbill.kernels").setLevel(logging.INFO)
    if logging.lastResort is not None:
        logging.lastResort.setLevel(logging.INFO)


if __name__ == "__main__":
    main()
