"""The recipe of a final model: what it was trained on, and what the config amounted to."""

from typing import Any

from mashbill.artifacts import Part, Record, RecordOf
from mashbill.mixtures.schedule_choice import Phase


class RecipeNumber(Part):
    """A number that a training was steered by: the law, config or default that it is from, and how."""

    value: float
    source: str
    note: str = ""


class Recipe(Record):
    """How one final model was trained.

    Attributes:
        parameters: embeddings among them.
        flops_per_token: forward and backward; training_flops: of the whole run.
        memory_per_rank_bytes: weights, gradients and optimiser by ZeRO stage, before activations.
        world_size: processes; gradient_accumulation: micro-batches of each a step.
        steps: optimiser steps of batch_tokens tokens.
        tokens_by_domain, epochs_by_domain: what is read of each domain.
        mixture: of the whole run; phases: one after the other.
        numbers: that the training was steered by, each with its source.
        deepspeed: its settings; versions: of the packages.
    """

    FILE = "recipe.json"
    parameters: int
    flops_per_token: float
    training_flops: float
    memory_per_rank_bytes: dict[str, int]
    world_size: int
    steps: int
    batch_tokens: int
    gradient_accumulation: int
    tokens_by_domain: dict[str, int]
    epochs_by_domain: dict[str, float]
    mixture: dict[str, float]
    phases: tuple[Phase, ...]
    numbers: dict[str, RecipeNumber]
    deepspeed: dict[str, Any]
    versions: dict[str, str]


class Recipes(RecordOf[dict[str, Recipe]]):
    """Recipes by the mixture's name."""

    FILE = "recipes.json"
