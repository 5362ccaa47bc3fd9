"""A look at where stages are to run, before anything is submitted: what is no stage, what a stage cannot use,
what jobs cannot reach, and what the backend says."""

import re
from collections.abc import Callable, Iterable, Iterator
from difflib import get_close_matches
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any, Protocol

from mashbill.config import LaunchConfig, PipelineConfig
from mashbill.config.check import Check
from mashbill.config.launch import KUBERNETES, Backend
from mashbill.errors import ConfigError, Problems
from mashbill.launch.registry import backend_named
from mashbill.stages.stage import Stage
from mashbill.stages.table import STAGES
from mashbill.storage import LOCAL, scheme_of


class Ask(Protocol):
    """What a backend is asked before anything is submitted."""

    def check(self, takes: LaunchConfig) -> list[str]:
        """What will not do, a line each as ``what; mend``."""


_OF = {
    "cpus": KUBERNETES | {"ray"},
    "memory": KUBERNETES | {"ray"},
    "image": KUBERNETES,
    "time_limit_seconds": KUBERNETES | {"local", "ssh"},
    "max_restarts": KUBERNETES - {"trainjob"} | {"local", "ssh"},
    "max_jobs": KUBERNETES | {"ray", "ssh"},
    "port": {"job", "jobset", "trainjob", "ssh"},
    "queue": KUBERNETES,
    "kubernetes": KUBERNETES,
    "kubernetes.ttl_seconds": {"job", "jobset"},
    "kubernetes.runtime": {"trainjob"},
    "ray": {"ray", "rayjob"},
    "ray.address": {"ray"},
    "ray.version": {"rayjob"},
    "ray.workers": {"rayjob"},
    "ssh": {"ssh"},
    "local": {"local"},
}
"""Settings that say something to some backends alone."""
_SHARED = "give an s3:// address, or name a volume over it in launch.{stage}.kubernetes.volumes"


def launch_checks(
    config: PipelineConfig, stages: Iterable[Stage], named: Callable[[Backend], Ask] = backend_named
) -> Iterator[tuple[str, Check]]:
    """What is to be looked at of ``[launch]``, by stage; what names no stage always.

    Args:
        config: the whole config.
        stages: those that are going to run.
        named: gives a backend by its name.
    """
    for name in config.launch:
        if name not in STAGES:
            yield name, Check(f"launch.{name}", partial(_no_stage, name))
    for stage in stages:
        takes = config.launch.get(stage.name)
        if takes is not None:
            yield from ((stage.name, check) for check in _of_stage(config, stage, takes))
            ask = partial(named, takes.backend)
            yield stage.name, Check(f"launch.{stage.name}", partial(_will_do, stage.name, takes, ask))


def _of_stage(config: PipelineConfig, stage: Stage, takes: LaunchConfig) -> Iterator[Check]:
    where = f"launch.{stage.name}"
    if takes.nodes > 1 and not stage.needs.nodes:
        yield Check(f"{where}.nodes", partial(_one_node, stage.name, takes.nodes))
    for name in _without_effect(takes):
        yield Check(f"{where}.{name}", partial(_nothing, name, takes))
    if takes.backend in KUBERNETES:
        yield Check("artifacts", partial(_reached, config, stage.name, takes))
        for check in stage.checks(config):
            if (path := _local_path(config, check.setting)) is not None:
                yield Check(check.setting, partial(_seen, path, stage.name, takes))


def _no_stage(name: str) -> str:
    near = get_close_matches(name, STAGES, n=1)
    mend = f"write launch.{near[0]}" if near else f"name one of {', '.join(STAGES)}"
    raise ConfigError(f"launch.{name}", "is no stage", mend)


def _one_node(stage: str, nodes: int) -> str:
    able = ", ".join(name for name, row in STAGES.items() if row.needs.nodes)
    what = f"is {nodes}, and a part of {stage} runs on one"
    raise ConfigError(f"launch.{stage}.nodes", what, f"leave it out; several nodes are for {able}")


def _without_effect(takes: LaunchConfig) -> list[str]:
    nothing_said = LaunchConfig()
    found = [
        name
        for name, backends in _OF.items()
        if takes.backend not in backends and attrgetter(name)(takes) != attrgetter(name)(nothing_said)
    ]
    return [name for name in found if "." not in name or name.partition(".")[0] not in found]


def _nothing(name: str, takes: LaunchConfig) -> str:
    return f"has no effect, as backend is {takes.backend}"


def _reached(config: PipelineConfig, stage: str, takes: LaunchConfig) -> str:
    root = config.resolve(config.artifacts)
    if scheme_of(root) != LOCAL:
        return f"{root} is reached from anywhere"
    volume = next((one for one in takes.kubernetes.volumes if Path(root).is_relative_to(one.path)), None)
    mend = _SHARED.format(stage=stage)
    if volume is None:
        what = f"{root} is a folder of this machine, which the pods of {stage} do not see"
        raise ConfigError("artifacts", what, mend)
    if volume.read_only:
        what = f"{root} is on volume {volume.claim}, which the pods of {stage} may only read"
        raise ConfigError("artifacts", what, f"leave read_only out of launch.{stage}.kubernetes.volumes")
    return f"{root} is on volume {volume.claim} of the pods of {stage}"


def _seen(path: Path, stage: str, takes: LaunchConfig) -> str:
    for volume in takes.kubernetes.volumes:
        if path.is_relative_to(volume.path):
            return f"{path} is on volume {volume.claim} of the pods of {stage}"
    what = f"{path} is on this machine, and the pods of {stage} do not see it"
    mend = f"put it at an s3:// address, or on a volume of launch.{stage}.kubernetes.volumes"
    raise ConfigError(str(path), what, mend)


def _local_path(config: PipelineConfig, setting: str) -> Path | None:
    """The file or folder of this machine that a setting names; None where it names none."""
    value: Any = config
    for step in re.findall(r"[^.\[\]]+", setting):
        value = _within(value, step)
    if not isinstance(value, str) or scheme_of(value) != LOCAL:
        return None
    path = Path(config.resolve(value))
    return path if path.exists() else None


def _within(value: Any, step: str) -> Any:
    """What a section or a list holds by a name or a number; None where it holds none."""
    if isinstance(value, list | tuple):
        named = next((item for item in value if getattr(item, "name", None) == step), None)
        return value[int(step)] if step.isdigit() and int(step) < len(value) else named
    return value.get(step) if isinstance(value, dict) else getattr(value, step, None)


def _will_do(stage: str, takes: LaunchConfig, backend: Callable[[], Ask]) -> str:
    problems = []
    for line in backend().check(takes):
        what, _, mend = line.rpartition("; ")
        problems.append(ConfigError(f"launch.{stage}", what, mend))
    if len(problems) == 1:
        raise problems[0]
    if problems:
        raise Problems(problems)
    return f"{takes.backend} will do"
