"""Settings of a final training's recipe that have fields of their own: the Power scheduler, the hardware it
is planned for, what is offloaded, and where its metrics go."""

from typing import Any, Literal

from pydantic import Field

from mashbill.config.section import Location, Section

GpuName = Literal["a100-40gb", "a100-80gb", "h100", "h200", "gh200", "b200", "gb200", "l40s", "mi300x"]
OffloadTo = Literal["none", "cpu", "nvme"]
RateSchedule = Literal["cosine", "wsd", "power"]
DeepSpeedSettings = dict[str, Any]


class PowerConfig(Section):
    """The Power scheduler: rate = min(max_rate, batch x amplitude x tokens ^ exponent), batch in sequences
    and tokens those seen, over width / base_width."""

    amplitude: float = Field(4.0, gt=0, description="The law's a, per sequence of the batch.")
    exponent: float = Field(-0.51, gt=-2, lt=0, description="The law's b, power of the tokens seen.")
    max_rate: float = Field(0.02, gt=0, lt=1, description="Rate that the law is capped at.")
    base_width: int = Field(
        256,
        ge=1,
        description="Width of a model that the law's rate holds for; a model of another width is trained "
        "with the rate divided by width / this (muP's rule for matrices).",
    )


class HardwareConfig(Section):
    """What the dry run and the metrics count with; nothing is trained otherwise for it."""

    name: GpuName | None = Field(
        None, description="GPU that time, cost, fit and MFU are computed for; None computes none of them."
    )
    peak_tflops: float | None = Field(
        None, gt=0, description="Dense bf16 TFLOP/s of one processor; None takes the table's."
    )
    memory_gb: float | None = Field(
        None, gt=0, description="Memory of one processor in GB (10^9 bytes); None takes the table's."
    )
    mfu: float = Field(
        0.4, gt=0, le=1, description="Share of the peak that is expected to be reached (model FLOPs)."
    )
    price: float | None = Field(
        None, ge=0, description="Price of one processor for an hour, in a currency of your own."
    )


class OffloadConfig(Section):
    """What DeepSpeed keeps outside the GPU: slower, for models that do not fit otherwise."""

    optimizer: OffloadTo = Field(
        "none", description="Where AdamW's moments and master weights lie; needs ZeRO 1, 2 or 3."
    )
    parameters: OffloadTo = Field("none", description="Where weights lie between uses; needs ZeRO 3.")
    folder: Location | None = Field(None, description="Local folder of a fast disk, for nvme.")


class MlflowConfig(Section):
    """A run in MLflow."""

    uri: Location | None = Field(
        None, description="Tracking server or store; None leaves it to MLFLOW_TRACKING_URI."
    )
    experiment: str = Field("mashbill", min_length=1, description="Experiment that the run belongs to.")


class WandbConfig(Section):
    """A run in Weights & Biases."""

    project: str = Field("mashbill", min_length=1, description="Project that the run belongs to.")
    entity: str | None = Field(None, description="Team or user; None leaves it to WANDB_ENTITY.")
    mode: Literal["online", "offline"] | None = Field(
        None, description="offline writes to disk, for wandb sync; None leaves it to WANDB_MODE."
    )


class MetricsConfig(Section):
    """Where a training's metrics go besides metrics.jsonl, which is always written."""

    tensorboard: bool = Field(True, description="Whether TensorBoard's event files are written.")
    mlflow: MlflowConfig | None = Field(None, description="A run in MLflow; None makes none.")
    wandb: WandbConfig | None = Field(None, description="A run in Weights & Biases; None makes none.")
