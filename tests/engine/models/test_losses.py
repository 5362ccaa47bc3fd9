"""The fused loss with z-loss and targets that do not count is what autograd makes of the formula."""

import pytest
import torch

from mashbill.models.cross_entropy import FusedCrossEntropy

MODELS, TOKENS, WIDTH, VOCABULARY = 2, 700, 12, 1_000


@pytest.mark.parametrize("z_loss", [0.0, 1e-4, 0.3])
@pytest.mark.parametrize("some", [False, True])
def test_loss_and_gradients_are_those_of_autograd(z_loss: float, some: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(MODELS, TOKENS, WIDTH, generator=generator).double().requires_grad_()
    weight = torch.randn(MODELS, VOCABULARY, WIDTH, generator=generator).double().requires_grad_()
    targets = torch.randint(0, VOCABULARY, (MODELS, TOKENS), generator=generator)
    counted = torch.rand(MODELS, TOKENS, generator=generator) < 0.7 if some else None
    logits = hidden @ weight.transpose(1, 2)
    each = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
    square = logits.logsumexp(-1) ** 2
    kept = torch.ones(MODELS, TOKENS) if counted is None else counted.double()
    plain = (each.view(MODELS, TOKENS) * kept).sum(1) / kept.sum(1)
    expected = plain + z_loss * (square * kept).sum(1) / kept.sum(1)
    loss, told = FusedCrossEntropy.apply(  # type: ignore[no-untyped-call]
        hidden.float(), weight.float(), targets, counted, z_loss
    )
    assert not told.requires_grad
    assert torch.allclose(told.double(), plain, rtol=1e-5)
    assert torch.allclose(loss.double(), expected, rtol=1e-5)
    factors = torch.tensor([1.0, 3.0])
    got = torch.autograd.grad((loss * factors).sum(), (hidden, weight))
    wanted = torch.autograd.grad((expected * factors.double()).sum(), (hidden, weight))
    for one, other in zip(got, wanted, strict=True):
        assert torch.allclose(one, other, atol=1e-5 * other.abs().max().item())
        assert other.abs().max() > 1e-4


def test_bf16_loss_and_gradients_of_several_chunks_are_those_of_full_precision() -> None:
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(1, TOKENS, WIDTH, generator=generator).bfloat16()
    weight = torch.randn(1, VOCABULARY, WIDTH, generator=generator).bfloat16()
    targets = torch.randint(0, VOCABULARY, (1, TOKENS), generator=generator)
    found = []
    for dtype in (torch.bfloat16, torch.float64):
        leaves = [x.to(dtype).requires_grad_() for x in (hidden, weight)]
        if dtype == torch.bfloat16:
            loss = FusedCrossEntropy.apply(*leaves, targets)[0][0]  # type: ignore[no-untyped-call]
        else:
            logits = leaves[0][0] @ leaves[1][0].T
            loss = torch.nn.functional.cross_entropy(logits, targets[0])
        found.append([loss.detach(), *torch.autograd.grad(loss, leaves)])
    for one, other in zip(*found, strict=True):
        assert (one.double() - other).norm() < 0.01 * other.norm()
