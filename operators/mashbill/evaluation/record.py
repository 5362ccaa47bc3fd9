"""What was measured of the final models, beside what was predicted."""

from collections.abc import Sequence

from mashbill.artifacts import Part, Record


class Sample(Part):
    """A prompt, and what a model wrote after it."""

    prompt: str
    text: str


class Measure(Part):
    """A mean over examples, and its standard error; None where it has none."""

    mean: float
    error: float | None


class TaskResult(Part):
    """How a model did on one task.

    Attributes:
        task: its name; kind: what the harness calls it (multiple_choice, loglikelihood, ...).
        examples: that were scored; of: examples of the task; shots: answered ones before each question.
        chance: accuracy of guessing among the choices; None where there are none.
        cut: examples whose prompt was longer than the model's context and lost its beginning; left_out:
            examples that were not scored, as an answer alone is longer than the context or has no token.
        measures: accuracy and bits per byte of the right answer among them, by name.
    """

    task: str
    kind: str
    examples: int
    of: int
    shots: int
    chance: float | None
    cut: int
    left_out: int
    measures: dict[str, Measure]


def told_of(results: Sequence[TaskResult]) -> list[str]:
    """What was cut or left out, a line a task."""
    lines = []
    for result in results:
        if result.cut:
            lines.append(
                f"{result.task}: {result.cut:,} of {result.examples + result.left_out:,} prompts are longer "
                "than the model's context and lost their beginning"
            )
        if result.left_out:
            lines.append(
                f"{result.task}: {result.left_out:,} examples are not scored, as an answer alone is longer "
                "than the model's context or has no token of its own"
            )
    return lines


class TaskScores(Record):
    """A task's result with its values, example by example.

    Attributes:
        result: the means.
        examples: [examples] which of the task's, ascending.
        values: [examples] each, by measure.
    """

    FILE = "scores.json"
    result: TaskResult
    examples: tuple[int, ...]
    values: dict[str, tuple[float, ...]]


class TaskDifference(Part):
    """What a model is above another on the same examples of a task, in one measure: negative where lower.

    Attributes:
        task, measure: by name; model, beside: mixtures; difference: the mean over examples that both have.
    """

    task: str
    measure: str
    model: str
    beside: str
    difference: Measure


class MeasuredModel(Record):
    """One final model.

    Attributes:
        bits_per_byte: by set; target: of the weighted target.
        export_max_logit_difference: between transformers' logits of the export and ours.
        samples: what it writes.
        tasks: how it did on each.
    """

    FILE = "measured.json"
    bits_per_byte: dict[str, float]
    target: float
    export_max_logit_difference: float
    samples: tuple[Sample, ...]
    tasks: tuple[TaskResult, ...] = ()


class Evaluation(Record):
    """The final models by their mixture's name.

    Attributes:
        models: what was measured of each.
        predicted, measured: target losses by mixture.
        gain_predicted: of the choice over natural; gain_measured: the same on the final models, where both
            were trained; schedule_gain_measured: of the schedule over the choice.
        differences: of the other models from natural's, task by task, where it was trained.
    """

    FILE = "evaluation.json"
    models: dict[str, MeasuredModel]
    predicted: dict[str, float]
    measured: dict[str, float]
    gain_predicted: float
    gain_measured: float | None
    schedule_gain_measured: float | None
    differences: tuple[TaskDifference, ...] = ()
