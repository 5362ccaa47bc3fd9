"""Settings of forecast: the small models whose runs say what the final one will come to."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from mashbill.config.model import ModelShape
from mashbill.config.section import Section

FEWEST_SIZES, FEWEST_BUDGETS = 3, 2
Part = Annotated[float, Field(gt=0, le=1)]


class ForecastConfig(Section):
    """The ladder under a forecast: smaller models of the final one's kind, on the chosen mixture."""

    sizes: int = Field(4, ge=0, le=20, description="Sizes of the ladder; 0 trains and forecasts nothing.")
    smallest: Part = Field(1 / 32, description="Share of the final model's blocks in the smallest.")
    largest: Part = Field(
        1 / 8,
        description="Share of the final model's blocks in the largest; others lie evenly between, by ratio.",
    )
    shapes: tuple[ModelShape, ...] = Field(
        (), description="Shapes, in place of those that sizes, smallest and largest come to."
    )
    budgets: tuple[Part, ...] = Field(
        (1 / 16, 1 / 8, 1 / 4),
        description="Training tokens of each size, as shares of the final model's; at least two.",
    )
    seeds: int = Field(
        1,
        ge=1,
        le=100,
        description="Runs of each size and budget; of small models two seeds may differ by 1%.",
    )
    evaluations: int = Field(
        10,
        ge=1,
        le=1_000,
        description="Times a run's loss is measured, evenly spaced: for the curve and its band.",
    )
    coverage: float = Field(0.9, gt=0, lt=1, description="Coverage of the interval and of the band.")

    @model_validator(mode="after")
    def _enough_to_learn_from(self) -> Self:
        sizes = len(self.shapes) or self.sizes
        if sizes and sizes < FEWEST_SIZES:
            raise ValueError(
                f"{sizes} sizes say nothing of a larger one; give at least {FEWEST_SIZES}, or sizes = 0"
            )
        if self.smallest > self.largest:
            raise ValueError(f"smallest {self.smallest:g} is above largest {self.largest:g}; swap them")
        if len(set(self.budgets)) != len(self.budgets):
            raise ValueError(f"budgets {self.budgets} name one twice; leave it out and raise seeds")
        if sizes and len(self.budgets) < FEWEST_BUDGETS:
            raise ValueError("one budget tells size and tokens apart nowhere; give at least two budgets")
        return self
