"""One process of the final training does what a plain loop does, and goes on from a checkpoint without a step
more or less."""

import csv
import json
import os
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from builders.checkout import ROOT
from builders.known_models import bigram_table
from builders.plain_adamw import PlainAdamW, arrays_of, plain_gradients, put_into, target_losses
from builders.token_stores import BYTES_A_TOKEN, VOCABULARY, markov_stream, write_store
from mashbill.config import ModelShape, TrainingConfig
from mashbill.mixtures import MixtureLoader, Schedule
from mashbill.models.huggingface import load_model
from mashbill.models.optimisation import learning_rate_at
from mashbill.models.transformer import Transformer
from mashbill.tokens import TokenStore

pytestmark = pytest.mark.slow

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


def train(folder: Path, store: TokenStore, **settings: object) -> Trained:
    """Run the worker as torchrun would, alone, where a compilation of DeepSpeed's was killed before."""
    killed = folder / "extensions" / "deepspeed_shm_comm"
    killed.mkdir(parents=True)
    (killed / "lock").touch()
    for name in ("scratch", "output"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    job = {
        "training": TRAINING.model_copy(update=settings).model_dump(mode="json"),
        "seed": SEED,
        "phases": SCHEDULE.as_json(),
        "tokens": str(store.folder),
        "scratch": str(folder / "scratch"),
        "output": str(folder / "output"),
        "accelerator": "cpu",
    }
    (folder / "job.json").write_text(json.dumps(job))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    place = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1"}
    subprocess.run(
        [sys.executable, "-m", "mashbill.training.worker", str(folder / "job.json")],
        env={
            **os.environ,
            **place,
            "MASTER_PORT": str(port),
            "DS_ACCELERATOR": "cpu",
            "TORCH_EXTENSIONS_DIR": str(folder / "extensions"),
        },
        check=True,
        capture_output=True,
        cwd=ROOT,
        timeout=300,
    )
    return Trained(store, folder)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("worker")
    domains = {
        name: (markov_stream(bigram_table(law), 800, 1), markov_stream(bigram_table(law), 70, 2))
        for name, law in (("a", 31), ("b", 32))
    }
    return train(folder, write_store(folder / "store", domains))


def test_the_worker_does_what_a_plain_loop_does(trained: Trained) -> None:
    store, model = trained.store, Transformer(SHAPE, VOCABULARY, SEED)
    loader = MixtureLoader(
        {name: store.train_tokens(name) for name in store.domains},
        SCHEDULE,
        context=CONTEXT,
        sequences=STEPS * BATCH,
        seed=SEED,
    )
    text = loader.sequences_at(np.arange(STEPS * BATCH)).reshape(STEPS, BATCH, CONTEXT + 1)
    plain = PlainAdamW(arrays_of(model), weight_decay=0.5, gradient_clip=0.2)
    curve, evaluations = trained.table("curve"), trained.table("evaluations")
    assert [row["step"] for row in curve] == list(range(1, STEPS + 1))
    assert [row["step"] for row in evaluations] == [STEPS / 2, STEPS]
    for step, row in enumerate(curve):
        rate = learning_rate_at(step, STEPS, 2e-2, minimum=1e-3, warmup_share=0.25)
        loss = target_losses(model, torch.from_numpy(text[step])).mean()
        assert row["learning_rate"] == pytest.approx(rate)
        assert row["loss"] == pytest.approx(loss.item(), abs=2e-3)
        assert row["tokens"] == (step + 1) * BATCH * CONTEXT
        plain.step(plain_gradients(model, loss), rate)
        put_into(model, plain.weights)
        for measured in evaluations:
            if measured["step"] == step + 1:
                assert measured["tokens"] == row["tokens"]
                for name in store.set_names:
                    assert measured[name] == pytest.approx(plain_bits(model, store, name), rel=2e-2)
    for name, weight in trained.weights.items():
        assert weight == pytest.approx(plain.weights[name], abs=5e-3), name
        assert np.abs(weight - arrays_of(Transformer(SHAPE, VOCABULARY, SEED))[name]).max() > 0.02


def plain_bits(model: Transformer, store: TokenStore, name: str) -> float:
    """Bits per byte of a set: every token but the first, in windows of the context one after the other."""
    tokens = torch.from_numpy(store.validation(name).tokens.astype(np.int64))
    with torch.no_grad():
        nats = sum(
            float(target_losses(model, tokens[None, start : start + CONTEXT + 1]).sum())
            for start in range(0, len(tokens) - 1, CONTEXT)
        )
    return nats / np.log(2) / (BYTES_A_TOKEN * len(tokens))


def test_it_goes_on_from_a_checkpoint_without_a_step_more_or_less(trained: Trained, tmp_path: Path) -> None:
    left = tmp_path / "left"
    shutil.copytree(trained.folder / "scratch", left / "scratch")  # of step 64, the last, there is none
    assert (left / "scratch" / "checkpoints" / "latest").read_text() == "step48"
    again = train(left, trained.store)
    for table, columns in (
        ("curve", ("step", "tokens", "loss", "learning_rate")),
        ("evaluations", ("step", "a", "b")),
    ):
        one, other = trained.table(table), again.table(table)
        assert [[row[c] for c in columns] for row in one] == [[row[c] for c in columns] for row in other]
    for name, weight in again.weights.items():
        assert np.array_equal(weight, trained.weights[name]), name


def test_it_goes_on_under_another_zero_stage_from_the_weights_and_moments_of_the_checkpoint(
    trained: Trained, tmp_path: Path
) -> None:
    left = tmp_path / "left"
    shutil.copytree(trained.folder / "scratch", left / "scratch")
    again = train(left, trained.store, zero_stage=1)
    one, other = ([row["loss"] for row in one.table("curve")] for one in (trained, again))
    assert other == pytest.approx(one, abs=2e-3)
    for name, weight in again.weights.items():
        assert weight == pytest.approx(trained.weights[name], abs=1e-3), name
