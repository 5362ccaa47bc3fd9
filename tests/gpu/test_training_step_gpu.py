"""The final training's step on a GPU is the one that a CPU takes. Skipped where there is none."""

import os

import pytest
import torch

from mashbill.config import ModelShape, TrainingConfig
from mashbill.models.transformer import Transformer
from mashbill.training.engine import Engine, start_processes

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

VOCABULARY, STEPS, END = 512, 6, 0
SHAPE = ModelShape(layers=2, width=64, heads=4, kv_heads=2, feed_forward=128, context=64, tied=False)


@pytest.fixture(scope="module", autouse=True)
def processes() -> None:
    torch.backends.cuda.matmul.allow_tf32 = False
    os.environ |= {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
    start_processes("cuda")


def batches() -> torch.Tensor:
    made = torch.Generator().manual_seed(0)
    return torch.randint(0, VOCABULARY, (STEPS, 2, 2, SHAPE.context + 1), generator=made)


def losses(**settings: object) -> list[float]:
    """The loss of each step of two micro-batches."""
    training = TrainingConfig.model_validate(
        {
            "model": SHAPE,
            "batch_sequences": 4,
            "micro_batch_sequences": 2,
            "processes_per_node": 1,
            **settings,
        }
    )
    engine = Engine(Transformer(SHAPE, VOCABULARY), training, torch.device("cuda"), end_of_text=END)
    engine.set_rate(1e-2)
    found = []
    for batch in batches():
        nats, counted = 0.0, 0.0
        for rows in batch:
            micro = engine.forward(rows)
            engine.backward(micro)
            engine.step()
            nats, counted = nats + float(micro.nats), counted + micro.counted
        found.append(nats / counted)
    return found


def plain_losses() -> list[float]:
    """Those of torch alone on a CPU, in full precision."""
    model = Transformer(SHAPE, VOCABULARY)
    optimiser = torch.optim.AdamW(
        [
            {"params": [w for w in model.parameters() if w.dim() > 1], "weight_decay": 0.1},
            {"params": [w for w in model.parameters() if w.dim() == 1], "weight_decay": 0.0},
        ],
        lr=1e-2,
        betas=(0.9, 0.95),
    )
    found = []
    for batch in batches():
        rows = batch.flatten(0, 1)
        loss = model(rows[:, :-1].contiguous(), rows[:, 1:].contiguous())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
        found.append(float(loss))
    return found


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_a_step_in_full_precision_is_the_one_that_torch_takes_on_a_cpu(stage: int) -> None:
    assert losses(precision="fp32", zero_stage=stage) == pytest.approx(plain_losses(), abs=1e-3)


@pytest.mark.parametrize(
    "settings",
    [{}, {"recompute_every": 1}, {"compile": "blocks"}, {"compile": "whole"}, {"zero_stage": 0}],
    ids=str,
)
def test_in_bf16_it_is_the_same_within_rounding(settings: dict[str, object]) -> None:
    assert losses(precision="bf16", **settings) == pytest.approx(plain_losses(), abs=5e-2)


def test_documents_kept_apart_are_learnt_in_the_same_way_whatever_kernel_keeps_them_apart() -> None:
    masked = losses(precision="fp32", document_masking=True)
    assert losses(precision="bf16", document_masking=True) == pytest.approx(masked, abs=5e-2)
