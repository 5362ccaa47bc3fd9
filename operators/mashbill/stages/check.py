"""A look at everything that a config names, before the first stage runs: what would fail in the middle of the
night fails at once, and all of it is told, not the first alone."""

import errno
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from mashbill.config import PipelineConfig
from mashbill.config.check import Check
from mashbill.errors import ConfigError, MashbillError, RunError, Several, all_of, one_line, within
from mashbill.stages.launch_check import launch_checks
from mashbill.stages.stage import Stage
from mashbill.storage import open_storage, scratch_of

OF_THE_PATH = frozenset(
    {
        errno.ENOENT,
        errno.EACCES,
        errno.EPERM,
        errno.ENOTDIR,
        errno.EISDIR,
        errno.ENAMETOOLONG,
        errno.ELOOP,
        errno.EINVAL,
        errno.EROFS,
    }
)
"""What the system says of a path that is wrong, as against a disk or a mount that is away."""


@dataclass(frozen=True)
class Finding:
    """What a look found.

    Attributes:
        stage: which reads the thing.
        setting: which names it.
        found: what is there; empty where it will not do.
        problem: why it will not do, and the mend.
    """

    stage: str
    setting: str
    found: str = ""
    problem: MashbillError | None = None


def check_config(config: PipelineConfig, stages: Iterable[Stage]) -> list[Finding]:
    """Look at what stages read besides artifacts; no stage is run.

    Args:
        config: the whole config.
        stages: the stages that are going to run.
    Returns:
        A finding for each thing, in the order of the stages.
    """
    rows = list(stages)
    found = [_look("every stage", check) for check in _folders(config)]
    for stage in rows:
        found += [_look(stage.name, check) for check in stage.checks(config)]
    return found + [_look(name, check) for name, check in launch_checks(config, rows)]


def refuse_problems(findings: Iterable[Finding]) -> None:
    """Raise what will not do.

    Raises:
        MashbillError: something will not; all of it, where there is more than one. Retrying may help where
            nothing of it is for a person to mend.
    """
    problems = [finding.problem for finding in findings if finding.problem is not None]
    if problems:
        raise all_of(problems)


def _look(stage: str, check: Check) -> Finding:
    try:
        return Finding(stage, check.setting, check.look())
    except MashbillError as error:
        return Finding(stage, check.setting, problem=_named(error, check.setting))
    except OSError as error:
        return Finding(stage, check.setting, problem=_of_the_disk(error, check.setting))


def _of_the_disk(error: OSError, setting: str) -> MashbillError:
    what = f"{error.filename or 'it'} cannot be read ({error.strerror or one_line(error)})"
    if error.errno in OF_THE_PATH:
        return ConfigError(setting, what, "correct the path")
    return RunError(setting, what, "mend the disk or its mount, and try again")


def _named(error: MashbillError, setting: str) -> MashbillError:
    """The error with the setting in it: what reads a file knows its path alone."""
    if isinstance(error, Several):
        return type(error)([_named(one, setting) for one in error.found])
    if error.where == setting or error.where.startswith(f"{setting.partition('.')[0]}."):
        return error
    return within(setting, error)


def _folders(config: PipelineConfig) -> Iterator[Check]:
    """Where results are written, and the folder of this machine."""
    for setting, given in (("artifacts", config.artifacts), ("scratch", config.scratch)):
        yield Check(setting, partial(_usable, config, setting, config.resolve(given)))


def _usable(config: PipelineConfig, setting: str, root: str) -> str:
    open_storage(root, scratch_of(config)).refuse_unusable(setting)
    return f"{root} may be written"
