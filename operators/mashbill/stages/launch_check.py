"""A look at where stages are to run, before anything is submitted: what is no stage, what a stage cannot use,
what jobs cannot reach, and what the backend says."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from difflib import get_close_matches
from functools import cache, partial
from operator import attrgetter
from pathlib import Path
from typing import Any, Protocol

from mashbill.config import LaunchConfig, PipelineConfig
from mashbill.config.check import Check
from mashbill.config.launch import KUBERNETES, Backend
from mashbill.errors import ConfigError, MashbillError, Several, all_of, within
from mashbill.launch.registry import backend_named
from mashbill.stages.launch_places import Places, asked_hosts
from mashbill.stages.stage import Stage
from mashbill.stages.table import STAGES
from mashbill.storage import LOCAL, scheme_of


class Ask(Protocol):
    """What a backend is asked before anything is submitted."""

    def check(self, takes: LaunchConfig) -> list[MashbillError]:
        """What will not do."""


Asked = Callable[[], Sequence[MashbillError]]
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
    asked: dict[str, Asked] = {}
    places = Places(asked_hosts)
    for stage in stages:
        takes = config.launch.get(stage.name)
        if takes is not None:
            yield from ((stage.name, check) for check in _of_stage(config, stage, takes, places=places))
            where = f"launch.{stage.name}"
            problems = asked.setdefault(takes.model_dump_json(), _once(takes, named))
            yield stage.name, Check(where, partial(_will_do, takes, problems, where))


def _once(takes: LaunchConfig, named: Callable[[Backend], Ask]) -> Asked:
    """What a backend says of a placement, which it is asked once however many stages are placed so."""
    return cache(lambda: tuple(named(takes.backend).check(takes)))


def _of_stage(
    config: PipelineConfig, stage: Stage, takes: LaunchConfig, *, places: Places
) -> Iterator[Check]:
    where = f"launch.{stage.name}"
    if takes.nodes > 1 and not stage.needs.nodes:
        yield Check(f"{where}.nodes", partial(_one_node, stage.name, takes.nodes))
    for name in _without_effect(takes):
        yield Check(f"{where}.{name}", partial(_nothing, name, takes))
    if takes.backend == "local":
        return
    root = config.resolve(config.artifacts)
    yield Check("artifacts", partial(places.reached, root, stage.name, takes))
    for check in stage.checks(config):
        if (path := _local_path(config, check.setting)) is not None:
            yield Check(check.setting, partial(places.seen, path, stage.name, takes))


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


def _will_do(takes: LaunchConfig, problems: Callable[[], Sequence[MashbillError]], where: str) -> str:
    found = problems()
    if found:
        raise all_of([_of_setting(where, error) for error in found])
    return f"{takes.backend} will do"


def _of_setting(where: str, error: MashbillError) -> MashbillError:
    """The same failure, by the whole name of its setting where it is one of a placement."""
    if isinstance(error, Several):
        return all_of([_of_setting(where, one) for one in error.found])
    if error.where.partition(".")[0] in LaunchConfig.model_fields:
        return type(error)(f"{where}.{error.where}", error.what, error.mend)
    return within(where, error)
