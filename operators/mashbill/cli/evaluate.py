"""``mashbill evaluate``: tasks and bits per byte for any exported model, also while its training goes on."""

import hashlib
import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path

from pydantic import BaseModel, ConfigDict
from rich.console import Console
from rich.table import Table

from mashbill.artifacts import Artifact
from mashbill.cli.answers import say, warn
from mashbill.cli.progress import Shown
from mashbill.config import PipelineConfig, load_config, parse_overrides
from mashbill.errors import ConfigError, MashbillError
from mashbill.evaluation.asking import Asked
from mashbill.evaluation.check import tasks_folder
from mashbill.evaluation.record import Measure, TaskDifference, TaskResult, told_of
from mashbill.stages import job_of, stages_up_to
from mashbill.storage import scratch_of

KEPT, EXPORTS = "evaluated", "exports"


class Measured(BaseModel):
    """What is said of one model."""

    model_config = ConfigDict(frozen=True)
    model: str
    bits_per_byte: dict[str, float]
    tasks: tuple[TaskResult, ...]


class Answer(BaseModel):
    """What is said of all; differences are from the first."""

    model_config = ConfigDict(frozen=True)
    models: tuple[Measured, ...]
    differences: tuple[TaskDifference, ...]


def print_evaluation(
    folders: Sequence[Path], path: Path, assignments: list[str], *, tasks: list[str], as_json: bool
) -> None:
    """Measure models, and print a table or JSON.

    Args:
        folders: Hugging Face folders, or scratch folders of trainings under way.
        path: of the config; assignments: of settings, over it.
        tasks: in place of the config's.
        as_json: print JSON.
    Raises:
        ConfigError: nothing is asked, or a model stands twice.
        DataError: a folder is no model.
    """
    from mashbill.evaluation.scores import differences
    from mashbill.evaluation.side_by_side import ask_each

    overrides = parse_overrides(assignments) | ({"evaluation.tasks": tasks} if tasks else {})
    config = load_config(path, overrides)
    asked = Asked.of(config.evaluation, tasks_folder(config), config.seed)
    names = _names(folders)
    kept = scratch_of(config) / KEPT
    models = {name: _exported(folder, kept) for name, folder in zip(names, folders, strict=True)}
    store = _tokens(config)
    if not config.evaluation.tasks and store is None:
        what = "is empty, and nothing is tokenized to measure bits per byte on"
        raise ConfigError("evaluation.tasks", what, "name some, or give --tasks")
    places = {name: kept / _key(folder, asked) for name, folder in models.items()}
    console = Console(file=sys.stderr)  # by its name: the harness is silenced where it writes
    with Shown(console) as shown:
        works = {name: shown.work(name) for name in models}
        scores = ask_each(
            models,
            places,
            asked,
            told=lambda name, share, words: works[name](share, words),
        )
    bits = {name: _bits(folder, store, config) for name, folder in models.items()}
    results = {name: tuple(one.result for one in scores[name]) for name in models}
    for name in models:
        warn(*(f"{name}: {words}" for words in told_of(results[name])))
    answer = Answer(
        models=tuple(Measured(model=n, bits_per_byte=bits[n], tasks=results[n]) for n in models),
        differences=tuple(differences(scores, names[0])),
    )
    say(as_json, answer, *_tables(answer))


def _names(folders: Sequence[Path]) -> list[str]:
    """A name for each model: its folder's, or its path where two have one."""
    short = [folder.resolve().name for folder in folders]
    names = short if len(set(short)) == len(short) else [str(folder) for folder in folders]
    twice = [name for i, name in enumerate(names) if name in names[:i]]
    if twice:
        raise ConfigError(twice[0], "is given twice", "give each model once")
    return names


