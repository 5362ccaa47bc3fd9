"""Where a training's metrics go beside metrics.jsonl: TensorBoard, MLflow, Weights & Biases.

Each is a sink that takes named numbers of a step. What a sink cannot take back (a server's history) is told
each step once, whatever training goes back to; TensorBoard is told what no longer counts.
"""

import importlib.util
import time
import uuid
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from mashbill.config.check import Check
from mashbill.config.recipe import MetricsConfig, MlflowConfig, WandbConfig
from mashbill.errors import ConfigError

TENSORBOARD = "tensorboard"
EXTRA = "pip install 'airflow-provider-mashbill[{}]'"
Scalars = Mapping[str, float]


class Sink(Protocol):
    """Takes a training's numbers.

    Attributes:
        forgets: whether it can be told that steps no longer count.
    """

    forgets: bool

    def take(self, step: int, scalars: Scalars) -> None:
        """Take the numbers of a step."""

    def back_to(self, step: int) -> None:
        """Forget what came after a step."""

    def close(self) -> None:
        """Write what is left."""


class TensorBoardSink:
    """TensorBoard's event files.

    Args:
        folder: of the event files.
        step: last step that counts of what is there.
    """

    forgets = True

    def __init__(self, folder: Path, step: int) -> None:
        self.folder = folder
        self.writer = self._open(step)

    def take(self, step: int, scalars: Scalars) -> None:
        """Take the numbers of a step."""
        for name, value in scalars.items():
            self.writer.add_scalar(name, value, step)
        self.writer.flush()

    def back_to(self, step: int) -> None:
        """Forget what came after a step."""
        self.writer.close()
        self.writer = self._open(step)

    def close(self) -> None:
        """Write what is left."""
        self.writer.close()

    def _open(self, step: int) -> Any:
        from torch.utils.tensorboard import SummaryWriter

        return SummaryWriter(str(self.folder), purge_step=step + 1)


class MlflowSink:
    """A run in MLflow, gone on with where training goes on.

    Args:
        settings: of MLflow; what they leave open is its own environment's.
        name: of the run.
        folder: where the run's id is kept.
        facts: of the recipe, kept as parameters.
    """

    forgets = False

    def __init__(self, settings: MlflowConfig, *, name: str, folder: Path, facts: Mapping[str, Any]) -> None:
        from mlflow.tracking import MlflowClient

        self.client = MlflowClient(tracking_uri=settings.uri)
        kept = folder / "mlflow_run.txt"
        if kept.exists():
            self.run = kept.read_text(encoding="utf-8")
            return
        found = self.client.get_experiment_by_name(settings.experiment)
        experiment = found.experiment_id if found else self.client.create_experiment(settings.experiment)
        self.run = self.client.create_run(experiment, run_name=name).info.run_id
        kept.write_text(self.run, encoding="utf-8")
        for fact, value in facts.items():
            self.client.log_param(self.run, fact, value)

    def take(self, step: int, scalars: Scalars) -> None:
        """Take the numbers of a step."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self.client.log_batch(self.run, [Metric(name, value, now, step) for name, value in scalars.items()])

    def back_to(self, step: int) -> None:
        """MLflow keeps what it was told."""

    def close(self) -> None:
        """The run has ended."""
        self.client.set_terminated(self.run)


class WandbSink:
    """A run in Weights & Biases, gone on with where training goes on.

    Args: as of ``MlflowSink``.
    """

    forgets = False

    def __init__(self, settings: WandbConfig, *, name: str, folder: Path, facts: Mapping[str, Any]) -> None:
        import wandb

        kept = folder / "wandb_run.txt"
        identity = kept.read_text(encoding="utf-8") if kept.exists() else uuid.uuid4().hex
        self.run = wandb.init(
            project=settings.project,
            entity=settings.entity,
            mode=settings.mode,
            id=identity,
            resume="allow",
            name=name,
            dir=str(folder),
            config=dict(facts),
            settings=wandb.Settings(console="off", silent=True),
        )
        kept.write_text(identity, encoding="utf-8")

    def take(self, step: int, scalars: Scalars) -> None:
        """Take the numbers of a step."""
        self.run.log(dict(scalars), step=step)

    def back_to(self, step: int) -> None:
        """Weights & Biases keeps what it was told."""

    def close(self) -> None:
        """Write what is left."""
        self.run.finish()


def check_sinks(settings: MetricsConfig) -> Iterator[Check]:
    """Whether the packages are there that the configured sinks need."""
    for package in ("mlflow", "wandb"):
        if getattr(settings, package) is not None:
            yield Check(f"training.metrics.{package}", partial(_installed, package))


def _installed(package: str) -> str:
    """Say that a sink's package is there.

    Raises:
        ConfigError: it is not.
    """
    if importlib.util.find_spec(package) is None:
        raise ConfigError(
            f"training.metrics.{package}",
            f"needs the package {package}, which is not installed",
            EXTRA.format(package),
        )
    return f"{package} is installed"
