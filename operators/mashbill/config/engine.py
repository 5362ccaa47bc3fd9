"""Settings of where work on partitions runs; they change no result, so no artifact depends on them."""

from typing import Literal

from pydantic import Field

from mashbill.config.section import Location, Section


class EngineConfig(Section):
    """Where partitions are worked on."""

    runner: Literal["native", "ray"] = Field(
        "native", description="The cores of this machine, or a Ray cluster."
    )
    ray_address: Location = Field(
        "auto", description="Address of the Ray cluster's head (host:port); auto finds this machine's."
    )
