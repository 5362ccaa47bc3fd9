"""Stacked proxies on a GPU: its captured steps are those that the CPU takes. Skipped where there is none."""

import numpy as np
import pytest
import torch

from mashbill.config import ModelShape, ProxyConfig
from mashbill.models.capacity import stack_size
from mashbill.models.transformer import Transformer
from mashbill.proxies.learners import WARMUP_STEPS, SingleLearner, StackedLearner

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

SHAPE = ModelShape(layers=2, width=64, heads=4, kv_heads=2, feed_forward=96, context=64)
VOCABULARY, STEPS, MEMBERS = 500, 20, 6


def config(precision: str = "fp32") -> ProxyConfig:
    return ProxyConfig.model_validate(
        {"model": SHAPE, "batch_sequences": 4, "precision": precision, "device": "cuda"}
    )


def batches() -> np.ndarray:
    return np.random.default_rng(0).integers(0, VOCABULARY, (STEPS, MEMBERS, 4, SHAPE.context + 1))


@pytest.fixture(autouse=True)
def exact_products() -> None:
    torch.backends.cuda.matmul.allow_tf32 = False


def test_a_stack_on_the_gpu_is_the_models_that_the_cpu_trains() -> None:
    models = [Transformer(SHAPE, VOCABULARY, seed) for seed in range(MEMBERS)]
    together = StackedLearner(models, [config()] * MEMBERS, "cuda")
    alone = [SingleLearner(model, config()) for model in models]
    text = batches()
    assert STEPS > WARMUP_STEPS + 5  # most steps are replays of the captured graph
    for step in range(STEPS):
        rates = np.linspace(1e-3, 1e-2, MEMBERS) * (step + 1) / STEPS
        together.learn(text[step], rates)
        for k, one in enumerate(alone):
            one.learn(text[step, k : k + 1], rates[k : k + 1])
        assert together.losses() == pytest.approx(np.concatenate([one.losses() for one in alone]), abs=1e-4)
    assert together.failed_at().tolist() == [-1] * MEMBERS


def test_a_diverged_member_spoils_no_other_on_the_gpu() -> None:
    models = [Transformer(SHAPE, VOCABULARY, seed) for seed in range(MEMBERS)]
    healthy = StackedLearner(models, [config("bf16")] * MEMBERS, "cuda")
    with torch.no_grad():
        models[2].model.norm.weight.fill_(float("inf"))
    spoilt = StackedLearner(models, [config("bf16")] * MEMBERS, "cuda")
    for text in batches():
        for learner in (healthy, spoilt):
            learner.learn(text, np.full(MEMBERS, 1e-3))
    others = [k for k in range(MEMBERS) if k != 2]
    assert spoilt.failed_at().tolist() == [0 if k == 2 else -1 for k in range(MEMBERS)]
    assert spoilt.losses()[others] == pytest.approx(healthy.losses()[others], abs=1e-3)


def test_a_resumed_stack_goes_on_as_if_it_had_not_stopped() -> None:
    models = [Transformer(SHAPE, VOCABULARY, seed) for seed in range(MEMBERS)]
    whole, first = (StackedLearner(models, [config()] * MEMBERS, "cuda") for _ in range(2))
    text, rates = batches(), np.full(MEMBERS, 3e-3)
    for step in range(STEPS):
        whole.learn(text[step], rates)
        if step < STEPS // 2:
            first.learn(text[step], rates)
    resumed = StackedLearner(models, [config()] * MEMBERS, "cuda")
    resumed.load(first.state())
    for step in range(STEPS // 2, STEPS):
        resumed.learn(text[step], rates)
    assert resumed.losses() == pytest.approx(whole.losses(), abs=1e-4)


def test_as_many_as_the_memory_is_said_to_hold_can_be_trained() -> None:
    size = min(stack_size(config("bf16"), 4_096), 512)
    assert size > 1
    together = StackedLearner(
        [Transformer(SHAPE, 4_096, seed) for seed in range(size)], [config("bf16")] * size, "cuda"
    )
    text = np.random.default_rng(1).integers(0, 4_096, (size, 4, SHAPE.context + 1))
    for _ in range(WARMUP_STEPS + 2):
        together.learn(text, np.full(size, 1e-3))
    assert np.isfinite(together.losses()).all()
