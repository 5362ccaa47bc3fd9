"""Recomputed layers and compiled models give what the plain ones do."""

import pytest
import torch

from mashbill.config import ModelShape
from mashbill.models.attention import Documents
from mashbill.models.transformer import Compilation, Transformer, compiled

END = 3
SHAPE = ModelShape(
    layers=3, width=32, heads=4, kv_heads=2, feed_forward=64, context=48, qk_norm=True, attention_from=0.5
)


def gradients(model: Transformer, *, documents: bool, dtype: torch.dtype) -> list[torch.Tensor]:
    """The loss and the gradient of each parameter, by name's order."""
    tokens = torch.randint(0, 60, (3, 49), generator=torch.Generator().manual_seed(0))
    inputs, targets = tokens[:, :-1], tokens[:, 1:]
    apart = Documents.of(inputs, END) if documents else None
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        loss, _ = model(inputs, targets, documents=apart, z_loss=1e-3)
    return [loss.detach(), *torch.autograd.grad(loss, [p for _, p in sorted(model.named_parameters())])]


@pytest.mark.parametrize("every", [1, 2, 9])
@pytest.mark.parametrize("documents", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_recomputing_layers_changes_no_bit(every: int, documents: bool, dtype: torch.dtype) -> None:
    model = Transformer(SHAPE, 60, seed=1)
    plain = gradients(model, documents=documents, dtype=dtype)
    runs: list[str] = []
    for i, block in enumerate(model.model.layers):
        block.mlp.register_forward_pre_hook(lambda *_, i=i: runs.append(str(i)))
    model.recompute_every = every
    again = gradients(model, documents=documents, dtype=dtype)
    assert all(torch.equal(one, other) for one, other in zip(plain, again, strict=True))
    assert [runs.count(str(i)) for i in range(3)] == [2 if i % every == 0 else 1 for i in range(3)]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*should not be instantiated.*:DeprecationWarning")  # torch's own
@pytest.mark.parametrize("every, documents", [(0, False), (2, True)])
def test_a_step_compiles_without_a_break(every: int, documents: bool) -> None:
    model = Transformer(SHAPE, 60, seed=1)
    model.recompute_every = every
    plain = gradients(model, documents=documents, dtype=torch.float32)
    torch.compiler.reset()
    model.compile(backend="aot_eager", fullgraph=True)  # which raises where a graph breaks
    again = gradients(model, documents=documents, dtype=torch.float32)
    assert all(torch.allclose(one, other, atol=1e-6) for one, other in zip(plain, again, strict=True))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning")  # torch's compiler looks at it
@pytest.mark.parametrize("how", ["none", "blocks", "whole"])
def test_a_compiled_model_is_the_plain_one_with_the_same_names(how: Compilation) -> None:
    model = Transformer(SHAPE, 60, seed=1)
    plain, names = gradients(model, documents=True, dtype=torch.float32), list(model.state_dict())
    torch.compiler.reset()
    same = compiled(model, how)
    again = gradients(same, documents=True, dtype=torch.float32)
    assert same is model
    assert list(model.state_dict()) == names
    assert all(torch.allclose(one, other, atol=1e-5) for one, other in zip(plain, again, strict=True))
