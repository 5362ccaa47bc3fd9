"""The choice of a schedule: a mixture for each phase, and whether order is worth more than its noise."""

from pathlib import Path
from typing import Self

from pydantic import Field

from mashbill.artifacts import Part, Record
from mashbill.mixtures.choice import Prediction
from mashbill.mixtures.outlier import OutlierLoss
from mashbill.mixtures.schedule import Schedule

TABLE = "schedule.csv"


class Phase(Part):
    """A share of a run and its mixture."""

    share: float
    mixture: dict[str, float]


class Error(Part):
    """How well the final target loss of unseen runs is predicted, out of fold."""

    spearman: float
    mae: float
    rmse: float


class TrajectoryCrossValidation(Part):
    """The regression over trajectories beside one that sees the mean mixture only."""

    runs: int
    trajectories: Error
    static: Error


class ScheduleChoice(Record):
    """A schedule for the final run.

    Attributes:
        phases: how many were asked for; with 1 only ``schedule``, ``mean``, ``taken`` and ``reason`` are
            there.
        schedule: what is followed, taken or not; mean: its mixture over the whole run.
        candidate: the best schedule that was found; constant: the best single mixture by the same regression.
        predicted, predicted_constant: target losses of what is followed and of the constant.
        gain: predicted gain of the candidate; noise: of that gain; above_noise: whether it is.
        order_counts: whether seeing the order predicts unseen runs better.
        taken: whether the candidate is followed.
        cross_validation: with order and without.
        reason: a sentence.
        outliers: losses for which runs were left out.
    """

    FILE = "schedule.json"
    phases: int
    schedule: tuple[Phase, ...]
    mean: dict[str, float]
    candidate: tuple[Phase, ...] = ()
    constant: dict[str, float] = Field(default_factory=dict)
    predicted: Prediction | None = None
    predicted_constant: Prediction | None = None
    gain: float | None = None
    noise: float | None = None
    above_noise: bool | None = None
    order_counts: bool | None = None
    taken: bool
    cross_validation: TrajectoryCrossValidation | None = None
    reason: str
    outliers: tuple[OutlierLoss, ...] = ()

    @classmethod
    def stays(cls, mixture: dict[str, float], reason: str) -> Self:
        """One mixture for the whole run."""
        schedule = Schedule.constant(mixture)
        return cls(phases=1, schedule=phases_of(schedule), mean=schedule.mean, taken=False, reason=reason)

    @property
    def followed(self) -> Schedule:
        """The schedule of the final run; of one phase where a mixture is as good."""
        return Schedule.from_json([phase.model_dump() for phase in self.schedule])

    def write(self, folder: Path) -> None:
        """Write the record, and the schedule that is followed as a table beside it."""
        super().write(folder)
        self.followed.table().write(folder / TABLE)


def phases_of(schedule: Schedule) -> tuple[Phase, ...]:
    """A schedule's phases as parts of a record."""
    return tuple(Phase(**phase) for phase in schedule.as_json())
