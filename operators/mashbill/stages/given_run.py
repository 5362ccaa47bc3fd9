"""A stage with its config and inputs as an object of the artifact store, so that any machine that reaches the
store can run it.

It is named by its content, and says which result it makes: a machine with another version of mashbill, or
with other files outside, refuses instead of making another.
"""

import hashlib
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

import mashbill
from mashbill.artifacts import open_store
from mashbill.config import CorpusConfig, PipelineConfig
from mashbill.config.wrong import config_error
from mashbill.errors import ConfigError, DataError
from mashbill.launch.records import write_text
from mashbill.stages.job import StageJob
from mashbill.stages.table import stage_named
from mashbill.storage import open_storage, scratch_here

RUNS = "runs"
ON_RAY = frozenset({"ray", "rayjob"})
"""Backends whose job is a driver on a Ray cluster: its stage spreads partitions over that."""
DIGITS = 16
MEND = "give the address that the job was submitted with"


def keep_run(job: StageJob) -> str:
    """Write what a stage is run from into its store, unless it is there.

    Returns:
        Its address.
    """
    root = f"{job.store.storage.root.rstrip('/')}/"
    text = json.dumps(
        {
            "stage": job.stage.name,
            "fingerprint": job.fingerprint,
            "mashbill": mashbill.__version__,
            "inputs": {
                name: job.inputs[name].address.removeprefix(root)
                for name in job.stage.inputs
                if name in job.inputs
            },
            "config": job.config.model_dump(mode="json"),
        }
    )
    key = f"{RUNS}/{_digest(text)}.json"
    if not job.store.storage.exists(key):
        write_text(job.store.storage, key, text)
    return f"{root}{key}"


def root_of(address: str) -> str:
    """The artifact root that a run lies in.

    Raises:
        ConfigError: it is no address of a run.
    """
    root, runs, _ = address.rpartition(f"/{RUNS}/")
    if not runs:
        raise ConfigError(f"--run {address}", "is no address of a run", MEND)
    return root


def given_run(address: str, stage: str, *, training: Mapping[str, Any] | None = None) -> StageJob:
    """The stage that a run is of, with its config and inputs.

    Args:
        address: what ``keep_run`` gave.
        stage: its name.
        training: settings of ``training`` that say how it runs here, by name.
    Raises:
        ConfigError: the address is none of a run of that stage, or this machine would make another result.
        DataError: it is damaged.
    """
    values = _read(address)
    if values["stage"] != stage:
        raise ConfigError(f"--run {address}", f"is a run of {values['stage']}, not of {stage}", MEND)
    root = root_of(address)
    try:
        given = {**values["config"], "artifacts": root}
        config = PipelineConfig.model_validate({**given, "corpus": CorpusConfig.again(given["corpus"])})
    except ValidationError as error:
        raise config_error(address, error) from error
    here, engine = config.training.model_copy(update=training or {}), config.engine
    if stage in config.launch and config.launch[stage].backend in ON_RAY:
        engine = engine.model_copy(update={"runner": "ray", "ray_address": "auto"})
    config = config.model_copy(update={"training": here, "engine": engine, **_places(config)})
    store = open_store(config)
    inputs = {name: store.open(f"{root}/{key}") for name, key in values["inputs"].items()}
    job = StageJob(stage_named(stage), config, inputs)
    if job.fingerprint != values["fingerprint"]:
        what = (
            f"would make another result here (mashbill {mashbill.__version__}) than where it was submitted "
            f"(mashbill {values['mashbill']})"
        )
        mend = "use an image of that version, and have the files outside the store that it reads be the same"
        raise ConfigError(f"stage {stage}", what, mend)
    return job


def _places(config: PipelineConfig) -> dict[str, str]:
    """Where a machine works that has not the config's root: where it was started."""
    return {} if Path(config.root).is_dir() else {"scratch": str(Path.cwd() / ".mashbill")}


def _read(address: str) -> dict[str, Any]:
    root = root_of(address)
    scratch = scratch_here(Path(tempfile.gettempdir()) / "mashbill")
    key = address.removeprefix(f"{root}/")
    try:
        text = open_storage(root, scratch).read(key).decode()
    except KeyError:
        raise ConfigError(f"--run {address}", "is not there", MEND) from None
    if key != f"{RUNS}/{_digest(text)}.json":
        raise DataError(address, "was changed since it was written", "submit the stage again")
    values: dict[str, Any] = json.loads(text)
    return values


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]
