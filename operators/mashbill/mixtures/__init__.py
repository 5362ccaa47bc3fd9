"""Mixtures: what they are, how they are planned, how token batches follow them, and the records of their
search."""

from mashbill.mixtures.baselines import BaselineMixtures
from mashbill.mixtures.batches import Batches
from mashbill.mixtures.choice import Choice, Decision, PredictedMixture, Prediction, Sensitivity
from mashbill.mixtures.design import draw_mixtures
from mashbill.mixtures.forecast import Forecast
from mashbill.mixtures.limits import epoch_ceiling, within_ceiling
from mashbill.mixtures.loader import MixtureLoader
from mashbill.mixtures.mixture import LossTable, MixtureTable
from mashbill.mixtures.plan import MixturePlan
from mashbill.mixtures.recipe import Budget, Recipe, RecipeNumber, Recipes
from mashbill.mixtures.rounds import Round, Rounds
from mashbill.mixtures.schedule import Schedule, ScheduleTable
from mashbill.mixtures.schedule_choice import ScheduleChoice
from mashbill.mixtures.sweep_runs import SweepRuns
from mashbill.mixtures.trajectory_table import TrajectoryTable
from mashbill.mixtures.validation import Validation

__all__ = [
    "BaselineMixtures",
    "Batches",
    "Budget",
    "Choice",
    "Decision",
    "Forecast",
    "LossTable",
    "MixtureLoader",
    "MixturePlan",
    "MixtureTable",
    "PredictedMixture",
    "Prediction",
    "Recipe",
    "RecipeNumber",
    "Recipes",
    "Round",
    "Rounds",
    "Schedule",
    "ScheduleChoice",
    "ScheduleTable",
    "Sensitivity",
    "SweepRuns",
    "TrajectoryTable",
    "Validation",
    "draw_mixtures",
    "epoch_ceiling",
    "within_ceiling",
]
