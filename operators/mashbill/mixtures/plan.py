"""A sweep's plan: the mixtures to try, the natural one, and how each is spread over phases."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from mashbill.artifacts import Place, file_in, has_file
from mashbill.mixtures.mixture import MixtureTable
from mashbill.mixtures.schedule import ScheduleTable
from mashbill.mixtures.sweep_runs import MIXTURES

NATURAL_MIXTURE, SCHEDULES = "natural.csv", "schedules.csv"


@dataclass(frozen=True)
class MixturePlan:
    """What a sweep trains.

    Attributes:
        mixtures: to try, one a proxy; where phases differ, the mean of each run.
        natural: [domains] natural proportions.
        schedules: how each mixture is spread over several phases; None with one phase.
    """

    mixtures: MixtureTable
    natural: np.ndarray
    schedules: ScheduleTable | None = None

    @property
    def domains(self) -> tuple[str, ...]:
        """Names of the domains."""
        return self.mixtures.domains

    @property
    def trained(self) -> ScheduleTable:
        """What each proxy follows; mixtures are schedules of one phase."""
        return self.schedules if self.schedules is not None else ScheduleTable.of(self.mixtures)

    def write(self, folder: Path) -> None:
        """Write the tables."""
        self.mixtures.write(folder / MIXTURES)
        MixtureTable(np.arange(1), self.domains, self.natural[None]).write(folder / NATURAL_MIXTURE)
        if self.schedules is not None:
            self.schedules.write(folder / SCHEDULES)

    @classmethod
    def read(cls, place: Place) -> Self:
        """The plan that an artifact or a folder holds.

        Raises:
            DataError: a table is missing or wrong.
        """
        natural = MixtureTable.read(file_in(place, NATURAL_MIXTURE))
        schedules = ScheduleTable.read(file_in(place, SCHEDULES)) if has_file(place, SCHEDULES) else None
        return cls(MixtureTable.read(file_in(place, MIXTURES)), natural.weights[0], schedules)
