"""The report alone: of results that are named, and those that they were made from, with no config, as each
result's manifest holds the settings that it was made with."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from mashbill.alone.arguments import plain
from mashbill.alone.given import Given, Ready
from mashbill.artifacts import Artifact, open_store
from mashbill.config import PipelineConfig
from mashbill.config.wrong import config_error
from mashbill.errors import ConfigError
from mashbill.stages.table import STAGES

RESULTS = "results"


def for_report(given: Given) -> Ready:
    """What the report reads: results by stage.

    Raises:
        ConfigError: an address is no result, two are of different runs, or one that the report needs is
            neither named nor one of those that the named ones were made from.
    """
    found = _with_those_before(given, _named(given))
    for stage in STAGES["report"].required:
        if stage not in found:
            what = f"lead to no result of {stage}"
            raise ConfigError(given.where(RESULTS), what, f"name its address too: {{{stage!r}: ...}}")
    config = _config(given, found)
    inputs = {name: found[name] for name in STAGES["report"].inputs if name in found}
    return Ready(config, {name: _referring(config, made) for name, made in inputs.items()})


def _named(given: Given) -> dict[str, Artifact]:
    """The results that are given, by stage."""
    value = plain(given.values[RESULTS])
    named: Iterator[tuple[str | None, Any]]
    if isinstance(value, Mapping):
        named = ((str(stage), address) for stage, address in value.items() if address)
    else:
        addresses = value if isinstance(value, list | tuple) else [value]
        named = ((None, address) for address in addresses if address)
    found: dict[str, Artifact] = {}
    for stage, address in named:
        made = given.published(str(address), given.ground)
        if made is None or (stage or made.manifest.stage) != made.manifest.stage:
            kind = "no result" if made is None else f"a result of {made.manifest.stage}, not of {stage}"
            mend = "give the address that an operator returned"
            raise ConfigError(given.where(RESULTS), f"{address} is {kind}", mend)
        _add(given, found, made)
    return found


def _with_those_before(given: Given, named: Mapping[str, Artifact]) -> dict[str, Artifact]:
    """Results, and all that they were made from, as far as that is there."""
    found, waiting = dict(named), list(named.values())
    while waiting:
        for stage, address in waiting.pop().manifest.inputs.items():
            made = given.published(address, given.ground)
            if stage in STAGES and made is not None and _add(given, found, made):
                waiting.append(made)
    return found


def _add(given: Given, found: dict[str, Artifact], made: Artifact) -> bool:
    """Add a result; whether it is new.

    Raises:
        ConfigError: there is another of its stage.
    """
    stage = made.manifest.stage
    other = found.setdefault(stage, made)
    if other.fingerprint != made.fingerprint:
        what = f"are of different runs: {stage} is {other.address} and {made.address}"
        raise ConfigError(given.where(RESULTS), what, "name results of one run")
    return other is made


def _config(given: Given, found: Mapping[str, Artifact]) -> PipelineConfig:
    """The config that results were made with, by their manifests.

    Raises:
        ConfigError: they are of another version, whose settings are none of today's.
    """
    made: dict[str, Any] = {}
    for stage in (one for one in STAGES if one in found):
        made |= found[stage].manifest.settings
    own = given.arguments.raw(given.values, made.get("corpus", {}))
    try:
        return PipelineConfig.model_validate({**made, **own, **given.fixed})
    except ValidationError as error:
        raise config_error(given.where(RESULTS), error) from error


def _referring(config: PipelineConfig, made: Artifact) -> Artifact:
    """A result of another root, with its own settings, counts and seconds."""
    store = open_store(config)
    there = store.find(made.manifest.stage, made.fingerprint)
    return there or store.refer(made.manifest.model_copy(update={"elsewhere": made.address}))
