"""A stage's own arguments as an operator's: its signature and the table in its docstring are made of them."""

import difflib
import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from airflow.sdk.definitions._internal.mixins import ResolveMixin

from mashbill.alone import ALONE, Argument, arguments_of
from mashbill.errors import ConfigError

MARKS = ("{{", "{%", "{#")


def is_template(value: Any) -> bool:
    """Whether a value, or one within it, is known only once it is rendered."""
    if isinstance(value, str):
        return any(mark in value for mark in MARKS)
    if isinstance(value, Mapping):
        return any(is_template(inner) for pair in value.items() for inner in pair)
    if isinstance(value, list | tuple | set):
        return any(is_template(inner) for inner in value)
    return isinstance(value, ResolveMixin) or hasattr(value, "render_template")


def takes_arguments(operator: type[Any]) -> None:
    """Give an operator's class its stage's arguments: they are named in its signature, so that Airflow maps
    over them and takes them from ``default_args``, and described in its docstring.

    Args:
        operator: a class whose ``stage`` may stand alone.
    """
    arguments = arguments_of(ALONE[operator.stage]).by_name
    above = operator.__init__

    def __init__(self: Any, **kwargs: Any) -> None:
        own = {name: kwargs.pop(name) for name in arguments if name in kwargs}
        _refuse_unknown(operator, [*kwargs], [*arguments])
        given = {**(kwargs.pop("arguments", None) or {}), **own}
        above(self, arguments=given, **kwargs)

    named = [p for p in inspect.signature(above).parameters.values() if p.name not in arguments]
    plain = [
        inspect.Parameter(one.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=one.kind)
        for one in arguments.values()
    ]
    rest = [p for p in named if p.kind is inspect.Parameter.VAR_KEYWORD]
    first = [p for p in named if p.kind is not inspect.Parameter.VAR_KEYWORD]
    __init__.__signature__ = inspect.Signature([*first, *plain, *rest])  # type: ignore[attr-defined]
    operator.__init__ = __init__
    operator.__doc__ = "\n".join(
        [inspect.cleandoc(operator.__doc__ or ""), "", *_described(arguments.values())]
    )


def _refuse_unknown(operator: type[Any], given: Sequence[str], own: Sequence[str]) -> None:
    """Refuse names that are neither arguments of the stage nor of any task.

    Raises:
        ConfigError: one is none.
    """
    known = {name for one in operator.mro() for name in _parameters(one)}
    for name in given:
        if name not in known and not name.startswith("_") and name != "default_args":
            close = difflib.get_close_matches(name, [*own, *known], n=1)
            mend = f"did you mean {close[0]}?" if close else "leave it out"
            raise ConfigError(f"{operator.__name__}: {name}", "is no argument", mend)


def _parameters(one: Any) -> Iterator[str]:
    return iter(inspect.signature(one.__init__).parameters)


def _described(arguments: Any) -> Iterator[str]:
    """Lines that describe arguments."""
    yield "Args:"
    for one in arguments:
        yield f"    {one.name}: {_words(one)}"
    yield from (
        "",
        "All of these are templated. XCom holds the address of the output, and numbers under ``counts``.",
    )


def _words(one: Argument) -> str:
    needed = " Required." if one.required else ""
    default = "" if one.required or one.default is None else f" Default: {one.default!r:.60}."
    return f"{one.description}{needed}{default}"
