"""The trigger form: Params made from the config's fields, their descriptions as labels, their bounds as
checks.

Whoever may trigger a run chooses among config files that are there, and among settings; neither paths nor
addresses are among those (``config/protected.py``), unless the DAG's author says so. What will not do is
refused as the run is triggered, by its name: fields of the form and other settings alike.
"""

import os
import tomllib
from collections.abc import Collection
from pathlib import Path
from typing import Any, Self

from airflow.sdk import Param
from airflow.sdk.configuration import conf

from mashbill.config.form import FieldForm, field_forms, open_settings

FORM = (
    "selection.keep_share",
    "plan.mixtures",
    "plan.reuse",
    "sweep.tokens",
    "training.tokens",
    "training.max_epochs",
    "gate.within_noise",
)
PRESETS = ("demo", "research", "1b")
"""Config files that come with the DAGs, first in the list."""


class Shared(dict[str, Any]):
    """A part of a schema that nobody changes: Airflow copies a DAG's params for each of its tasks."""

    def __deepcopy__(self, memo: Any) -> Self:
        return self


def form(config: str, fields: tuple[str, ...] = FORM, *, allow: Collection[str] = ()) -> dict[str, Param]:
    """Params of a DAG: which config file, some fields, and other overrides.

    Args:
        config: default path of the config file.
        fields: dotted keys that have an input of their own; empty means as in the file.
        allow: what the groups' ``allow`` says: paths and addresses that a run may change all the same.
    """
    files = config_files(config)
    by_key, by_pattern = open_settings(allow)
    params = {
        "config": Param(
            config,
            type="string",
            title="Preset or config file",
            description="What everything else starts from: a TOML file beside the DAG's own, or in a folder "
            "that Airflow's setting [mashbill] configs names.",
            enum=files,
            values_display={path: _words(path) for path in files},
        )
    }
    forms = field_forms()
    for key in fields:
        params[key] = Param(None, **_schema(forms[key]))
    params["overrides"] = Param(
        {},
        type="object",
        title="Other settings",
        description='By dotted key: {"quality.epochs": 5}. Paths and addresses are the file\'s alone.',
        section="Other settings",
        properties=Shared(by_key),
        patternProperties=Shared(by_pattern),
        additionalProperties=False,
    )
    return params


def config_files(config: str) -> list[str]:
    """Config files that may be chosen: the default, presets and others beside it, and those of the folders
    that Airflow's setting ``[mashbill] configs`` names, with colons between them."""
    named = conf.get("mashbill", "configs", fallback="") or ""
    folders = [Path(config).parent, *(Path(folder) for folder in named.split(os.pathsep) if folder)]
    found = {str(file) for folder in folders for file in folder.glob("*.toml")} - {config}
    return [config, *sorted(found, key=_presets_first)]


def overrides_template(fields: tuple[str, ...] = FORM) -> list[Any]:
    """What operators take as overrides, rendered natively: the form's fields, then the free ones."""
    return [{key: f"{{{{ params['{key}'] }}}}" for key in fields}, "{{ params.overrides }}"]


def _presets_first(path: str) -> tuple[int, str]:
    stem = Path(path).stem
    return (PRESETS.index(stem) if stem in PRESETS else len(PRESETS)), path


def _words(path: str) -> str:
    """A config file's name, and the sentence that its first comment begins with."""
    try:
        text = Path(path).read_text(encoding="utf-8")
        name = tomllib.loads(text).get("name", Path(path).stem)
    except (OSError, ValueError):
        return Path(path).name
    lines = [line.removeprefix("#").strip() for line in text.splitlines() if line.startswith("#")]
    sentence = " ".join(lines).partition(". ")[0].rstrip(".:")
    return f"{name}: {sentence}" if sentence else f"{name}"


def _schema(field: FieldForm) -> dict[str, Any]:
    """What Airflow's form shows of a field, and checks."""
    default = "" if field.default is None else f" Its own default: {field.default}."
    return {
        **field.schema,
        "title": field.title,
        "section": field.group,
        "description": f"{field.description} ({field.key}) Empty: as in the config.{default}",
    }
