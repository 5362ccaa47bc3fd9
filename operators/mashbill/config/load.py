"""Reading a config from TOML and overrides, with errors that name file, field and mend."""

import copy
import json
import tomllib
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from mashbill.config.corpus import OF_A_PIPELINE
from mashbill.config.pipeline import PipelineConfig
from mashbill.config.protected import refuse_changes
from mashbill.config.search import ProxyConfig, SweepConfig
from mashbill.config.section import Section
from mashbill.config.wrong import config_error
from mashbill.errors import ConfigError


def load_config(
    path: str | Path, overrides: Mapping[str, Any] | None = None, *, allow: Collection[str] | None = None
) -> PipelineConfig:
    """Read a config file.

    Args:
        path: a TOML file.
        overrides: values by dotted key (``sweep.tokens``) that win over the file's.
        allow: dotted names of protected settings (paths and addresses) that the overrides may change, or of
            their sections; None means all, for whoever could as well write the file.
    Returns:
        The config, its root made absolute.
    Raises:
        ConfigError: the file is missing, is not TOML, a field is wrong, or an override is not allowed.
    """
    path = Path(path)
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            str(path), error.strerror or "cannot be read", "give the path of a TOML config file"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(str(path), f"is not TOML ({error})", "correct that line") from error
    before = copy.deepcopy(raw)
    for key, value in (overrides or {}).items():
        _set(raw, key, value)
    if allow is not None:
        refuse_changes(PipelineConfig, before, raw, allow=allow, where=str(path))
    if isinstance(raw.get("root", "."), str) and "://" not in raw.get("root", "."):
        raw["root"] = str((path.parent / raw.get("root", ".")).resolve())
    try:
        return PipelineConfig.model_validate(raw, context=OF_A_PIPELINE)
    except ValidationError as error:
        raise config_error(str(path), error) from error


class ProxyRun(Section):
    """What proxies outside a pipeline are determined by."""

    proxy: ProxyConfig = Field(ProxyConfig(), description="The proxy's shape and training.")
    sweep: SweepConfig = Field(SweepConfig(), description="Tokens and evaluations of each.")
    seed: int = Field(0, ge=0, description="Everything random is a function of this and an index.")


def load_proxy_run(path: Path | None, overrides: Mapping[str, Any]) -> ProxyRun:
    """The sections that proxies need, of a config file or from overrides alone.

    Raises:
        ConfigError: the file or a field is wrong.
    """
    if path is not None:
        config = load_config(path, overrides)
        return ProxyRun(proxy=config.proxy, sweep=config.sweep, seed=config.seed)
    raw: dict[str, Any] = {}
    for key, value in overrides.items():
        _set(raw, key, value)
    try:
        return ProxyRun.model_validate(raw)
    except ValidationError as error:
        raise config_error("--set", error) from error


def parse_overrides(assignments: Iterable[str]) -> dict[str, Any]:
    """Turn ``section.key=value`` strings into overrides; a value is read as JSON where it is JSON, else as
    text.

    Raises:
        ConfigError: an assignment has no equals sign.
    """
    overrides: dict[str, Any] = {}
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not equals or not key:
            raise ConfigError(f"--set {assignment}", "is not an assignment", "write section.key=value")
        try:
            overrides[key.strip()] = json.loads(value)
        except json.JSONDecodeError:
            overrides[key.strip()] = value
    return overrides


def _set(raw: dict[str, Any], key: str, value: Any) -> None:
    *sections, field = key.split(".")
    for section in sections:
        raw = raw.setdefault(section, {})
        if not isinstance(raw, dict):
            raise ConfigError(f"--set {key}", f"{section} is not a section", "name a field as section.key")
    raw[field] = value
