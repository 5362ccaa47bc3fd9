"""From what each example gave to means with standard errors, and to paired differences between models."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mashbill.evaluation.record import Measure, TaskDifference, TaskResult, TaskScores


@dataclass(frozen=True)
class ExampleValues:
    """What one example gave.

    Attributes:
        number: which of the task's.
        values: by measure.
        chance: that a guess is right; None where there are no choices.
        cut: whether its prompt lost its beginning; scored: whether its answers could be scored.
    """

    number: int
    values: Mapping[str, float]
    chance: float | None
    cut: bool
    scored: bool = True


def summed_up(
    task: str,
    kind: str,
    rows: Sequence[ExampleValues],
    *,
    of: int,
    shots: int,
    others: Mapping[str, float] | None = None,
) -> TaskScores:
    """Means over the examples that could be scored.

    Args:
        task, kind, of, shots: as in ``TaskResult``.
        rows: the examples; those of one number, of several ways to read an answer, are one.
        others: figures that are no means, by name.
    """
    merged: dict[int, ExampleValues] = {}
    for row in rows:
        before = merged.get(row.number)
        all_values = {**before.values, **row.values} if before else row.values
        merged[row.number] = replace(row, values=all_values)
    scored = [merged[number] for number in sorted(merged) if merged[number].scored]
    names = [
        name for name in (scored[0].values if scored else ()) if all(name in row.values for row in scored)
    ]
    values = {name: tuple(row.values[name] for row in scored) for name in names}
    chances = [row.chance for row in scored if row.chance is not None]
    result = TaskResult(
        task=task,
        kind=kind,
        examples=len(scored),
        of=of,
        shots=shots,
        chance=float(np.mean(chances)) if chances else None,
        cut=sum(row.cut for row in merged.values()),
        left_out=len(merged) - len(scored),
        measures={
            **{name: Measure(mean=value, error=None) for name, value in (others or {}).items()},
            **{name: measured(row) for name, row in values.items()},
        },
    )
    return TaskScores(result=result, examples=tuple(row.number for row in scored), values=values)


def measured(values: Sequence[float]) -> Measure:
    """The mean of [examples] values, and its standard error."""
    count = len(values)
    error = float(np.std(values, ddof=1) / math.sqrt(count)) if count > 1 else None
    return Measure(mean=float(np.mean(values)), error=error)


def differences(scores: Mapping[str, Sequence[TaskScores]], beside: str) -> Iterator[TaskDifference]:
    """What each other model is above one, task by task, over the examples that both were scored on.

    Args:
        scores: of each model's tasks.
        beside: the model that the others are put beside; where it was not measured there is no difference.
    """
    known = {one.result.task: one for one in scores.get(beside, ())}
    for model, tasks in scores.items():
        for one in tasks if model != beside else ():
            if one.result.task in known:
                yield from _paired(one, known[one.result.task], model=model, beside=beside)


def _paired(one: TaskScores, other: TaskScores, *, model: str, beside: str) -> Iterator[TaskDifference]:
    _, here, there = np.intersect1d(one.examples, other.examples, return_indices=True)
    for measure, values in one.values.items():
        if measure in other.values and len(here):
            gaps = np.asarray(values)[here] - np.asarray(other.values[measure])[there]
            yield TaskDifference(
                task=one.result.task,
                measure=measure,
                model=model,
                beside=beside,
                difference=measured(gaps.tolist()),
            )
