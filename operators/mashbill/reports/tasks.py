"""The report's table of tasks: each model's means with their errors, and the differences from natural."""

from mashbill.artifacts import Part
from mashbill.evaluation.record import Evaluation, Measure, TaskResult, told_of


class TaskRow(Part):
    """One measure of one task, as it is printed.

    Attributes:
        values: of each model; differences: of each other than natural, empty where natural was not trained.
    """

    task: str
    examples: int
    shots: int
    chance: str
    measure: str
    values: tuple[str, ...]
    differences: tuple[str, ...]


def compared_models(evaluation: Evaluation) -> list[str]:
    """Models with a difference from natural."""
    return [name for name in evaluation.models if any(one.model == name for one in evaluation.differences)]


def task_rows(evaluation: Evaluation) -> list[TaskRow]:
    """A row a measure of a task."""
    models = {name: {one.task: one for one in model.tasks} for name, model in evaluation.models.items()}
    gaps = {(one.task, one.measure, one.model): one.difference for one in evaluation.differences}
    first = next(iter(models.values()), {})
    rows = []
    for task, result in first.items():
        measures = dict.fromkeys(m for tasks in models.values() for m in _measures(tasks.get(task)))
        for measure in measures:
            differences = (gaps.get((task, measure, name)) for name in compared_models(evaluation))
            row = TaskRow(
                task=task,
                examples=result.examples,
                shots=result.shots,
                chance="" if result.chance is None or "accuracy" not in measure else f"{result.chance:.3f}",
                measure=measure.replace("_", " "),
                values=tuple(_shown(_measures(tasks.get(task)).get(measure)) for tasks in models.values()),
                differences=tuple(_shown(one, "+") for one in differences),
            )
            rows.append(row)
    return rows


def task_notes(evaluation: Evaluation) -> list[str]:
    """What was cut or left out, model by model."""
    return [
        f"{name}: {words}." for name, model in evaluation.models.items() for words in told_of(model.tasks)
    ]


def _measures(result: TaskResult | None) -> dict[str, Measure]:
    return result.measures if result is not None else {}


def _shown(value: Measure | None, sign: str = "") -> str:
    if value is None:
        return ""
    error = "" if value.error is None else f" ± {value.error:.3f}"
    return f"{value.mean:{sign}.3f}{error}"
