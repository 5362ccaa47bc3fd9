"""A look at the tasks before anything runs: that each is there, can be asked, and that the harness is
installed."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from mashbill.config import PipelineConfig
from mashbill.config.check import Check
from mashbill.config.evaluation import HUB
from mashbill.errors import ConfigError
from mashbill.evaluation.asking import Asked, require_harness
from mashbill.evaluation.task_files import SUFFIX, files_of
from mashbill.storage import local_path, path_identity

PATH = "evaluation.tasks_path"
FILL = "correct the path, or fill it: mashbill tasks fetch --output FOLDER"


def check_tasks(config: PipelineConfig) -> Iterator[Check]:
    """The tasks that are asked."""
    if config.evaluation.tasks:
        yield Check("evaluation.tasks", partial(_look, config))


def task_identity(config: PipelineConfig) -> Any:
    """Changes when a file of a task that is asked is written; None where none is."""
    evaluation = config.evaluation
    local = {name for name in evaluation.tasks if not name.startswith(HUB)}
    if not local or evaluation.tasks_path is None:
        return None
    folder = tasks_folder(config)
    files = path_identity(config, PATH, evaluation.tasks_path)
    known = [folder / f"{name}{SUFFIX}" for name in sorted(local)] if folder is not None else []
    wanted = tuple(f"/{name}" for path in known if path.exists() for name in files_of(path))
    return [row for row in files if row[0].endswith(wanted)]


def tasks_folder(config: PipelineConfig) -> Path | None:
    """The folder of task files, on this machine; None where tasks are none, or the hub's.

    Raises:
        ConfigError: it is not there.
    """
    given = config.evaluation.tasks_path
    if given is None or all(name.startswith(HUB) for name in config.evaluation.tasks):
        return None
    try:
        return local_path(config, PATH, given)
    except ConfigError as error:
        raise ConfigError(error.where, error.what, FILL) from error


def _look(config: PipelineConfig) -> str:
    require_harness()
    asked = Asked.of(config.evaluation, tasks_folder(config), config.seed)
    hub = [f"{name}, which evaluate reads from the hub" for name in asked.hub]
    if asked.hub:
        from mashbill.evaluation.harness import refuse_unknown

        refuse_unknown(asked.hub)
    files = [f"{file.name} ({len(file.examples.rows):,} examples, {file.licence})" for file in asked.files]
    return ", ".join(files + hub)
