"""Operators of training: from a mixture to final models and a report."""

from mashbill.operators.base import StageOperator


class ForecastLoss(StageOperator):
    """Forecast the final model's loss from smaller ones on the chosen mixture; sizes that are missing are run
    first.

    Example:
        ForecastLoss(
            task_id="forecast",
            tokens="s3://lake/shards",
            mixture="{{ ti.xcom_pull('mix') }}",
            target={"papers": 1.0},
            training={"model": {"preset": "tinyllama-1.1b"}, "tokens": 25_000_000_000},
            output="s3://lake/forecast",
        )
    """

    stage = "forecast"


class TrainModels(StageOperator):
    """Train the final models with DeepSpeed; parts that are missing are run first.

    Example:
        TrainModels(
            task_id="train",
            tokens="s3://lake/shards",
            mixture="{{ ti.xcom_pull('mix') }}",
            mixtures=["chosen", "natural"],
            model="tinyllama-1.1b",
            training_tokens=25_000_000_000,
            output="s3://lake/models",
        )
    """

    stage = "train"


class TrainModel(TrainModels):
    """Train one final model with DeepSpeed, on a mixture that is chosen or given.

    Example:
        TrainModel(
            task_id="train",
            tokens="s3://lake/shards",
            mixture="{{ ti.xcom_pull('mix') }}",
            model="tinyllama-1.1b",
            training_tokens=25_000_000_000,
            launch={"backend": "jobset", "nodes": 8, "gpus": 8, "image": "registry.example/mashbill:0.2"},
            output="s3://lake/model",
        )
    """


class EvaluateModels(StageOperator):
    """Measure the final models on texts and tasks; parts that are missing are run first.

    Example:
        EvaluateModels(
            task_id="evaluate",
            tokens="s3://lake/shards",
            models="{{ ti.xcom_pull('train') }}",
            tasks=["arc_easy"],
            tasks_path="s3://lake/tasks",
            output="s3://lake/evaluation",
        )
    """

    stage = "evaluate"


class WriteReport(StageOperator):
    """Write one HTML page about the whole run; it says which results there are none of.

    Example:
        WriteReport(
            task_id="report",
            results=["{{ ti.xcom_pull('evaluate') }}", "{{ ti.xcom_pull('forecast') }}"],
            output="s3://lake/report",
        )
    """

    stage = "report"
