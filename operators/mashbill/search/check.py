"""A look at the search before it begins: what the mixture is chosen for, how many runs there are, and the
earlier search that is reused."""

from collections.abc import Iterator
from functools import partial

from mashbill.artifacts import open_store
from mashbill.config import PipelineConfig
from mashbill.config.check import Check
from mashbill.errors import ConfigError, DataError
from mashbill.search.earlier import LAST


def check_plan(config: PipelineConfig) -> Iterator[Check]:
    """The earlier choice that is named."""
    if config.plan.reuse not in (None, LAST):
        yield Check("plan.reuse", partial(_earlier, config, str(config.plan.reuse)))


def check_sweep(config: PipelineConfig) -> Iterator[Check]:
    """How many proxies there are, in how many parts."""
    if config.plan.reuse is None:
        yield Check("plan.mixtures", partial(_sweep, config))


def check_target(config: PipelineConfig) -> Iterator[Check]:
    """What the mixture is chosen for."""
    yield Check("mix.target", lambda: ", ".join(f"{name} {w:.2f}" for name, w in config.target.items()))


def _earlier(config: PipelineConfig, given: str) -> str:
    address = config.resolve(given).rstrip("/")
    try:
        made = open_store(config).manifest_at(address)
    except DataError as error:
        what = f"{given} cannot be used ({error.where} {error.what})"
        raise ConfigError("plan.reuse", what, "give the address of a mix") from error
    if made.stage != "mix":
        raise ConfigError("plan.reuse", f"{given} is a result of {made.stage}", "give the address of a mix")
    return f"{given}: chosen {made.started}"


def _sweep(config: PipelineConfig) -> str:
    count, size = config.plan.count(len(config.mixture_names)), config.sweep.group_size
    return f"{count:,} mixtures, {size} in a part: {-(-count // size):,} parts"
