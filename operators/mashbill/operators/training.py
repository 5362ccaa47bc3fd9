"""Operators of training: from a mixture to final models and a report."""

from mashbill.operators.base import StageOperator


class ForecastLoss(StageOperator):
    """Forecast the final model's loss from smaller ones on the chosen mixture; sizes that are missing are run
    first."""

    stage = "forecast"


class TrainModels(StageOperator):
    """Train the final models with DeepSpeed; parts that are missing are run first."""

    stage = "train"


class EvaluateModels(StageOperator):
    """Measure the final models on texts and tasks; parts that are missing are run first."""

    stage = "evaluate"


class WriteReport(StageOperator):
    """Write one HTML page about the whole run."""

    stage = "report"
