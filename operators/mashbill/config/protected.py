"""Settings that choose where things are read and written, and what is loaded: whoever may start a run may not
change them by that.

They are marked where they are declared, by their type (``Location``), so that a new path is protected as soon
as it is one. What counts is what overrides change, however they are spelt: a whole section at once, or an
item of a list.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from mashbill.config.section import PROTECTED
from mashbill.errors import ConfigError


def protected_settings(model: type[BaseModel], at: str = "") -> Iterator[str]:
    """Dotted names of the settings of a section and of those within it that are protected, in order."""
    for name, field in model.model_fields.items():
        if is_protected(field):
            yield f"{at}{name}"
        for inner in _sections(field.annotation):
            yield from protected_settings(inner, f"{at}{name}.")


def refuse_changes(
    model: type[BaseModel], before: Any, after: Any, *, allow: Collection[str], where: str
) -> None:
    """Refuse what overrides change of protected settings.

    Args:
        model: what is configured.
        before, after: raw values of a config, without and with the overrides.
        allow: dotted names of settings, or of sections, that may be changed all the same.
        where: the config's file, for the error.
    Raises:
        ConfigError: another is changed.
    """
    old, new = dict(_values(model, before)), dict(_values(model, after))
    for name in (*new, *old):
        plain = name.replace("[", ".")
        if old.get(name) != new.get(name) and not any(f"{plain}.".startswith(f"{one}.") for one in allow):
            what = "is a path or an address, which the overrides of a run may not change"
            mend = f"set it in {where}, or let the DAG's author name it in allow"
            raise ConfigError(f"overrides: {name}", what, mend)


def is_protected(field: FieldInfo) -> bool:
    """Whether a field's type, or a type within it, is marked."""
    return PROTECTED in field.metadata or _is_marked(field.annotation)


def _is_marked(annotation: Any) -> bool:
    if PROTECTED in getattr(annotation, "__metadata__", ()):
        return True
    return any(_is_marked(inner) for inner in get_args(annotation))


def _sections(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _sections(inner)


def _values(model: type[BaseModel], raw: Any, at: str = "") -> Iterator[tuple[str, Any]]:
    """What raw values say of protected settings, by name."""
    if not isinstance(raw, Mapping):
        return
    for name, field in model.model_fields.items():
        if name in raw and is_protected(field):
            yield f"{at}{name}", raw[name]
        for inner in _sections(field.annotation):
            for place, value in _items(field.annotation, raw.get(name), f"{at}{name}"):
                yield from _values(inner, value, f"{place}.")


def _items(annotation: Any, value: Any, at: str) -> Iterator[tuple[str, Any]]:
    """The sections that a value holds, by name: itself, those of a list, or those of a table, by its keys."""
    if isinstance(value, list | tuple):
        yield from ((f"{at}[{i}]", item) for i, item in enumerate(value))
    elif isinstance(value, Mapping) and _is_table(annotation):
        yield from ((f"{at}.{key}", item) for key, item in value.items())
    else:
        yield at, value


def _is_table(annotation: Any) -> bool:
    """Whether what a type describes is found by keys of the user's own."""
    return get_origin(annotation) is dict or any(map(_is_table, get_args(annotation)))
