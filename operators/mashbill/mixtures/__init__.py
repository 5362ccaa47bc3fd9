"""Mixtures: what they are, how they are planned, and how token batches follow them."""

from mashbill.mixtures.design import draw_mixtures, fill_simplex
from mashbill.mixtures.limits import epoch_ceiling, within_ceiling
from mashbill.mixtures.loader import MixtureLoader
from mashbill.mixtures.mixture import LossTable, MixtureTable
from mashbill.mixtures.schedule import Schedule, ScheduleTable

__all__ = [
    "LossTable",
    "MixtureLoader",
    "MixtureTable",
    "Schedule",
    "ScheduleTable",
    "draw_mixtures",
    "epoch_ceiling",
    "fill_simplex",
    "within_ceiling",
]
