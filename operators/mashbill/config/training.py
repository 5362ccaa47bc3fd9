"""Settings of train: the final model, its optimisation and where it runs."""

from typing import Literal, Self

from pydantic import Field, model_validator

from mashbill.config.final_run import CheckpointsConfig, GuardConfig, WatchConfig
from mashbill.config.model import ModelShape
from mashbill.config.recipe import (
    DeepSpeedSettings,
    HardwareConfig,
    MetricsConfig,
    OffloadConfig,
    PowerConfig,
    RateSchedule,
)
from mashbill.config.section import HowItRuns, Location, Section, Share

SCHEDULED = "scheduled"
"""The name of the final model that follows a schedule, among those of mixtures."""

RANKS = frozenset({"nodes", "processes_per_node", "micro_batch_sequences"})


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
    shuffle_tokens: int | None = Field(
        None,
        ge=1,
        description="Tokens of a domain that are shuffled among one another, whole shards of them; without "
        "it all. Of shards in an object store a node then needs no more at once than two such buffers a "
        "domain.",
    )
    recipe: Literal["hand", "step-law"] = Field(
        "hand",
        description="Where learning rate and batch come from: hand is what is set here; step-law is Step "
        "Law, from parameters and tokens, for whichever of the two is left at its default.",
    )
    batch_sequences: int = Field(16, ge=1, description="Sequences in a global batch.")
    batch_tokens: int | None = Field(
        None,
        ge=1,
        description="Tokens in a global batch, instead of batch_sequences: whole sequences of them.",
    )
    micro_batch_sequences: HowItRuns[int] = Field(8, ge=1, description="Sequences a process runs at once.")
    learning_rate: float = Field(3e-3, gt=0, lt=1, description="Peak learning rate of AdamW.")
    rate_schedule: RateSchedule = Field(
        "cosine",
        description="How the learning rate goes on after warm-up: cosine to min_learning_rate; wsd stays at "
        "the peak and decays linearly to 0; power follows the Power scheduler, which gives the rate itself, "
        "and decays likewise.",
    )
    min_learning_rate: float = Field(3e-4, ge=0, lt=1, description="Learning rate at the end of the cosine.")
    warmup_share: Share = Field(0.05, description="Share of the steps spent warming up.")
    warmup_tokens: int | None = Field(
        None, ge=0, description="Tokens spent warming up, instead of warmup_share."
    )
    warmup_from: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Learning rate that warm-up starts from: in continued training the one that the earlier "
        "run ended with.",
    )
    decay_share: Share = Field(0.1, description="Share of the steps of the decay to 0, for wsd and power.")
    power: PowerConfig = Field(PowerConfig(), description="The Power scheduler's constants.")
    weight_decay: float = Field(0.1, ge=0, le=1, description="Weight decay of matrices.")
    gradient_clip: float = Field(1.0, gt=0, description="Largest norm of the gradient.")
    precision: Literal["bf16", "fp32"] = Field(
        "bf16", description="Arithmetic; master weights are fp32 in either."
    )
    z_loss: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Factor of the z-loss, the square of the logits' logarithmic normaliser (PaLM: 1e-4).",
    )
    document_masking: bool = Field(
        False,
        description="Whether documents of a sequence are kept apart: none attends to another, positions "
        "begin anew, and the first token of each is no target.",
    )
    initial: Location | None = Field(
        None,
        description="Folder or address of a Hugging Face model (Llama, Mistral, Qwen3, or one of ours) to go "
        "on from; its shape is training.model's.",
    )
    recompute_every: HowItRuns[int] = Field(
        0,
        ge=0,
        description="Of so many layers one keeps its input alone and is computed again in backward "
        "(activation checkpointing); 0 keeps all.",
    )
    compile: HowItRuns[Literal["none", "blocks", "whole"]] = Field(
        "none", description="Whether torch.compile compiles each block, or the whole model with its loss."
    )
    zero_stage: HowItRuns[Literal[0, 1, 2, 3]] = Field(1, description="DeepSpeed ZeRO stage.")
    offload: HowItRuns[OffloadConfig] = Field(OffloadConfig(), description="What lies outside the GPU.")
    deepspeed: HowItRuns[Location | DeepSpeedSettings | None] = Field(
        None,
        description="DeepSpeed settings of your own, a JSON file or a table, merged over ours; what would "
        "change the recipe is refused.",
    )
    hardware: HowItRuns[HardwareConfig] = Field(
        HardwareConfig(), description="What the run is planned and measured against."
    )
    metrics: HowItRuns[MetricsConfig] = Field(MetricsConfig(), description="Where metrics go.")
    nodes: HowItRuns[int] = Field(1, ge=1, description="Nodes of the job.")
    processes_per_node: HowItRuns[int] = Field(
        2, ge=1, description="Processes a node: one a GPU, or one a core."
    )
    accelerator: HowItRuns[Literal["auto", "cpu", "cuda"]] = Field(
        "auto", description="What the processes compute on."
    )
    checkpoint_steps: HowItRuns[int] = Field(200, ge=1, description="Steps between checkpoints.")
    checkpoints: HowItRuns[CheckpointsConfig] = Field(
        CheckpointsConfig(), description="What is kept to go on from."
    )
    guard: GuardConfig = Field(GuardConfig(), description="Which steps are not taken.")
    watch: HowItRuns[WatchConfig] = Field(WatchConfig(), description="When a process counts as hung.")
    evaluations: int = Field(
        8, ge=1, description="Times the validation loss is measured during a run, evenly spaced."
    )
    rendezvous: HowItRuns[Location | None] = Field(
        None,
        description="host:port of the first node, where the processes of several nodes meet; it keeps the "
        "store that they meet at.",
    )
    node: HowItRuns[int] = Field(
        0, ge=0, description="Which of the nodes this one is; 0 leads. mashbill join sets it."
    )
    address: HowItRuns[Location | None] = Field(
        None,
        description="Address of this node that the others reach; without it that of the interface by which "
        "this node reaches the first.",
    )
    meeting_seconds: HowItRuns[int] = Field(
        600, ge=1, description="Seconds that nodes wait for one another at the start, and when one is lost."
    )
    max_restarts: HowItRuns[int] = Field(
        2, ge=0, description="Times torchrun restarts failed workers from the last checkpoint."
    )

    @model_validator(mode="after")
    def _is_said_once(self) -> Self:
        for one, other in (("batch_tokens", "batch_sequences"), ("warmup_tokens", "warmup_share")):
            if getattr(self, one) is not None and not self.is_default(other):
                raise ValueError(f"{one} and {other} are both set; leave one of them out")
        if self.recipe == "step-law" and self.rate_schedule == "power":
            raise ValueError(
                "recipe is step-law and rate_schedule power, and both give the learning rate; change one"
            )
        return self

    def is_default(self, name: str) -> bool:
        """Whether a field is as nobody set it."""
        return bool(getattr(self, name) == type(self).model_fields[name].default)

    @property
    def rate_by_law(self) -> bool:
        """Whether Step Law gives the learning rate."""
        return self.recipe == "step-law" and self.is_default("learning_rate")

    @property
    def batch_by_law(self) -> bool:
        """Whether Step Law gives the batch."""
        return self.recipe == "step-law" and self.batch_tokens is None and self.is_default("batch_sequences")

    def settled_by(self) -> frozenset[str]:
        """A batch by law is rounded to what these divide, so that they change what is computed."""
        return RANKS if self.batch_by_law else frozenset()
