"""What is wrong with a config, in a user's words: the checker speaks of tuples, constraints and models, the
reader of lists, numbers and sections."""

import difflib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from mashbill.config.launch import AMOUNT, LaunchConfig
from mashbill.config.pipeline import PipelineConfig
from mashbill.errors import ConfigError, Problems

BRANCHES = ("constrained-", "literal[")
"""How places of an alternative begin, which are no fields."""
SHOWN = 60
TEXT, LIST = ("text is needed", "put it in quotes"), ("a list is needed", "put it in brackets: [ ... ]")
TABLE = ("a table is needed", "write it as a section, or as { name = value }")
WHOLE = ("a valid integer is needed", "write a whole number, without quotes")
NUMBER = ("a number is needed", "write one, without quotes")
SWITCH = ("true or false is needed", "write one of them, without quotes")
KINDS = {
    "string": TEXT,
    "tuple": LIST,
    "list": LIST,
    "set": LIST,
    "dict": TABLE,
    "mapping": TABLE,
    "model": TABLE,
    "int": WHOLE,
    "float": NUMBER,
    "bool": SWITCH,
}
"""What is needed and how it is written, by the first word of an error's type."""
LIMITS = {
    "greater_than_equal": ("greater than or equal to", "ge"),
    "greater_than": ("greater than", "gt"),
    "less_than_equal": ("less than or equal to", "le"),
    "less_than": ("less than", "lt"),
    "multiple_of": ("a multiple of", "multiple_of"),
}
SECTIONS: Mapping[str, type[BaseModel]] = {model.__name__: model for model in (PipelineConfig, LaunchConfig)}
"""What is checked as a whole, by the title of its errors."""
NAME_MEND = "use letters, digits, dots, dashes and underscores, and begin with a letter or a digit"


def config_error(path: str, error: ValidationError, *, within: str = "") -> ConfigError:
    """The error of a config; of several settings, all of them, a line each.

    Args:
        path: the file, or whoever says the settings.
        error: what pydantic says.
        within: dotted name of the section that they are of.
    """

    def where(field: str) -> str:
        dotted = ".".join(part for part in (within, field) if part)
        return f"{path}: {dotted}" if dotted else path

    found = settings_errors(error.errors(), where, SECTIONS.get(error.title, PipelineConfig))
    return found[0] if len(found) == 1 else Problems(found)


def settings_errors(
    errors: Sequence[ErrorDetails],
    where: Callable[[str], str],
    section: type[BaseModel] = PipelineConfig,
) -> list[ConfigError]:
    """The errors of settings, one a setting.

    Args:
        errors: what pydantic says.
        where: what a setting is called, given its dotted name.
        section: what was checked.
    """
    by_field: dict[str, list[ErrorDetails]] = {}
    for one in errors:
        if one["type"] == "too_short" and len(one["input"]) >= one["ctx"]["min_length"]:
            continue  # long enough, but that an entry is wrong, which is told
        by_field.setdefault(_field(one["loc"]), []).append(one)
    return [_wrong(where(field), of_it, section) for field, of_it in by_field.items()]


def _field(location: Sequence[int | str]) -> str:
    parts = [part for part in location if not str(part).startswith(BRANCHES)]
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts).lstrip(".")


def _wrong(where: str, errors: Sequence[ErrorDetails], section: type[BaseModel]) -> ConfigError:
    """The error of one setting; where it has alternatives, of the one that was meant."""
    value = errors[0]["input"]
    words = [one for one in errors if one["type"] == "literal_error"]
    others = [one for one in errors if one["type"] != "literal_error"]
    if words and others and isinstance(value, str):
        needed, _ = _kind(others[0]["type"])
        expected = words[0]["ctx"]["expected"]
        return ConfigError(where, f"is {_shown(value)}, where {needed}, or {expected}", "write one of them")
    return _one(where, (others or words)[0], section)


