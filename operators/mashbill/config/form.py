"""Settings as a form asks for them: grouped by section, with a title, words, bounds and default, as JSON
schema. Paths and addresses are left out: whoever fills in a form may not change them."""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from mashbill.config.pipeline import PipelineConfig
from mashbill.config.protected import is_protected

BOUNDS = frozenset(
    {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength", "pattern"}
)
NULL = "null"
ANYTHING: Mapping[str, Any] = {}


@dataclass(frozen=True)
class FieldForm:
    """One setting of a form.

    Attributes:
        key: dotted.
        title: a few words.
        group: what its section is for.
        description: of the setting.
        default: its own; None where it has none, or none that a line has room for.
        schema: JSON schema of its values, with null for none chosen.
        named: whether what is in it has names of the config's own.
    """

    key: str
    title: str
    group: str
    description: str
    default: Any
    schema: Mapping[str, Any]
    named: bool


@cache
def field_forms() -> Mapping[str, FieldForm]:
    """Every setting that a run may change, by dotted key."""
    return {form.key: form for form in _forms()}


def open_settings(allow: Collection[str] = ()) -> tuple[dict[str, Any], dict[str, Any]]:
    """JSON schema of the settings that a run may change: by dotted key, and by pattern of keys where names
    are the config's own.

    Args:
        allow: dotted names of protected settings, or of their sections, that it may change all the same.
    """
    forms = field_forms()
    sections = [name for name, field in PipelineConfig.model_fields.items() if not is_protected(field)]
    known = {
        **dict.fromkeys([*sections, *allow], ANYTHING),
        **{key: one.schema for key, one in forms.items()},
    }
    named = [*(key for key, one in forms.items() if one.named), *allow]
    return known, {f"^{re.escape(name)}[.]": ANYTHING for name in named}


def _forms() -> Iterator[FieldForm]:
    for name, field in PipelineConfig.model_fields.items():
        if not is_protected(field):
            words = (field.description or name).rstrip(".")
            group = "The whole pipeline" if _section_of(field) is None else words
            yield from _form(PipelineConfig, name, field, group=group)


def _form(model: type[BaseModel], key: str, field: FieldInfo, *, group: str) -> Iterator[FieldForm]:
    """A setting and those within it; of a whole section those alone."""
    section, name = _section_of(field), key.rpartition(".")[2]
    if section is None or model is not PipelineConfig:
        schema = _properties(model)[name]
        default = field.default if isinstance(field.default, bool | int | float | str) else None
        title, words = name.replace("_", " ").capitalize(), field.description or ""
        named = get_origin(field.annotation) is dict
        yield FieldForm(key, title, group, words, default, _values(schema), named)
    for inner, own in (section.model_fields if section else {}).items():
        if section and not is_protected(own):
            yield from _form(section, f"{key}.{inner}", own, group=group)


def _section_of(field: FieldInfo) -> type[BaseModel] | None:
    """The section that a field is, or may be; a list of sections is none."""
    if get_origin(field.annotation) in {dict, tuple}:
        return None
    kinds = (field.annotation, *get_args(field.annotation))
    return next((one for one in kinds if isinstance(one, type) and issubclass(one, BaseModel)), None)


def _properties(model: type[BaseModel]) -> Mapping[str, Any]:
    """JSON schema of a model's fields, which is one of the config's sections, or the config."""
    whole = _whole()
    found: Mapping[str, Any] = whole if model is PipelineConfig else whole["$defs"][model.__name__]
    return found["properties"]


@cache
def _whole() -> Mapping[str, Any]:
    return PipelineConfig.model_json_schema()


def _values(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Schema of a setting's values: of what JSON schema can say on one level; anything else is left to the
    config."""
    branches = [branch for branch in schema.get("anyOf", [schema]) if branch.get("type") != NULL]
    if any("type" not in branch or branch["type"] in {"array", "object"} for branch in branches):
        return ANYTHING
    if "enum" in schema:
        return {"type": [NULL, "string"], "enum": [None, *schema["enum"]]}
    kept = {k: v for branch in branches for k, v in branch.items() if k in BOUNDS}
    words = [branch["const"] for branch in branches if "const" in branch]
    if words:
        kept["pattern"] = f"^({'|'.join([*words, '[0-9]+'])})$"
    types = sorted({branch["type"] for branch in branches}, reverse=True)
    return {**kept, "type": [NULL, *types]}  # a string first: a form then takes words as well as numbers
