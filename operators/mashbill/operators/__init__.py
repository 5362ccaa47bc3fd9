"""Airflow operators: one a stage, thin, and task groups that put them together."""

from mashbill.operators.curation import (
    BootstrapQuality,
    DeduplicateDocuments,
    FilterDocuments,
    IngestDocuments,
    ScoreQuality,
    SelectDocuments,
    TokenizeDocuments,
)
from mashbill.operators.search import (
    ChooseMixture,
    ClimbLadder,
    FindBaselines,
    FitRegression,
    GateTraining,
    PlanMixtures,
    RefineSweep,
    ScheduleMixture,
    SweepProxies,
    ValidateMixtures,
)
from mashbill.operators.task_groups import CurationTaskGroup, MixtureTaskGroup, TrainingTaskGroup
from mashbill.operators.training import EvaluateModels, TrainModels, WriteReport

__all__ = [
    "BootstrapQuality",
    "ChooseMixture",
    "ClimbLadder",
    "CurationTaskGroup",
    "DeduplicateDocuments",
    "EvaluateModels",
    "FilterDocuments",
    "FindBaselines",
    "FitRegression",
    "GateTraining",
    "IngestDocuments",
    "MixtureTaskGroup",
    "PlanMixtures",
    "RefineSweep",
    "ScheduleMixture",
    "ScoreQuality",
    "SelectDocuments",
    "SweepProxies",
    "TokenizeDocuments",
    "TrainModels",
    "TrainingTaskGroup",
    "ValidateMixtures",
    "WriteReport",
]