def _one(where: str, error: ErrorDetails, section: type[BaseModel]) -> ConfigError:
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    if kind == "extra_forbidden":
        return ConfigError(where, "is not a setting", _nearest(error["loc"], section))
    if kind == "missing":
        return ConfigError(where, "is required and missing", "add it")
    if kind == "value_error":
        what, _, mend = error["msg"].removeprefix("Value error, ").partition("; ")
        return ConfigError(where, what, mend or "correct it")
    if kind == "literal_error":
        return ConfigError(where, f"is {_shown(value)}", f"choose {context['expected']}")
    if kind in LIMITS:
        word, name = LIMITS[kind]
        what = f"is {_shown(value)}, and must be {word} {_number(context[name])}"
        return ConfigError(where, what, "change it")
    if kind in LENGTHS:
        return ConfigError(where, *LENGTHS[kind](context, value))
    if kind == "finite_number":
        return ConfigError(where, f"is {_shown(value)}, which is no number to reckon with", "write another")
    if kind.partition("_")[0] in KINDS:
        needed, mend = _kind(kind)
        return ConfigError(where, f"is {_shown(value)}, where {needed}", mend)
    return ConfigError(where, f"{error['msg'].lower()}, not {_shown(value)}", "correct it")


def _kind(kind: str) -> tuple[str, str]:
    return KINDS.get(kind.partition("_")[0], WHOLE)


def _too_short(context: Mapping[str, Any], value: Any) -> tuple[str, str]:
    del value
    has, least = context["actual_length"], context["min_length"]
    return f"has {_entries(has)}, and needs at least {least}", "add what is missing"


def _too_long(context: Mapping[str, Any], value: Any) -> tuple[str, str]:
    most = context["max_length"]
    return f"has {_entries(len(value))}, and may have at most {most}", "leave some out"


def _short_text(context: Mapping[str, Any], value: Any) -> tuple[str, str]:
    least = context["min_length"]
    return f"is {_shown(value)}, and needs at least {least} character{'s' * (least != 1)}", "write more"


def _long_text(context: Mapping[str, Any], value: Any) -> tuple[str, str]:
    return f"is {_shown(value)}, of {len(value)} characters", f"write at most {context['max_length']}"


def _no_name(context: Mapping[str, Any], value: Any) -> tuple[str, str]:
    if context["pattern"] == AMOUNT:
        return f"is {_shown(value)}, which is no amount", "write it as Kubernetes does: 500m, 16 or 64Gi"
    return f"is {_shown(value)}, which is no name", NAME_MEND


LENGTHS: Mapping[str, Callable[[Mapping[str, Any], Any], tuple[str, str]]] = {
    "too_short": _too_short,
    "too_long": _too_long,
    "string_too_short": _short_text,
    "string_too_long": _long_text,
    "string_pattern_mismatch": _no_name,
}
"""What is wrong and the mend, given the limits and the value, by an error's type."""


def _number(limit: float) -> str:
    return str(int(limit)) if float(limit).is_integer() else f"{limit:g}"


def _entries(count: int) -> str:
    return {0: "no entry", 1: "1 entry"}.get(count, f"{count:,} entries")


def _shown(value: Any) -> str:
    """A value as it stands in the file, near enough."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, list | tuple):
        return "a list"
    plain = repr(value) if isinstance(value, str | int | float) else str(value)
    return plain if len(plain) <= SHOWN else f"{plain[: SHOWN - 3]}..."


def _nearest(location: tuple[int | str, ...], section: type[BaseModel]) -> str:
    fields = _fields_at(location[:-1], section)
    close = difflib.get_close_matches(str(location[-1]), fields, n=1)
    return f"did you mean {close[0]}?" if close else f"remove it; known here: {', '.join(fields)}"


def _fields_at(location: tuple[int | str, ...], section: type[BaseModel]) -> list[str]:
    """The settings of a section that lies in another; names of a table, as of ``launch``, are passed over."""
    model: Any = section
    a_name_follows = False
    for part in location:
        if isinstance(part, int) or a_name_follows:
            a_name_follows = False
            continue
        annotation = model.model_fields[part].annotation
        a_name_follows = get_origin(annotation) is dict
        nested = [kind for kind in get_args(annotation) if hasattr(kind, "model_fields")]
        model = nested[0] if nested else annotation
    return list(model.model_fields)
