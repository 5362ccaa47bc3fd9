"""How models are optimised: the schedule's points worked out by hand, and what decays."""

import numpy as np
import pytest
import torch

from builders.plain_adamw import PlainAdamW, arrays_of, plain_gradients, put_into, target_losses
from mashbill.config import ModelShape
from mashbill.models.optimisation import learning_rate_at, resolve_precision, weight_decay_groups
from mashbill.models.stack import Stack
from mashbill.models.stack_optimiser import StackedAdamW
from mashbill.models.transformer import Transformer

SHAPE = ModelShape(layers=2, width=16, heads=2, kv_heads=1, feed_forward=24, context=16, tied=False)


def rates(steps: int, warmup_share: float, minimum: float = 0.2) -> list[float]:
    return [
        learning_rate_at(step, steps, 1.0, minimum=minimum, warmup_share=warmup_share)
        for step in range(steps)
    ]


def test_the_rate_rises_by_equal_steps_and_falls_along_a_cosine() -> None:
    rise = [0.25, 0.5, 0.75, 1.0]
    fall = [1.0, 0.882843, 0.6, 0.317157, 0.2]  # 0.2 + 0.4 (1 + cos of 0, 45, 90, 135 and 180 degrees)
    assert rates(9, 4 / 9) == pytest.approx([*rise, *fall], abs=1e-6)


def test_the_rate_scales_with_its_peak_and_never_starts_at_nothing() -> None:
    doubled = [learning_rate_at(s, 9, 2.0, minimum=0.4, warmup_share=4 / 9) for s in range(9)]
    assert doubled == pytest.approx([2 * rate for rate in rates(9, 4 / 9)])
    assert rates(9, 0.0)[0] == 1.0  # without warm-up the first step is at the peak
    assert rates(1, 0.05) == [1.0]
    assert rates(8, 1.0) == pytest.approx([i / 8 for i in range(1, 9)])


def test_short_runs_warm_up_for_a_step_and_never_leave_the_range_of_rates() -> None:
    """A share that rounds to no step still has one, at the peak; the cosine begins after it."""
    assert rates(5, 0.0) == pytest.approx([1.0, 1.0, 0.8, 0.4, 0.2])  # cos of 0, 60, 120 and 180 degrees
    for steps in (1, 2, 3):
        for share in (0.0, 0.5, 1.0):
            assert all(0.2 <= rate <= 1.0 for rate in rates(steps, share))


def test_warm_up_takes_its_share_of_the_steps_to_the_nearest_whole_one() -> None:
    assert [rates(steps, 0.05).index(1.0) + 1 for steps in (10, 30, 39, 100, 200)] == [1, 2, 2, 5, 10]


def test_every_weight_is_optimised_once_and_only_matrices_decay() -> None:
    model = Transformer(SHAPE, 30)
    model.model.embed_tokens.weight.requires_grad_(False)
    names = {id(weight): name for name, weight in model.named_parameters()}
    decaying, others = weight_decay_groups(model, 0.3)
    assert (decaying["weight_decay"], others["weight_decay"]) == (0.3, 0.0)
    kept = [names[id(weight)] for weight in others["params"]]
    assert len(kept) == 5
    assert all("norm" in name for name in kept)
    given = [names[id(weight)] for weight in decaying["params"]]
    assert sorted([*given, *kept, "model.embed_tokens.weight"]) == sorted(names.values())
    assert not any("norm" in name for name in given)


def test_precision_is_what_is_asked_for() -> None:
    assert resolve_precision("bf16") == torch.bfloat16
    assert resolve_precision("fp32") == torch.float32
    assert resolve_precision("auto") in {torch.bfloat16, torch.float32}


@pytest.mark.parametrize("tied", [True, False])
def test_the_stacked_optimiser_is_adamw_for_each_member_by_its_own_settings(tied: bool) -> None:
    shape = SHAPE.model_copy(update={"tied": tied})
    models = [Transformer(shape, 30, seed) for seed in range(3)]
    decays, clips = [0.5, 0.0, 0.2], [0.05, 100.0, 1.0]
    stack = Stack(models)
    optimiser = StackedAdamW(stack.parameters(), decays, clips, betas=(0.9, 0.95))
    alone = [
        PlainAdamW(arrays_of(model), weight_decay=decay, gradient_clip=clip)
        for model, decay, clip in zip(models, decays, clips, strict=True)
    ]
    text = torch.from_numpy(np.random.default_rng(0).integers(0, 30, (4, 3, 2, 17)))
    for step in range(4):
        speeds = np.array([1e-2, 3e-2, 2e-2]) / (step + 1)
        losses = []
        for k, (model, plain) in enumerate(zip(models, alone, strict=True)):
            loss = target_losses(model, text[step, k]).mean()
            losses.append(loss.item())
            plain.step(plain_gradients(model, loss), speeds[k])
            put_into(model, plain.weights)
        loss = stack.loss(text[step, :, :, :-1], text[step, :, :, 1:])
        assert loss.tolist() == pytest.approx(losses, abs=1e-5)
        loss.sum().backward()  # type: ignore[no-untyped-call]
        optimiser.step(torch.from_numpy(speeds.astype(np.float32)))
        if step == 1:  # what a checkpoint keeps is all there is
            fresh = StackedAdamW(stack.parameters(), decays, clips, betas=(0.9, 0.95))
            fresh.load(optimiser.state())
            optimiser = fresh
    for k, plain in enumerate(alone):
        for name, weight in stack.member_state(k).items():
            assert weight.numpy() == pytest.approx(plain.weights[name], abs=1e-5), name
