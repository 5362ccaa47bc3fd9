"""Settings of where work on partitions runs; they change no result, so no artifact depends on them."""

from typing import Literal

from pydantic import Field

from mashbill.config.section import HowItRuns, Location, Section


class EngineConfig(Section):
    """Where partitions are worked on."""

    runner: HowItRuns[Literal["native", "ray"]] = Field(
        "native", description="The cores of this machine, or a Ray cluster."
    )
    ray_address: HowItRuns[Location] = Field(
        "auto", description="Address of the Ray cluster's head (host:port); auto finds this machine's."
    )
    task_cpus: HowItRuns[float] = Field(1.0, gt=0, description="Cores of the cluster that one task takes.")
    task_memory_bytes: HowItRuns[int] = Field(
        0,
        ge=0,
        description="Memory of a node that one task takes, in bytes, by which Ray places tasks; 0 means that "
        "it is not counted.",
    )
    task_retries: HowItRuns[int] = Field(
        3, ge=0, description="Times that a task is run again elsewhere where its node or process is lost."
    )
