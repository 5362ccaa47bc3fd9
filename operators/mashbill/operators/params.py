"""The trigger form: Params made from the config's fields, their descriptions as labels, their bounds as
checks.

Whoever may trigger a run chooses among config files that are there, and among settings; neither paths nor
addresses are among those (``config/protected.py``), unless the DAG's author says so.
"""

import os
from pathlib import Path
from typing import Any

from airflow.sdk import Param
from airflow.sdk.configuration import conf

from mashbill.config import PipelineConfig

FORM = (
    "selection.keep_share",
    "plan.mixtures",
    "plan.reuse",
    "sweep.tokens",
    "training.tokens",
    "training.max_epochs",
    "gate.within_noise",
)


def form(config: str, fields: tuple[str, ...] = FORM) -> dict[str, Param]:
    """Params of a DAG: which config file, some fields, and other overrides.

    Args:
        config: default path of the config file.
        fields: dotted keys that have an input of their own; empty means as in the file.
    """
    params = {
        "config": Param(
            config,
            type="string",
            title="Config",
            description="TOML config file: one beside the DAG's own, or in a folder that Airflow's setting "
            "[mashbill] configs names.",
            enum=config_files(config),
        )
    }
    for key in fields:
        params[key] = Param(None, section="Settings (empty: as in the config)", **_schema(key))
    params["overrides"] = Param(
        {},
        type="object",
        title="Other settings",
        description='By dotted key: {"quality.epochs": 5}. Paths and addresses are the file\'s alone.',
        section="More",
    )
    return params


def config_files(config: str) -> list[str]:
    """Config files that may be chosen: the default, those beside it, and those of the folders that Airflow's
    setting ``[mashbill] configs`` names, with colons between them."""
    named = conf.get("mashbill", "configs", fallback="") or ""
    folders = [Path(config).parent, *(Path(folder) for folder in named.split(os.pathsep) if folder)]
    return [config, *sorted({str(file) for folder in folders for file in folder.glob("*.toml")} - {config})]


def overrides_template(fields: tuple[str, ...] = FORM) -> list[Any]:
    """What operators take as overrides, rendered natively: the form's fields, then the free ones."""
    return [{key: f"{{{{ params['{key}'] }}}}" for key in fields}, "{{ params.overrides }}"]


def _schema(key: str) -> dict[str, Any]:
    section, field = key.split(".")
    model = PipelineConfig.model_fields[section].annotation
    schema: dict[str, Any] = model.model_json_schema()["properties"][field]  # type: ignore[union-attr]
    branches = [branch for branch in schema.get("anyOf", [schema]) if branch["type"] != "null"]
    bounds = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength"}
    kept = {k: v for branch in branches for k, v in branch.items() if k in bounds} | {
        "description": schema["description"],
        "title": key,
    }
    if "enum" in schema:
        return {**kept, "type": ["null", "string"], "enum": [None, *schema["enum"]]}
    types = sorted(
        {branch["type"] for branch in branches}, reverse=True
    )  # a string first: the form then takes words as well as numbers
    words = [branch["const"] for branch in branches if "const" in branch]
    pattern = {"pattern": f"^({'|'.join([*words, '[0-9]+'])})$"} if words else {}
    return {**kept, **pattern, "type": ["null", *types]}
