"""Settings of train and evaluate: the final model, its optimisation and where it runs."""

from typing import Literal

from pydantic import Field

from mashbill.config.model import ModelShape
from mashbill.config.section import HowItRuns, Location, Section, Share

SCHEDULED = "scheduled"
"""The name of the final model that follows a schedule, among those of mixtures."""


class TrainingConfig(Section):
    """The final model under DeepSpeed and torchrun."""

    model: ModelShape = Field(ModelShape(), description="Shape of the final model.")
    mixtures: tuple[str, ...] = Field(
        ("chosen",),
        min_length=1,
        description="Mixtures trained with the same budget; others than chosen set prediction against fact.",
    )
    tokens: int = Field(3_000_000, ge=1_000, description="Training tokens of each final model.")
    max_epochs: float = Field(
        4.0, gt=0, le=1_000, description="Times a domain's training text may be repeated."
    )
    batch_sequences: int = Field(16, ge=1, description="Sequences in a global batch.")
    micro_batch_sequences: HowItRuns[int] = Field(8, ge=1, description="Sequences a process runs at once.")
    learning_rate: float = Field(3e-3, gt=0, lt=1, description="Peak learning rate of AdamW.")
    min_learning_rate: float = Field(3e-4, ge=0, lt=1, description="Learning rate at the end of the cosine.")
    warmup_share: Share = Field(0.05, description="Share of the steps spent warming up.")
    weight_decay: float = Field(0.1, ge=0, le=1, description="Weight decay of matrices.")
    gradient_clip: float = Field(1.0, gt=0, description="Largest norm of the gradient.")
    precision: Literal["bf16", "fp32"] = Field(
        "bf16", description="Arithmetic; master weights are fp32 in either."
    )
    zero_stage: HowItRuns[Literal[0, 1, 2, 3]] = Field(1, description="DeepSpeed ZeRO stage.")
    nodes: HowItRuns[int] = Field(1, ge=1, description="Nodes of the job.")
    processes_per_node: HowItRuns[int] = Field(
        2, ge=1, description="Processes a node: one a GPU, or one a core."
    )
    accelerator: HowItRuns[Literal["auto", "cpu", "cuda"]] = Field(
        "auto", description="What the processes compute on."
    )
    checkpoint_steps: HowItRuns[int] = Field(200, ge=1, description="Steps between checkpoints.")
    evaluations: int = Field(
        8, ge=1, description="Times the validation loss is measured during a run, evenly spaced."
    )
    rendezvous: HowItRuns[Location | None] = Field(
        None, description="host:port of torchrun's rendezvous for several nodes."
    )
    max_restarts: HowItRuns[int] = Field(
        2, ge=0, description="Times torchrun restarts failed workers from the last checkpoint."
    )


class EvaluationConfig(Section):
    """How the final models are measured."""

    generate_tokens: int = Field(
        48, ge=0, le=2_048, description="Tokens generated from each prompt for the report."
    )
    prompts: tuple[str, ...] = Field(
        ("The",), description="Beginnings that the exported models continue in the report."
    )
