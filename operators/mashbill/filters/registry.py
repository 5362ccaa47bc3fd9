"""Filters by name: each lies in the module of this package that is named as its section in ``[filters]``."""

from collections.abc import Iterator
from typing import Any

from mashbill.artifacts import StageRun
from mashbill.config import PipelineConfig
from mashbill.config.check import Check
from mashbill.discovery import classes_in
from mashbill.filters.filter import Filter
from mashbill.storage import path_identity


def filter_named(name: str) -> type[Filter]:
    """The filter whose section has that name."""
    return classes_in(f"mashbill.filters.{name}", "name")[name]


def make_filters(run: StageRun) -> list[Filter]:
    """The config's filters, in order, ready to be applied."""
    return [filter_named(name).for_run(run) for name in run.config.filters.apply]


def check_filters(config: PipelineConfig) -> Iterator[Check]:
    """Files that the config's filters read."""
    for name in config.filters.apply:
        yield from filter_named(name).checks(config)


def filter_identity(config: PipelineConfig) -> list[Any]:
    """Changes when a file changes that a filter depends on, a language model or a list of sites.

    Raises:
        ConfigError: there is no such file.
    """
    identity: list[Any] = []
    for name in sorted(config.filters.apply):  # their order is in the settings
        for setting, given in filter_named(name).files(config).items():
            identity += path_identity(config, setting, given)
    return identity
