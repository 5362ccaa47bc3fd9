"""The trigger form: Params made from the config's fields, their descriptions as labels, their bounds as
checks."""

from typing import Any

from airflow.sdk import Param

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
    """Params of a DAG: the config's path, some fields, and any other override.

    Args:
        config: default path of the config file.
        fields: dotted keys that have an input of their own; empty means as in the file.
    """
    params = {
        "config": Param(
            config, type="string", title="Config", description="Path of the TOML config file.", minLength=1
        )
    }
    for key in fields:
        params[key] = Param(None, section="Settings (empty: as in the config)", **_schema(key))
    params["overrides"] = Param(
        {},
        type="object",
        title="Other settings",
        description='By dotted key: {"quality.epochs": 5}.',
        section="More",
    )
    return params


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