def _exported(folder: Path, kept: Path) -> Path:
    """A Hugging Face folder: the one that is given, or one made of a training's last checkpoint."""
    from mashbill.models.folder import look_at_model
    from mashbill.models.huggingface import is_saved
    from mashbill.training.export import export_checkpoint, last_step, training_of

    training = training_of(folder)
    if training is None:
        look_at_model(folder)
        return folder
    name = hashlib.sha256(str(training.resolve()).encode()).hexdigest()[:12]
    place = kept / EXPORTS / f"{name}-step{last_step(training)}"
    for other in (kept / EXPORTS).glob(f"{name}-step*"):
        if other != place:
            shutil.rmtree(other, ignore_errors=True)
    if not is_saved(place):
        with redirect_stdout(sys.stderr):  # DeepSpeed speaks where it finds the output when it is imported
            step = export_checkpoint(training, place)
        warn(f"{folder}: is measured after step {step:,}")
    return place


def _key(folder: Path, asked: Asked) -> str:
    """What the scores of a model hang on, so that those of an earlier call are found again."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    model = [[path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in files]
    drawn = [asked.settings.task_examples, asked.settings.task_shots, asked.seed]
    content = json.dumps([str(folder.resolve()), model, drawn])
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def _tokens(config: PipelineConfig) -> Artifact | None:
    """The token shards of the config, where they are made."""
    done: dict[str, Artifact] = {}
    try:
        for stage in stages_up_to("tokenize"):
            found = job_of(stage, config, done).find()
            if found is None:
                return None
            done[stage.name] = found
    except MashbillError as error:
        warn(f"bits per byte by domain are not measured: {error}")
        return None
    return done["tokenize"]


def _bits(folder: Path, tokens: Artifact | None, config: PipelineConfig) -> dict[str, float]:
    """Bits per byte by set, of a model that reads by the shards' tokenizer."""
    from mashbill.evaluation.model import bits_by_set
    from mashbill.tokens import TokenStore

    if tokens is None:
        return {}
    store = TokenStore(tokens)
    if store.tokenizer_path.read_bytes() != (folder / store.tokenizer_path.name).read_bytes():
        warn(f"{folder}: has another tokenizer than the config's, so bits per byte are not measured")
        return {}
    return bits_by_set(folder, store, config.evaluation)


def _tables(answer: Answer) -> list[Table]:
    """A table of tasks and one of sets, a column a model."""
    names = [one.model for one in answer.models]
    tables = []
    if answer.models[0].tasks:
        heads = [*names, *(f"{name} - {names[0]}" for name in names[1:])]
        table = Table("task", "examples", "chance", "measure", *heads)
        for results in zip(*(one.tasks for one in answer.models), strict=True):
            for measure in results[0].measures:
                table.add_row(*_row(results, measure, answer.differences, others=names[1:]))
        tables.append(table)
    if any(one.bits_per_byte for one in answer.models):
        table = Table("bits per byte", *names)
        for held in dict.fromkeys(held for one in answer.models for held in one.bits_per_byte):
            values = (one.bits_per_byte.get(held) for one in answer.models)
            table.add_row(held, *("" if value is None else f"{value:.4f}" for value in values))
        tables.append(table)
    return tables


def _row(
    results: Sequence[TaskResult],
    measure: str,
    differences: Sequence[TaskDifference],
    *,
    others: Sequence[str],
) -> list[str]:
    first = results[0]
    gaps: Mapping[str, Measure] = {
        one.model: one.difference for one in differences if one.task == first.task and one.measure == measure
    }
    chance = f"{first.chance:.3f}" if first.chance is not None and "accuracy" in measure else ""
    values = [_shown(one.measures.get(measure)) for one in results]
    return [
        first.task,
        f"{first.examples:,}",
        chance,
        measure.replace("_", " "),
        *values,
        *(_shown(gaps.get(name), "+") for name in others),
    ]


def _shown(value: Measure | None, sign: str = "") -> str:
    if value is None:
        return ""
    error = "" if value.error is None else f" ± {value.error:.4f}"
    return f"{value.mean:{sign}.4f}{error}"
