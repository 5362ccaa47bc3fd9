"""One process of a final training, run as torchrun would, alone, on streams that are known."""

import csv
import json
import os
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from builders.checkout import ROOT
from builders.known_models import bigram_table
from builders.plain_adamw import arrays_of
from builders.token_stores import markov_stream
from mashbill.config import ModelShape, TrainingConfig
from mashbill.mixtures import Schedule
from mashbill.models.huggingface import load_model
from mashbill.tokens import TokenStore
from mashbill.training.job import Job

CONTEXT, BATCH, STEPS, SEED = 16, 4, 64, 3
SHAPE = ModelShape(layers=1, width=16, heads=2, kv_heads=1, feed_forward=24, context=CONTEXT, tied=False)
TRAINING = TrainingConfig(
    model=SHAPE,
    tokens=STEPS * BATCH * CONTEXT,
    batch_sequences=BATCH,
    micro_batch_sequences=2,
    learning_rate=2e-2,
    min_learning_rate=1e-3,
    warmup_share=0.25,
    weight_decay=0.5,
    gradient_clip=0.2,
    precision="fp32",
    zero_stage=0,
    processes_per_node=1,
    checkpoint_steps=16,
    evaluations=2,
)
SCHEDULE = Schedule(("a", "b"), np.array([0.5, 0.5]), np.array([[0.75, 0.25], [0.0, 1.0]]))


@dataclass(frozen=True)
class Trained:
    """A training that ended, with its scratch folder as it was left."""

    store: TokenStore
    folder: Path

    @property
    def weights(self) -> dict[str, np.ndarray]:
        return arrays_of(load_model(self.folder / "output" / "model"))

    def table(self, name: str) -> list[dict[str, float]]:
        with (self.folder / "scratch" / f"{name}.csv").open() as file:
            return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


def two_laws() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Training and validation tokens of two domains with laws of their own."""
    return {
        name: (markov_stream(bigram_table(law), 800, 1), markov_stream(bigram_table(law), 70, 2))
        for name, law in (("a", 31), ("b", 32))
    }


def train(
    folder: Path,
    store: TokenStore,
    *,
    initial: Path | None = None,
    saved_at: str = "",
    **settings: object,
) -> Trained:
    """Run the worker to its end."""
    code, said = ended(started(folder, store, initial=initial, saved_at=saved_at, **settings))
    assert code == 0, said[-4_000:]
    return Trained(store, folder)


def started(
    folder: Path,
    store: TokenStore,
    schedule: Schedule = SCHEDULE,
    *,
    initial: Path | None = None,
    saved_at: str = "",
    text: str = "",
    **settings: object,
) -> "subprocess.Popen[str]":
    """Start the worker as torchrun would, alone, where a compilation of DeepSpeed's was killed before."""
    killed = folder / "extensions" / "deepspeed_shm_comm"
    killed.mkdir(parents=True, exist_ok=True)
    (killed / "lock").touch()
    for name in ("scratch", "output"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    Job(
        training=TRAINING.model_copy(update=settings),
        seed=SEED,
        phases=schedule.as_json(),
        tokens=str(store.folder),
        tokens_fingerprint=text,
        scratch=str(folder / "scratch"),
        output=str(folder / "output"),
        checkpoints=saved_at or str(folder / "scratch"),
        copies=str(folder / "copies"),
        accelerator="cpu",
        initial=str(initial) if initial else None,
    ).write(folder)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    place = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1"}
    return subprocess.Popen(
        [sys.executable, "-m", "mashbill.training.worker", str(folder / "job.json")],
        env={
            **os.environ,
            **place,
            "MASTER_PORT": str(port),
            "DS_ACCELERATOR": "cpu",
            "TORCH_EXTENSIONS_DIR": str(folder / "extensions"),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
    )


def ended(process: "subprocess.Popen[str]") -> tuple[int, str]:
    """Exit code of a worker, and what it said."""
    said, _ = process.communicate(timeout=300)
    return process.returncode, said


def events(folder: Path) -> list[dict[str, Any]]:
    """What happened to a training."""
    path = folder / "scratch" / "events.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
