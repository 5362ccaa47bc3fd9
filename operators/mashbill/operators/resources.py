"""What a team varies from stage to stage: which of Airflow's slots a task takes, and where its work runs."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Any

from mashbill.config.launch import LaunchConfig
from mashbill.errors import ConfigError

ALL = "*"


@dataclass(frozen=True)
class TaskResources:
    """How Airflow treats a task; what is None is as the DAG has it.

    Args:
        pool: whose slots the task takes; pool_slots: how many of them.
        queue: which workers run it.
        executor: by name, where Airflow has several.
        executor_config: what the executor is told, such as a pod override.
        priority_weight: which of the tasks that wait goes first.
        execution_timeout: after which the task is failed.
        retries: after failures of the world; retry_delay: between them.
    """

    pool: str | None = None
    pool_slots: int | None = None
    queue: str | None = None
    executor: str | None = None
    executor_config: Mapping[str, Any] | None = None
    priority_weight: int | None = None
    execution_timeout: timedelta | None = None
    retries: int | None = None
    retry_delay: timedelta | None = None

    def arguments(self) -> Mapping[str, Any]:
        """As an operator takes them."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in given.items() if value is not None}


Resources = TaskResources | Mapping[str, TaskResources]
"""Of all tasks, or by stage; the name ``*`` stands for those that are not named."""


def resources_of(stage: str, resources: Resources | None) -> Mapping[str, Any]:
    """Arguments of a stage's tasks."""
    if resources is None or isinstance(resources, TaskResources):
        return resources.arguments() if resources else {}
    found = {ALL: resources.get(ALL, TaskResources()), stage: resources.get(stage, TaskResources())}
    return {**found[ALL].arguments(), **found[stage].arguments()}


def refuse_unknown(where: str, named: Collection[str], known: Collection[str]) -> None:
    """Refuse names of stages that a group does not have.

    Raises:
        ConfigError: there is one.
    """
    for name in named:
        if name not in known:
            raise ConfigError(f"{where}: {name}", "is no stage of it", f"choose among {', '.join(known)}")


def launched(
    launch: Mapping[str, LaunchConfig] | None, overrides: Any, allow: Collection[str]
) -> tuple[Any, tuple[str, ...]]:
    """Overrides and what they may change, with those that send stages elsewhere, as the DAG's author says."""
    if not launch:
        return overrides or {}, tuple(allow)
    layers = [overrides or {}] if overrides is None or isinstance(overrides, Mapping) else list(overrides)
    elsewhere = {f"launch.{stage}": takes.model_dump(exclude_unset=True) for stage, takes in launch.items()}
    return [*layers, elsewhere], (*allow, *elsewhere)
