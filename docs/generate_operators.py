"""Write docs/how-to/operators.md from the operators' classes and their arguments, so that it cannot drift
from the code."""

import inspect
import re
import textwrap
from pathlib import Path
from typing import Any, get_args, get_origin

from mashbill import operators
from mashbill.alone import ALONE, Argument, arguments_of
from mashbill.alone.arguments import EVERYWHERE, OF_SOURCES
from mashbill.operators import StageOperator
from mashbill.stages import STAGES

PAGE = Path(__file__).parent / "how-to" / "operators.md"
HEAD = Path(__file__).parent / "how-to" / "operators_head.txt"
SHARED = ("launch", *EVERYWHERE)
TABLE = ("| argument | type | default | meaning |", "|---|---|---|---|")
EXAMPLE = re.compile(r"Example:\n((?:    .*\n)+)")


def page() -> str:
    """The whole page."""
    found = [one for one in vars(operators).values() if isinstance(one, type) and one in _stages()]
    order = {stage: place for place, stage in enumerate(STAGES)}
    found.sort(key=lambda one: (order[one.stage], len(one.mro())))
    lines = [HEAD.read_text(encoding="utf-8").strip(), "", *reading(), ""]
    for operator in found:
        lines += section(operator)
    return "\n".join(lines).rstrip() + "\n"


def reading() -> list[str]:
    """The arguments that say how files are read, which are alike for all operators that read documents."""
    by_name = arguments_of(ALONE["ingest"]).by_name
    told = "These arguments of every operator that takes `documents` say how files are read."
    rows = [row(one) for one in by_name.values() if one.setting.startswith(OF_SOURCES)]
    return ["## How files are read", "", told, "", *TABLE, *rows]


def _stages() -> set[Any]:
    named = [getattr(operators, name) for name in operators.__all__]
    return {one for one in named if issubclass(one, StageOperator) and one.stage in ALONE}


def section(operator: type[StageOperator]) -> list[str]:
    """What one operator does, is given and writes."""
    stage, text = STAGES[operator.stage], inspect.cleandoc(operator.__doc__ or "")
    summary = " ".join(text.partition("Example:")[0].split())
    example = EXAMPLE.search(text + "\n")
    lines = [f"## {operator.__name__}", "", summary, ""]
    if example:
        lines += ["```python", textwrap.dedent(example.group(1)).strip(), "```", ""]
    own = arguments_of(ALONE[operator.stage]).by_name.values()
    lines += [*TABLE, *(row(one) for one in own if not _is_shared(one))]
    lines += ["", "Writes:", ""]
    lines += [f"- `{path}`: {words}" for path, words in stage.outputs.items()]
    return [*lines, ""]


def _is_shared(one: Argument) -> bool:
    return one.name in SHARED or one.setting.startswith(OF_SOURCES)


def row(one: Argument) -> str:
    """One argument, as a row of a table."""
    default = "required" if one.required else _default(one.default)
    return f"| `{one.name}` | {kind_of(one.kind)} | {default} | {one.description} |"


def kind_of(kind: Any) -> str:
    """A type in a reader's words."""
    if isinstance(kind, type) and not get_args(kind):
        names = {"str": "text", "float": "number", "int": "whole number", "bool": "true or false"}
        return names.get(kind.__name__, "mapping")
    if get_origin(kind) in {dict, tuple, list}:
        return "mapping" if get_origin(kind) is dict else "list"
    if str(get_origin(kind)) == "typing.Literal":
        return " or ".join(f"`{one}`" for one in get_args(kind))
    if hasattr(kind, "__metadata__"):
        return "path or address" if "protected" in kind.__metadata__ else kind_of(get_args(kind)[0])
    parts = [kind_of(one) for one in get_args(kind) if one is not type(None)]
    return " or ".join(dict.fromkeys(parts)) or "text"


def _default(value: Any) -> str:
    empty = value is None or value in ((), {}, "")
    return "" if empty else "see the reference" if hasattr(value, "model_dump") else f"`{value!r}`"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
