"""The train stage: one torchrun job a mixture, each a part; collected into one artifact of models and
curves."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mashbill.artifacts import Artifact, Counts, StageRun
from mashbill.config import PipelineConfig
from mashbill.launch.torchrun import accelerator, torchrun
from mashbill.mixtures import Schedule
from mashbill.tokens import TokenStore
from mashbill.training.recipe import deepspeed_config, forecast

TABLES = ("curve", "evaluations")


def train_parts(config: PipelineConfig, inputs: Mapping[str, Artifact]) -> list[str]:
    """Names of the mixtures that are trained."""
    del inputs
    return list(config.training.mixtures)


def run_train_part(run: StageRun) -> Counts:
    """Train on one mixture, from the last checkpoint where there is one."""
    config, name = run.config, run.part or "chosen"
    store = TokenStore(run.inputs["tokenize"].path)
    schedule = scheduled(run.inputs["schedule"].path) if name == "scheduled" else None
    mixture = (
        schedule.mean
        if schedule
        else mixture_named(name, json.loads((run.inputs["mix"].path / "choice.json").read_text()))
    )
    available = {d: store.counts(d, "train")["tokens"] for d in store.domains}
    sized = config.model_copy(
        update={"tokens": config.tokens.model_copy(update={"vocabulary": store.vocabulary})}
    )
    figures = forecast(sized, available_tokens=available, mixture=mixture)
    job = {
        "training": config.training.model_dump(mode="json"),
        "seed": config.seed,
        "phases": (schedule or Schedule.constant(mixture)).as_json(),
        "tokens": str(store.folder),
        "scratch": str(run.scratch),
        "output": str(run.output),
        "accelerator": accelerator(config.training),
    }
    (run.scratch / "job.json").write_text(json.dumps(job))
    torchrun(run.scratch / "job.json", config.training, run.scratch, run.progress)
    for table in TABLES:
        shutil.copyfile(run.scratch / f"{table}.csv", run.output / f"{table}.csv")
    recipe = {
        **figures.as_dict(),
        "mixture": mixture,
        "phases": job["phases"],
        "deepspeed": deepspeed_config(config.training),
        "versions": _versions(),
    }
    (run.output / "recipe.json").write_text(json.dumps(recipe, indent=1))
    return {
        "steps": figures.steps,
        "tokens": figures.steps * figures.batch_tokens,
        "parameters": figures.parameters,
        "loss": _last_loss(run),
    }


def mixture_named(name: str, choice: Mapping[str, Any]) -> dict[str, float]:
    """The chosen mixture, or one of the baselines beside it."""
    return dict(choice["mixture"] if name == "chosen" else choice["baselines"][name]["mixture"])


def scheduled(folder: Path) -> Schedule:
    """The schedule that the schedule stage chose; of one phase where a mixture is as good."""
    return Schedule.from_json(json.loads((folder / "schedule.json").read_text())["schedule"])


def collect_models(run: StageRun) -> Counts:
    """Gather models, curves and recipes."""
    import pandas as pd

    recipes = {}
    for name, part in run.parts.items():
        shutil.copytree(part.path / "model", run.output / "models" / name)
        recipes[name] = json.loads((part.path / "recipe.json").read_text())
    (run.output / "recipes.json").write_text(json.dumps(recipes, indent=1))
    for table, file in zip(TABLES, ("curves.csv", "evaluations.csv"), strict=True):
        frames = [
            pd.read_csv(part.path / f"{table}.csv").assign(mixture=name) for name, part in run.parts.items()
        ]
        frame = pd.concat(frames)
        frame.insert(0, "mixture", frame.pop("mixture"))
        frame.to_csv(run.output / file, index=False)
    return {"models": len(run.parts), "parameters": recipes[next(iter(recipes))]["parameters"]}


def _last_loss(run: StageRun) -> float:
    return float((run.output / "curve.csv").read_text().splitlines()[-1].split(",")[2])


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in ("torch", "deepspeed", "transformers", "numpy")}
