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
