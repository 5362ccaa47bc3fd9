"""A stage alone: what it is given in place of artifacts, and which settings are its arguments.

A setting is named once, in its section of the config; a row says no more than whose settings are arguments,
and what they are called where two would have one name.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

Weights = dict[str, float]
Places = str | list[Any] | dict[str, Any]


@dataclass(frozen=True, eq=False)
class Input:
    """What is given in place of an artifact.

    Attributes:
        name: of the argument.
        kind: its type, as it is given.
        description: what it is.
        required: whether the stage can do nothing without it.
    """

    name: str
    kind: Any
    description: str
    required: bool = True


@dataclass(frozen=True, eq=False)
class Row:
    """What a stage is given where it stands alone.

    Attributes:
        stage: its name.
        inputs: what is given in place of artifacts.
        make: ``module:function`` that makes the input artifacts of what is given.
        sections: of the config, whose settings are arguments by their own names.
        settings: argument by argument, dotted settings of other sections, or of these under another name.
        without: dotted settings of the sections that are no arguments, as an input stands for them.
        example: arguments of a whole call, by name, as they stand in a DAG.
    """

    stage: str
    inputs: tuple[Input, ...]
    make: str
    sections: tuple[str, ...] = ()
    settings: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    without: frozenset[str] = frozenset()
    example: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
