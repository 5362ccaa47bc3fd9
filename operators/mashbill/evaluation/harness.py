"""lm-evaluation-harness: tasks built from files here or by its own names, put to a model one at a time.

The harness makes the prompts and scores the answers; kept beside its own figures are each example's values,
so that models can be compared on the same examples, and what did not fit the context.
"""

import io
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from lm_eval.api.metrics import mean
from lm_eval.api.task import ConfigurableTask
from lm_eval.config.task import TaskConfig
from lm_eval.evaluator import evaluate
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

from mashbill.artifacts import Progress
from mashbill.config.evaluation import HUB
from mashbill.errors import ConfigError, DataError, MashbillError, RunError, one_line
from mashbill.evaluation.record import TaskScores
from mashbill.evaluation.scores import ExampleValues, summed_up
from mashbill.evaluation.task_files import TaskFile, check_choices, check_gold, nearest

SHOTS_SEED = 1234
"""The harness' own, so that its command line asks the same."""
NAMES = {"acc": "accuracy", "acc_norm": "accuracy_normalised"}
BITS = "bits_per_byte"
PLAIN = "none"
"""The harness' name for answers as they are."""
Pair = tuple[str, str]
Task = Any
"""Of the harness, which has no types."""


class CountingModel(HFLM):  # type: ignore[misc]  # the harness has no types
    """A model as the harness asks it, that tells how far it is, and which questions did not fit.

    Attributes:
        cut: questions with answers whose beginning was left out, as the harness does.
    """

    def __init__(self, model: Any, tokenizer: Any, *, batch: int, progress: Progress) -> None:
        cuda = model.device.type == "cuda"
        super().__init__(
            pretrained=model,
            tokenizer=tokenizer,
            batch_size=batch,
            max_length=model.config.max_position_embeddings,
            mixed_precision_dtype="bfloat16" if cuda else None,
            softmax_dtype="float32",
            add_bos_token=False,  # as in training
        )
        self.progress, self.cut = progress, set[Pair]()
        self.asked = self.done = 0

    def _loglikelihood_tokens(
        self, requests: list[Any], disable_tqdm: bool = False, override_bs: int | None = None
    ) -> list[tuple[float, bool]]:
        """Answers whose tokens are none, or more than the context, have no likelihood: NaN."""
        fit = [i for i, (_, _, answer) in enumerate(requests) if 0 < len(answer) <= self.max_length]
        for pair, question, answer in requests:
            if len(question) + len(answer) > self.max_length + 1:
                self.cut.add(pair)
        self.asked, self.done = len(fit), 0
        found = [(math.nan, False)] * len(requests)
        if fit:
            answers = super()._loglikelihood_tokens([requests[i] for i in fit], True, override_bs)
            for i, answer in zip(fit, answers, strict=True):
                found[i] = answer
        del disable_tqdm
        return found

    def _model_call(self, inps: torch.Tensor, *arguments: Any, **more: Any) -> Any:
        self.done += len(inps)
        self.progress(min(1.0, self.done / max(1, self.asked)), f"{self.done:,} of {self.asked:,} answers")
        return super()._model_call(inps, *arguments, **more)


def build(file: TaskFile) -> Task:
    """The harness' task of a file.

    Raises:
        DataError: the harness cannot make questions of it.
    """
    settings = deepcopy(file.settings)
    known = list(TaskConfig.__dataclass_fields__)
    for name in settings:
        if name not in known:
            raise DataError(f"{file.path}: {name}", "is no setting of a task", nearest(name, known))
    splits = {split: examples.rows for split, examples in file.splits.items()}
    settings |= {"custom_dataset": lambda **_: {s: Dataset.from_list(rows) for s, rows in splits.items()}}
    try:
        with quiet():
            return ConfigurableTask(config={**settings, "task": file.name})
    except Exception as error:
        what = f"makes no question of the first example ({one_line(error)})"
        raise DataError(str(file.path), what, "correct its fields and templates") from error


def build_hub(name: str) -> dict[str, Task]:
    """A task that the harness knows, or the tasks of a group of them, by name.

    Args:
        name: with ``hub:`` before it.
    Raises:
        ConfigError: the harness knows none of that name.
        RunError: its examples cannot be fetched.
    """
    refuse_unknown([name])
    try:
        with quiet():
            found = _own_tasks().load([name.removeprefix(HUB)])["tasks"]
    except Exception as error:
        mend = "see to the network, or fetch it once where there is one; tasks of files need none"
        raise RunError(name, f"cannot be read from the hub ({one_line(error)})", mend) from error
    return {f"{HUB}{one}": task for one, task in found.items()}


def refuse_unknown(names: Sequence[str]) -> None:
    """Refuse names that the harness does not know; nothing is fetched.

    Raises:
        ConfigError: there is one.
    """
    known = _own_tasks().all_tasks
    for name in names:
        plain = name.removeprefix(HUB)
        if plain not in known:
            what = f"names {name!r}, which the harness does not know"
            raise ConfigError("evaluation.tasks", what, nearest(plain, known))


