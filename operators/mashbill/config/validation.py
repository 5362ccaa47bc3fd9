"""Settings of validate: the compared mixtures trained again on fresh proxies and larger models, to be ranked
by what was measured."""

from pydantic import Field

from mashbill.config.model import ModelShape
from mashbill.config.section import Section


class ValidationConfig(Section):
    """Which mixtures are trained again, how often, and at which sizes; off by default."""

    seeds: int = Field(
        0,
        ge=0,
        le=1_000,
        description="Models a mixture and size, each with a seed that no sweep had; 0 trains nothing.",
    )
    mixtures: tuple[str, ...] = Field(
        (), description="Mixtures by name; empty means the chosen one and all that stand beside it."
    )
    models: tuple[ModelShape, ...] = Field((), description="Further, larger shapes, beside the proxy's.")
    tokens: int | None = Field(
        None, ge=1_000, description="Training tokens of each proxy; None means as many as in the sweep."
    )
    model_tokens: int | None = Field(
        None, ge=1_000, description="Training tokens of each larger model; None means as many as of a proxy."
    )
