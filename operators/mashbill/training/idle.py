"""Fields of a recipe that are set and do nothing here: found by changing each and looking whether anything
that is derived from the recipe changes with it."""

from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel

from mashbill.config import TrainingConfig
from mashbill.errors import ConfigError
from mashbill.training.hardware import machine
from mashbill.training.numbers import numbers_of
from mashbill.training.recipe import deepspeed_config, rates

SAMPLES = 100
SETTLES = (
    "recipe",
    "batch_sequences",
    "batch_tokens",
    "learning_rate",
    "rate_schedule",
    "min_learning_rate",
    "warmup_share",
    "warmup_tokens",
    "warmup_from",
    "decay_share",
    "power",
    "weight_decay",
    "gradient_clip",
    "offload",
    "hardware",
    "rendezvous",
)
"""Fields that act through what ``derived`` gives, and in no other way."""
SWITCHES: dict[str, tuple[Any, ...]] = {
    "rate_schedule": ("cosine", "wsd", "power"),
    "recipe": ("hand", "step-law"),
    "zero_stage": (1, 2, 3),
    "nodes": (2,),
}
"""Fields that decide whether others act."""


def idle_fields(training: TrainingConfig) -> list[str]:
    """Fields that the config sets to no effect, each with what would give it one, in words."""
    return [
        f"training.{name} changes nothing here{_when(training, name)}"
        for name in _set_fields(training)
        if not _acts(training, name)
    ]


def derived(training: TrainingConfig) -> list[Any]:
    """All that a recipe gives to the training and to the dry run, as it stands."""
    found: list[Any] = []
    try:
        course = rates(training)
        found.append([course.rate_at(i * course.steps // SAMPLES) for i in range(SAMPLES)])
        found.append([course.rate_at(course.steps - 1 - i) for i in range(SAMPLES)])
        found.append({name: figure.value for name, figure in numbers_of(training).items()})
        found.append(deepspeed_config(training))
    except ConfigError as error:
        found.append(str(error))
    planned = machine(training.hardware)
    found += [planned, (training.hardware.mfu, training.hardware.price) if planned else None]
    found.append(training.rendezvous if training.nodes > 1 else None)
    return found


def _acts(training: TrainingConfig, name: str) -> bool:
    before = derived(training)
    return any(derived(_with(training, name, value)) != before for value in _others(training, name))


def _when(training: TrainingConfig, name: str) -> str:
    """The switch with which a field would act."""
    for switch, values in SWITCHES.items():
        for value in values:
            turned = training.model_copy(update={switch: value})
            if switch != name and _acts(turned, name):
                return (
                    f": it does with training.{switch} = {value!r}, and that is {getattr(training, switch)!r}"
                )
    return ""


def _set_fields(training: TrainingConfig) -> Iterator[str]:
    """Dotted names of the fields that the config sets, within those that act through the recipe."""
    for name in SETTLES:
        if name not in training.model_fields_set:
            continue
        value = getattr(training, name)
        if isinstance(value, BaseModel):
            yield from (f"{name}.{inner}" for inner in sorted(value.model_fields_set))
        elif value is not None:
            yield name


def _others(training: TrainingConfig, name: str) -> list[Any]:
    """Other values of a field."""
    outer, _, inner = name.partition(".")
    section = getattr(training, outer) if inner else training
    value = getattr(section, inner or outer)
    choices = _choices(type(section).model_fields[inner or outer].annotation)
    if choices:
        return [choice for choice in choices if choice != value]
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value * 2 + 2, None] if _may_be_none(section, inner or outer) else [value * 2 + 2]
    if isinstance(value, float):
        return [value / 2 + 1e-6]
    return [f"{value}x", None]


def _choices(annotation: Any) -> tuple[Any, ...]:
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    return tuple(choice for part in get_args(annotation) for choice in _choices(part))


def _may_be_none(section: BaseModel, name: str) -> bool:
    return type(None) in get_args(type(section).model_fields[name].annotation)


def _with(training: TrainingConfig, name: str, value: Any) -> TrainingConfig:
    outer, _, inner = name.partition(".")
    if inner:
        value = getattr(training, outer).model_copy(update={inner: value})
    return training.model_copy(update={outer: value})
