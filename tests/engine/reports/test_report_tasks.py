"""The report's table of tasks: what was measured, with its error, and what each model is above natural."""

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from mashbill.evaluation.record import Evaluation, Measure, MeasuredModel, TaskDifference, TaskResult
from mashbill.reports.report import TEMPLATES
from mashbill.reports.tasks import compared_models, task_notes, task_rows


def model(accuracy: float, *, cut: int = 0, left_out: int = 0) -> MeasuredModel:
    measures = {
        "accuracy": Measure(mean=accuracy, error=0.02),
        "bits_per_byte": Measure(mean=1.5, error=None),
    }
    result = TaskResult(
        task="quiz",
        kind="multiple_choice",
        examples=1_200,
        of=2_000,
        shots=5,
        chance=0.25,
        cut=cut,
        left_out=left_out,
        measures=measures,
    )
    return MeasuredModel(
        bits_per_byte={}, target=1.0, export_max_logit_difference=0.0, samples=(), tasks=(result,)
    )


def evaluation(**more: object) -> Evaluation:
    gap = TaskDifference(
        task="quiz",
        measure="accuracy",
        model="chosen",
        beside="natural",
        difference=Measure(mean=0.05, error=0.01),
    )
    return Evaluation(
        models={"chosen": model(0.35, cut=3), "natural": model(0.3, left_out=2)},
        predicted={},
        measured={},
        gain_predicted=0.0,
        gain_measured=None,
        schedule_gain_measured=None,
        differences=(gap,),
    ).model_copy(update=more)


def test_each_measure_is_a_row_with_errors_and_differences() -> None:
    first, second = task_rows(evaluation())
    assert (first.task, first.measure, first.examples, first.shots) == ("quiz", "accuracy", 1_200, 5)
    assert first.chance == "0.250"
    assert first.values == ("0.350 ± 0.020", "0.300 ± 0.020")
    assert first.differences == ("+0.050 ± 0.010",)
    assert (second.measure, second.chance) == ("bits per byte", "")
    assert second.values == ("1.500", "1.500")
    assert second.differences == ("",)


def test_without_natural_or_without_tasks_there_is_nothing_to_compare() -> None:
    alone = evaluation(models={"chosen": model(0.35)}, differences=())
    assert compared_models(alone) == []
    assert [row.differences for row in task_rows(alone)] == [(), ()]
    none = evaluation(models={"chosen": model(0.35).model_copy(update={"tasks": ()})}, differences=())
    assert task_rows(none) == []


def test_what_was_cut_or_left_out_is_told_by_model() -> None:
    cut, left = task_notes(evaluation())
    assert cut.startswith("chosen: quiz: 3 of 1,200 prompts are longer")
    assert left.startswith("natural: quiz: 2 examples are not scored")


def test_the_page_has_the_table() -> None:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["thousands"] = lambda value: f"{value:,.0f}"
    found = evaluation()
    page = environment.get_template("tasks.html").render(
        evaluation=found,
        task_rows=task_rows(found),
        task_notes=task_notes(found),
        compared=compared_models(found),
    )
    for words in ("0.350 ± 0.020", "+0.050 ± 0.010", "chosen − natural", "1,200", "3 of 1,200 prompts"):
        assert words in page
