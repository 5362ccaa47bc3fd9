"""The train stage: one torchrun job a mixture, each a part; collected into one artifact of models and
curves."""

import logging
import shutil
from collections.abc import Mapping
from dataclasses import asdict

from mashbill.artifacts import Artifact, Counts, StageRun
from mashbill.config import PipelineConfig
from mashbill.config.training import SCHEDULED
from mashbill.launch.torchrun import accelerator, torchrun
from mashbill.mixtures import Choice, Recipe, RecipeNumber, Recipes, Schedule, ScheduleChoice
from mashbill.mixtures.schedule_choice import phases_of
from mashbill.models.huggingface import MODELS
from mashbill.storage import scratch_of
from mashbill.tokens import TokenStore
from mashbill.training.account import EVENTS
from mashbill.training.attempts import earlier_attempts
from mashbill.training.budget import forecast
from mashbill.training.deepspeed_settings import with_own_table
from mashbill.training.events import Events, events_of
from mashbill.training.expected import expected_band
from mashbill.training.initial import initial_folder
from mashbill.training.job import Job
from mashbill.training.numbers import numbers_of
from mashbill.training.recipe import deepspeed_config, settled

log = logging.getLogger(__name__)
TABLES = ("curve", "evaluations")
CURVES, EVALUATIONS = "curves.csv", "evaluations.csv"
OUTPUTS = {
    f"{MODELS}/": "one Hugging Face folder a mixture",
    CURVES: "loss by step",
    EVALUATIONS: "bits per byte of every set on the way",
    Recipes.FILE: "what each model was trained on, and how",
    Events.FILE: "what happened on the way",
}
WORKER = "mashbill.training.worker"


def train_parts(config: PipelineConfig, inputs: Mapping[str, Artifact]) -> list[str]:
    """Names of the mixtures that are trained."""
    del inputs
    return list(config.training.mixtures)


def run_train_part(run: StageRun) -> Counts:
    """Train on one mixture, from the last checkpoint where there is one."""
    config, name = run.config, run.part or "chosen"
    training = settled(with_own_table(config))
    store = TokenStore(run.inputs["tokenize"])
    schedule = ScheduleChoice.read(run.inputs["schedule"]).followed if name == SCHEDULED else None
    choice = Choice.read(run.inputs["mix"])
    mixture = schedule.mean if schedule else choice.mixtures[name]
    available = {d: store.counts(d, "train")["tokens"] for d in store.domains}
    figures = forecast(config, available_tokens=available, mixture=mixture, vocabulary=store.vocabulary)
    followed = schedule or Schedule.constant(mixture)
    initial = initial_folder(config)
    job = Job(
        training=training,
        seed=config.seed,
        phases=followed.as_json(),
        tokens=run.inputs["tokenize"].address,
        store=run.inputs["tokenize"].storage.root,
        tokens_fingerprint=run.inputs["tokenize"].fingerprint,
        scratch=str(run.scratch),
        output=str(run.output),
        checkpoints=run.shared.root,
        copies=str(scratch_of(config)),
        copies_bytes=config.scratch_bytes,
        accelerator=accelerator(config.training),
        initial=str(initial) if initial else None,
        band=expected_band(run, name, figures),
        target=choice.target,
    )
    store.check()
    for words in earlier_attempts(run.scratch, job):
        log.warning("train, %s: %s", name, words)
    job.write(run.scratch)
    torchrun(
        WORKER,
        run.scratch / Job.FILE,
        config.training,
        name=run.files.key.replace("/", "-") or name,
        scratch=run.scratch,
        progress=run.progress,
    )
    if config.training.node:
        return {}  # the first node has it all
    for table in TABLES:
        shutil.copyfile(run.scratch / f"{table}.csv", run.output / f"{table}.csv")
    if (run.scratch / EVENTS).exists():
        shutil.copyfile(run.scratch / EVENTS, run.output / EVENTS)
    recipe = Recipe(
        **asdict(figures),
        mixture=mixture,
        phases=phases_of(followed),
        numbers={n: RecipeNumber(**asdict(f)) for n, f in numbers_of(config.training).items()},
        deepspeed=deepspeed_config(training),
        versions=_versions(),
    )
    recipe.write(run.output)
    return {
        "steps": figures.steps,
        "tokens": figures.steps * figures.batch_tokens,
        "parameters": figures.parameters,
        "loss": _last_loss(run),
    }


def collect_models(run: StageRun) -> Counts:
    """Gather models, curves and recipes."""
    import pandas as pd

    recipes = {}
    for name, part in run.parts.items():
        shutil.copytree(part.folder("model"), run.output / MODELS / name)
        recipes[name] = Recipe.read(part)
    Recipes(recipes).write(run.output)
    events_of(run.parts).write(run.output)
    for table, file in zip(TABLES, (CURVES, EVALUATIONS), strict=True):
        frames = [
            pd.read_csv(part.file(f"{table}.csv")).assign(mixture=name) for name, part in run.parts.items()
        ]
        frame = pd.concat(frames)
        frame.insert(0, "mixture", frame.pop("mixture"))
        frame.to_csv(run.output / file, index=False)
    return {"models": len(run.parts), "parameters": recipes[next(iter(recipes))].parameters}


def _last_loss(run: StageRun) -> float:
    return float((run.output / "curve.csv").read_text().splitlines()[-1].split(",")[2])


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in ("torch", "deepspeed", "transformers", "numpy")}