@cache
def _own_tasks() -> Any:
    """What the harness knows by name."""
    return TaskManager()


def put(
    task: Task,
    name: str,
    model: CountingModel,
    *,
    examples: Sequence[int],
    shots: int,
    path: Path | None = None,
) -> TaskScores:
    """Ask a model the examples of a task.

    Args:
        task: of the harness.
        name: as it is reported.
        model: who is asked.
        examples: which, ascending.
        shots: answered examples before each.
        path: of its file, for errors.
    Raises:
        ConfigError: there are not so many examples to draw shots from.
        DataError: an example cannot be asked.
    """
    inner, of = task.config.task, len(task.eval_docs)
    if shots >= of:
        what = f"is {shots}, and {name} has {of} examples"
        raise ConfigError("evaluation.task_shots", what, "lower it, or leave the task out")
    _check(task, examples, str(path or name))
    task.set_config("num_fewshot", shots)
    task.set_fewshot_seed(seed=SHOTS_SEED)
    model.cut.clear()
    try:
        with quiet():
            found = evaluate(
                lm=model,
                task_dict={"tasks": {inner: task}, "groups": {}, "group_map": {}},
                samples={inner: list(examples)},
                bootstrap_iters=0,
            )
    except MashbillError:
        raise
    except torch.OutOfMemoryError as error:
        raise RunError(name, "does not fit into memory", "set evaluation.batch_size lower") from error
    except Exception as error:
        raise DataError(
            str(path or name), f"cannot be scored ({one_line(error)})", "correct the task"
        ) from error
    rows = [_values(task, sample, model.cut) for sample in found["samples"][inner]]
    others = _whole_figures(task, found["results"][inner])
    return summed_up(name, task.OUTPUT_TYPE, rows, of=of, shots=shots, others=others)


def _check(task: Task, examples: Sequence[int], where: str) -> None:
    """Refuse examples whose choices or right answers are none, as the harness' templates make them."""
    if task.OUTPUT_TYPE != "multiple_choice":
        return
    documents = task.eval_docs
    for i in examples:
        choices = task.doc_to_choice(documents[i])
        gold = task.doc_to_text(documents[i]) if task.multiple_input else task.doc_to_target(documents[i])
        check_choices(choices, f"{where}: example {i}: choices")
        check_gold(gold, choices, f"{where}: example {i}: right answer")


def _values(task: Task, sample: Mapping[str, Any], cut: set[Pair]) -> ExampleValues:
    """What one example gave."""
    pairs = [tuple(asked) for asked in sample["arguments"] if all(isinstance(one, str) for one in asked)]
    values: dict[str, float] = {}
    kind, means = task.OUTPUT_TYPE, task.aggregation()
    beside = "" if sample["filter"] == PLAIN else f", {sample['filter']}"
    for metric in sample["metrics"]:
        if means.get(metric) is mean and isinstance(sample[metric], int | float):
            values[f"{NAMES.get(metric, metric)}{beside}"] = float(sample[metric])
    chance, scored = None, True
    if kind == "loglikelihood_rolling" and isinstance(sample.get(BITS), tuple | list):
        nats, size = sample[BITS]
        values[BITS] = -nats / math.log(2) / max(1, size)
    if kind in {"multiple_choice", "loglikelihood"}:
        answers = [response[0] for response in sample["filtered_resps"]]
        right = _right(task, sample)
        bits = [-answers[i] / math.log(2) / len(pairs[i][1].encode()) for i in right]
        values[BITS] = min(bits)
        scored = not any(math.isnan(answer) for answer in answers)
    if kind == "multiple_choice":
        chance = len(right) / len(task.doc_to_choice(sample["doc"]))
    return ExampleValues(int(sample["doc_id"]), values, chance, bool(cut.intersection(pairs)), scored)


def _right(task: Task, sample: Mapping[str, Any]) -> list[int]:
    """Which requests of an example hold its right answer, or right answers."""
    if task.OUTPUT_TYPE == "loglikelihood":
        return [0]
    gold = task.doc_to_text(sample["doc"]) if task.multiple_input else sample["target"]
    choices = task.doc_to_choice(sample["doc"])
    return [choices.index(one) if isinstance(one, str) else int(one) for one in np.atleast_1d(gold).tolist()]


def _whole_figures(task: Task, results: Mapping[str, Any]) -> dict[str, float]:
    """What the harness makes of all examples at once, and is no mean of theirs."""
    found, means = {}, task.aggregation()
    for key, value in results.items():
        metric, _, kind = str(key).partition(",")
        whole = metric in means and means[metric] is not mean and isinstance(value, int | float)
        if whole and kind and np.isfinite(value):
            found[metric if kind == PLAIN else f"{metric}, {kind}"] = float(value)
    return found


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the harness' bars and advice off the screen; what matters of them is counted."""
    loggers = [logging.getLogger(name) for name in ("lm_eval", "datasets", "transformers")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with redirect_stderr(io.StringIO()):
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
