"""Putting tasks to a model, one after the other; what was asked before a kill is not asked again."""

import importlib.util
import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np
from pydantic import ValidationError

from mashbill.artifacts import Progress, write_json
from mashbill.config import EvaluationConfig
from mashbill.config.evaluation import HUB
from mashbill.errors import ConfigError
from mashbill.evaluation.batches import free_memory, rows_within
from mashbill.evaluation.record import TaskScores
from mashbill.evaluation.task_files import TaskFile, read_tasks

if TYPE_CHECKING:
    from mashbill.evaluation.harness import CountingModel

EXTRA = "airflow-provider-mashbill[evaluate]"
NEEDED = ("lm_eval", "accelerate", "transformers", "datasets")


@dataclass(frozen=True)
class Asked:
    """What is asked, and how.

    Attributes:
        settings: of evaluation.
        files: the tasks that lie here; hub: names of those that the harness fetches.
        seed: draws the examples.
    """

    settings: EvaluationConfig
    files: tuple[TaskFile, ...]
    hub: tuple[str, ...]
    seed: int

    @classmethod
    def of(cls, settings: EvaluationConfig, folder: Path | None, seed: int) -> "Asked":
        """The tasks that a config names.

        Args:
            settings: of evaluation.
            folder: of task files, here.
            seed: draws the examples.
        Raises:
            ConfigError: there is none of a name, or the harness is not installed.
            DataError: a task file is none.
        """
        if settings.tasks:
            require_harness()
        local = [name for name in settings.tasks if not name.startswith(HUB)]
        files = read_tasks(folder, local, "evaluation.tasks") if folder is not None else []
        hub = tuple(name for name in settings.tasks if name.startswith(HUB))
        return cls(settings, tuple(files), hub, seed)

    def drawn(self, task: str, count: int) -> list[int]:
        """Which of so many examples of a task are asked: a function of the seed and the task's name."""
        wanted = self.settings.task_examples
        if wanted is None or wanted >= count:
            return list(range(count))
        random = np.random.default_rng([self.seed, zlib.crc32(task.encode())])
        return sorted(random.permutation(count)[:wanted].tolist())


def require_harness() -> None:
    """Refuse to go on without lm-evaluation-harness.

    Raises:
        ConfigError: it, or what it needs, is not installed.
    """
    missing = [name for name in NEEDED if not _is_installed(name)]
    if missing:
        what = f"need lm-evaluation-harness, and {missing[0]} is not installed"
        raise ConfigError("evaluation.tasks", what, f"pip install '{EXTRA}'")


def _is_installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def ask(
    folder: Path, asked: Asked, scratch: Path, *, progress: Progress, processes: int = 1
) -> list[TaskScores]:
    """Put every task to a model.

    Args:
        folder: a Hugging Face folder.
        asked: the tasks.
        scratch: a folder for the scores of each task that is done: whoever is killed goes on from there.
        progress: called with the share done and a message.
        processes: how many such share the machine.
    Raises:
        MashbillError: a task, an example or the model will not do.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    tasks, digests = _tasks(asked), {file.name: f"-{file.digest}" for file in asked.files}
    model: CountingModel | None = None
    scores: list[TaskScores] = []
    for number, (name, build) in enumerate(tasks.items()):
        kept = scratch / f"{quote(name, safe='')}{digests.get(name, '')}.json"
        found = _read(kept)
        if found is None:
            told = _told(progress, name, number, of=len(tasks))
            model = model or _load(folder, asked.settings, told, processes=processes)
            model.progress = told
            found = _put(build(), name, model, asked=asked)
            write_json(kept, found.as_json())
        scores.append(found)
    return scores


def _tasks(asked: Asked) -> dict[str, Callable[[], Any]]:
    """How to build each task, by name; groups of the hub are spelt out."""
    from mashbill.evaluation.harness import build, build_hub

    tasks: dict[str, Callable[[], Any]] = {}
    for file in asked.files:
        tasks[file.name] = lambda file=file: build(file)  # type: ignore[misc]
    for name in asked.hub:
        for one, task in build_hub(name).items():
            tasks[one] = lambda task=task: task  # type: ignore[misc]
    return tasks


def _put(task: Any, name: str, model: "CountingModel", *, asked: Asked) -> TaskScores:
    from mashbill.evaluation.harness import put

    path = next((file.examples.path for file in asked.files if file.name == name), None)
    examples = asked.drawn(name, len(task.eval_docs))
    return put(task, name, model, examples=examples, shots=asked.settings.task_shots, path=path)


def _load(folder: Path, settings: EvaluationConfig, progress: Progress, *, processes: int) -> "CountingModel":
    from mashbill.evaluation.harness import CountingModel, quiet
    from mashbill.evaluation.model import device_of, load_exported

    device = device_of(settings)
    model, tokenizer = load_exported(folder)
    model.to(device)
    config = model.config
    batch = settings.batch_size or rows_within(
        free_memory(device, processes),
        context=config.max_position_embeddings,
        vocabulary=config.vocab_size,
        width=config.hidden_size,
    )
    with quiet():
        return CountingModel(model, tokenizer, batch=batch, progress=progress)


def _told(progress: Progress, name: str, number: int, *, of: int) -> Progress:
    return lambda share, words: progress((number + share) / of, f"{name}: {words}")


def _read(path: Path) -> TaskScores | None:
    """Scores that an earlier attempt left, or None."""
    try:
        return TaskScores.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, ValidationError):
        return None


def figures(scores: Mapping[str, Sequence[TaskScores]]) -> dict[str, float]:
    """The first figure of each task, by task, measure and model: small numbers for counts."""
    found = {}
    for model, tasks in scores.items():
        for one in tasks:
            for measure, value in list(one.result.measures.items())[:1]:
                found[f"{one.result.task}_{measure}_{model}"] = round(value.mean, 4)
    return found
