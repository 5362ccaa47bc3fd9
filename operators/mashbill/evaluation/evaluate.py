"""The evaluate stage: each final model measured on texts and on tasks, a part a model; collected beside what
was predicted."""

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mashbill.artifacts import Artifact, Counts, StageRun
from mashbill.config import PipelineConfig
from mashbill.config.training import SCHEDULED
from mashbill.evaluation.asking import Asked, ask, figures
from mashbill.evaluation.check import tasks_folder
from mashbill.evaluation.model import bits_by_set, load_exported, logit_difference, write_samples
from mashbill.evaluation.record import Evaluation, MeasuredModel, TaskScores, told_of
from mashbill.evaluation.scores import differences
from mashbill.mixtures import Choice, Recipes, ScheduleChoice
from mashbill.mixtures.choice import CHOSEN, NATURAL
from mashbill.models.huggingface import MODELS
from mashbill.tokens import TokenStore

log = logging.getLogger(__name__)
SCORES = "scores"
"""Folder of a part with the scores of each task."""
EXAMPLES = "examples.parquet"
OUTPUTS = {
    Evaluation.FILE: "bits per byte, predicted and measured; tasks with errors; generated samples",
    EXAMPLES: "of each model and task the values of every example, where tasks are asked",
}


def evaluate_parts(config: PipelineConfig, inputs: Mapping[str, Artifact]) -> list[str]:
    """Names of the models, which are those of their mixtures."""
    del config
    names = inputs["train"].names(MODELS)
    return sorted({name.removeprefix(f"{MODELS}/").partition("/")[0] for name in names})


def measure_model(run: StageRun) -> Counts:
    """Measure one final model.

    Raises:
        RunError: transformers computes other logits from an export than we do.
    """
    name, settings = str(run.part), run.config.evaluation
    folder, store = run.inputs["train"].folder(f"{MODELS}/{name}"), TokenStore(run.inputs["tokenize"])
    run.progress(0.0, "measuring bits per byte")
    bits = bits_by_set(folder, store, settings, apart=_read_apart(run.inputs["train"], name))
    theirs, tokenizer = load_exported(folder)
    difference = logit_difference(folder, theirs, store.validation(store.set_names[0]).tokens)
    samples = write_samples(theirs, tokenizer, settings.prompts, count=settings.generate_tokens)
    asked = Asked.of(settings, tasks_folder(run.config), run.config.seed)
    processes = len(evaluate_parts(run.config, run.inputs))
    scores = ask(folder, asked, run.scratch / SCORES, progress=run.progress, processes=processes)
    for words in told_of([one.result for one in scores]):
        log.warning("evaluate, %s: %s", name, words)
    for number, one in enumerate(scores):
        place = run.output / SCORES / f"{number:04}"
        place.mkdir(parents=True)
        one.write(place)
    MeasuredModel(
        bits_per_byte=bits,
        target=sum(weight * bits[held] for held, weight in run.config.target.items()),
        export_max_logit_difference=difference,
        samples=samples,
        tasks=tuple(one.result for one in scores),
    ).write(run.output)
    return {"tasks": len(scores), "examples": sum(one.result.examples for one in scores)}


def evaluate(run: StageRun) -> Counts:
    """Set the measured target of every final model beside the predicted, and its tasks beside natural's."""
    choice = Choice.read(run.inputs["mix"])
    models = {name: MeasuredModel.read(part) for name, part in run.parts.items()}
    scores = {name: list(_scores(part)) for name, part in run.parts.items()}
    measured = {name: model.target for name, model in models.items()}
    predicted = {name: prediction.loss for name, prediction in choice.predictions.items()}
    if SCHEDULED in measured:
        followed = ScheduleChoice.read(run.inputs["schedule"]).predicted
        predicted[SCHEDULED] = followed.loss if followed else predicted[CHOSEN]
    gain = _gain(measured, CHOSEN, NATURAL)
    Evaluation(
        models=models,
        predicted=predicted,
        measured=measured,
        gain_predicted=choice.gain,
        gain_measured=gain,
        schedule_gain_measured=_gain(measured, SCHEDULED, CHOSEN),
        differences=tuple(differences(scores, NATURAL)),
    ).write(run.output)
    _write_examples(scores, run.output / EXAMPLES)
    bits = {f"bits_per_byte_{name}": round(value, 4) for name, value in measured.items()}
    return {**bits, "gain_measured": gain, **figures(scores)}


def _read_apart(trained: Artifact, name: str) -> bool:
    """Whether a model read documents apart when it was trained."""
    recipes = Recipes.read(trained).root if trained.has(Recipes.FILE) else {}
    return name in recipes and recipes[name].document_masking


def _gain(measured: Mapping[str, float], of: str, over: str) -> float | None:
    """What one model's target loss is below another's; None where either was not trained."""
    return measured[over] - measured[of] if of in measured and over in measured else None


def _scores(part: Artifact) -> Iterator[TaskScores]:
    for name in sorted(part.names(SCORES)):
        yield TaskScores.read(part.file(name).parent)


def _write_examples(scores: Mapping[str, list[TaskScores]], path: Path) -> None:
    """A row an example of a task, of a model: model, task, example, measure, value."""
    rows: list[dict[str, Any]] = [
        {"model": model, "task": one.result.task, "example": example, "measure": measure, "value": value}
        for model, tasks in scores.items()
        for one in tasks
        for measure, values in one.values.items()
        for example, value in zip(one.examples, values, strict=True)
    ]
    if rows:
        pq.write_table(pa.Table.from_pylist(rows), path, compression="zstd")
