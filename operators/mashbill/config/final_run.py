"""Settings of how a final training survives: its checkpoints, the guard over its steps, the watch over its
processes."""

from pydantic import Field

from mashbill.config.section import HowItRuns, Section


class CheckpointsConfig(Section):
    """What is kept of a training while it runs, to go on from."""

    keep: HowItRuns[int] = Field(2, ge=1, description="Last checkpoints that are kept.")
    milestone_steps: HowItRuns[int] = Field(
        0,
        ge=0,
        description="Steps between checkpoints that are kept to the end, and then as Hugging Face folders "
        "beside the model; 0 keeps none.",
    )
    retries: HowItRuns[int] = Field(
        3, ge=0, description="Times that a save is tried again, with growing pauses, before it has failed."
    )
    failures: HowItRuns[int] = Field(
        3, ge=1, description="Saves that may fail one after the other before training stops."
    )


class GuardConfig(Section):
    """Which steps are not taken, and when training goes back."""

    deviations: float = Field(
        6.0,
        gt=0,
        description="Standard deviations above the mean of the window from which a step's loss or gradient "
        "norm is a spike: the step is skipped (OLMo-core's rule).",
    )
    window: int = Field(128, ge=8, description="Steps that spikes are judged by.")
    rollback_after: int = Field(
        5,
        ge=1,
        description="Steps skipped one after the other after which training goes back to its last "
        "checkpoint and leaves the text since then out.",
    )
    rollbacks: int = Field(5, ge=0, description="Times that training goes back before it stops.")


class WatchConfig(Section):
    """When a process of a training counts as hung."""

    hang_seconds: HowItRuns[float] = Field(
        600.0, gt=0, description="Seconds without a step after which a training counts as hung and is ended."
    )
