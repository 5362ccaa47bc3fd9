"""Bounds and defaults that schemas of custom resources give, in the words of the server's validator."""

import copy
import re
from typing import Any

Schema = dict[str, Any]


def out_of_bounds(value: Any, schema: Schema) -> str:
    """What a value should be and is not; empty where all is well."""
    if isinstance(value, str):
        return _text(value, schema)
    if isinstance(value, list):
        return _length(len(value), schema.get("minItems"), schema.get("maxItems"), "items")
    if isinstance(value, int | float) and not isinstance(value, bool):
        least, most = schema.get("minimum"), schema.get("maximum")
        if least is not None and value < least:
            return f"should be greater than or equal to {least}"
        if most is not None and value > most:
            return f"should be less than or equal to {most}"
    return ""


def _text(value: str, schema: Schema) -> str:
    pattern = schema.get("pattern")
    if pattern and not re.search(pattern, value):
        return f"should match '{pattern}'"
    return _length(len(value), schema.get("minLength"), schema.get("maxLength"), "chars long")


def _length(length: int, least: int | None, most: int | None, unit: str) -> str:
    if least is not None and length < least:
        return (
            f"should be at least {least} {unit}" if unit != "items" else f"should have at least {least} items"
        )
    if most is not None and length > most:
        return f"should be at most {most} {unit}" if unit != "items" else f"should have at most {most} items"
    return ""


def fill_defaults(value: Any, schema: Schema) -> None:
    """Give an object what its schema says where it says nothing itself."""
    if isinstance(value, dict):
        for name, inner in schema.get("properties", {}).items():
            if name not in value and "default" in inner:
                value[name] = copy.deepcopy(inner["default"])
            if name in value:
                fill_defaults(value[name], inner)
        others = schema.get("additionalProperties")
        if isinstance(others, dict):
            for name in value.keys() - schema.get("properties", {}).keys():
                fill_defaults(value[name], others)
    elif isinstance(value, list):
        for item in value:
            fill_defaults(item, schema.get("items", {}))
