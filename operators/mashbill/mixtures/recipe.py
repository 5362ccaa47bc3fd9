"""The recipe of a final model: what it was trained on, and what the config amounted to."""

from typing import Any

from mashbill.artifacts import Part, Record, RecordOf
from mashbill.mixtures.schedule_choice import Phase


class RecipeNumber(Part):
    """A number that a training was steered by: the law, config or default that it is from, and how."""

    value: float
    source: str
    note: str = ""


class Budget(Part):
    """What a recipe amounts to, known before anything is trained.

    Attributes:
        parameters: embeddings among them.
        flops_per_token: forward and backward; training_flops: of the whole run.
        memory_per_rank_bytes: weights, gradients and optimiser by ZeRO stage, before activations.
        world_size: processes.
        steps: optimiser steps; batch_tokens: tokens of a global batch.
        gradient_accumulation: micro-batches of a process and step.
        tokens_by_domain: tokens read of each domain.
        epochs_by_domain: times each domain is read, where what there is of it is known.
    """

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


class Recipe(Budget, Record):
    """How one final model was trained, and what that amounted to.

    Attributes:
        mixture: of the whole run; phases: one after the other.
        numbers: that the training was steered by, each with its source.
        deepspeed: its settings; versions: of the packages.
        document_masking: whether documents were kept apart.
    """

    FILE = "recipe.json"
    mixture: dict[str, float]
    phases: tuple[Phase, ...]
    numbers: dict[str, RecipeNumber]
    deepspeed: dict[str, Any]
    versions: dict[str, str]
    document_masking: bool = False


class Recipes(RecordOf[dict[str, Recipe]]):
    """Recipes by the mixture's name."""

    FILE = "recipes.json"
