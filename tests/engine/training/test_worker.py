"""One process of the final training does what a plain loop does, and goes on from a checkpoint without a step
more or less."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from builders.final_training import checkpoints_in
from builders.one_worker import (
    BATCH,
    CONTEXT,
    SCHEDULE,
    SEED,
    SHAPE,
    STEPS,
    Trained,
    ended,
    started,
    train,
    two_laws,
)
from builders.plain_adamw import PlainAdamW, arrays_of, plain_gradients, put_into, target_losses
from builders.token_stores import BYTES_A_TOKEN, VOCABULARY, write_store
from mashbill.mixtures import MixtureLoader
from mashbill.models.optimisation import learning_rate_at
from mashbill.models.transformer import Transformer
from mashbill.tokens import TokenStore

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("worker")
    return train(folder, write_store(folder / "store", two_laws()))


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
        gradients = plain_gradients(model, loss)
        norm = np.sqrt(sum(np.square(gradient).sum() for gradient in gradients.values()))
        assert row["gradient_norm"] == pytest.approx(norm, rel=0.02)  # as it was before clipping
        plain.step(gradients, rate)
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
    assert checkpoints_in(left / "scratch").last() == 48
    again = train(left, trained.store)
    for table, columns in (
        ("curve", ("step", "tokens", "loss", "learning_rate")),
        ("evaluations", ("step", "a", "b")),
    ):
        one, other = trained.table(table), again.table(table)
        assert [[row[c] for c in columns] for row in one] == [[row[c] for c in columns] for row in other]
    for name, weight in again.weights.items():
        assert np.array_equal(weight, trained.weights[name]), name


def test_another_node_than_the_first_writes_neither_curve_nor_model_though_its_process_has_rank_0(
    trained: Trained, tmp_path: Path
) -> None:
    other = train(tmp_path, trained.store, node=1)
    for place in ("scratch/curve.csv", "output/model"):
        assert (trained.folder / place).exists()
        assert not (other.folder / place).exists()


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


def test_it_goes_on_from_a_model_that_was_trained_before(trained: Trained, tmp_path: Path) -> None:
    before = trained.folder / "output" / "model"
    again = train(
        tmp_path / "again", trained.store, initial=before, learning_rate=1e-9, min_learning_rate=0.0
    )
    for name, weight in again.weights.items():
        assert weight == pytest.approx(trained.weights[name], abs=1e-6), name
    assert again.table("evaluations")[0]["b"] == pytest.approx(
        trained.table("evaluations")[-1]["b"], abs=1e-3
    )
    other = SHAPE.model_copy(update={"feed_forward": 32})
    code, said = ended(started(tmp_path / "other", trained.store, initial=before, model=other))
    assert code == 2
    assert "has feed_forward 24 where training.model says 32; set training.model.feed_forward to 24" in said


@pytest.mark.parametrize("settings", [{"document_masking": True}, {"z_loss": 1e-4}, {"recompute_every": 1}])
def test_how_a_batch_is_cut_changes_nothing_of_what_is_learnt(
    settings: dict[str, object], trained: Trained, tmp_path: Path
) -> None:
    one = train(tmp_path / "one", trained.store, micro_batch_sequences=1, **settings)
    whole = train(tmp_path / "whole", trained.store, micro_batch_sequences=BATCH, **settings)
    for mine, theirs in zip(one.table("curve"), whole.table("curve"), strict=True):
        assert mine["loss"] == pytest.approx(theirs["loss"], abs=1e-3)
    same = all(
        np.allclose(weight, trained.weights[name], atol=1e-4) for name, weight in whole.weights.items()
    )
    assert same == ("recompute_every" in settings)
