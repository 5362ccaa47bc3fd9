"""Parameters, FLOPs and memory are those of the module itself: counted by torch, and as published."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from mashbill.config import ModelShape
from mashbill.models.attention import Documents
from mashbill.models.sizes import activation_bytes, flops_per_token, logits_bytes, mean_span, parameter_count
from mashbill.models.transformer import Transformer

TINYLLAMA, OPENELM = ModelShape(preset="tinyllama-1.1b"), ModelShape(preset="openelm-1.1b")  # type: ignore[call-arg]
WIDE = ModelShape(layers=3, width=64, heads=4, kv_heads=2, head_width=32, feed_forward=96, qk_norm=True)
GROWING = ModelShape(
    layers=4,
    width=64,
    heads=8,
    kv_heads=2,
    feed_forward=1024,
    context=576,
    tied=False,
    qk_norm=True,
    attention_from=0.5,
    feed_forward_from=0.25,
)
PLAIN = ModelShape(layers=3, width=64, heads=4, kv_heads=4, feed_forward=96, context=544, tied=False)
OTHERS = [WIDE, GROWING, PLAIN]


@pytest.mark.parametrize("shape, published", [(TINYLLAMA, 1_100_048_384), (OPENELM, 1_080_153_600)])
def test_published_models_have_their_published_parameters(shape: ModelShape, published: int) -> None:
    vocabulary = 32_000 if shape is TINYLLAMA else 32_128
    with torch.device("meta"):
        model = Transformer(shape, vocabulary)
    assert sum(p.numel() for p in model.parameters()) == parameter_count(shape, vocabulary) == published


def test_openelm_has_its_published_heads() -> None:
    heads = [block.heads for block in OPENELM.blocks]
    assert heads == [16] * 3 + [20] * 7 + [24] * 8 + [28] * 6 + [32] * 4
    assert all(block.heads == 4 * block.kv_heads for block in OPENELM.blocks)
    wide = [block.feed_forward for block in OPENELM.blocks]
    assert (wide[0], wide[-1]) == (1024, 8192)
    assert all(size % 256 == 0 for size in wide)
    assert wide == sorted(wide)


@pytest.mark.parametrize("shape", OTHERS)
def test_parameters_are_those_of_the_module(shape: ModelShape) -> None:
    model = Transformer(shape, 300)
    assert parameter_count(shape, 300) == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("shape", [TINYLLAMA, OPENELM, *OTHERS])
def test_flops_are_those_that_torch_counts(shape: ModelShape) -> None:
    with torch.device("meta"):
        model = Transformer(shape, 32_000)
        tokens = torch.zeros((1, shape.context), dtype=torch.int64)
    with FlopCounterMode(display=False) as counter:
        logits = model(tokens)  # the fused loss adds products in place, which torch does not count
        torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens.flatten()).backward()
    counted = counter.get_total_flops() / shape.context
    norms = sum(p.numel() for p in model.parameters() if p.dim() == 1)  # which torch counts none for
    assert flops_per_token(shape, 32_000) - 6 * norms == pytest.approx(counted, rel=1e-6)


def test_a_span_shorter_than_the_context_takes_its_share_of_attention_away() -> None:
    assert mean_span([100, 300], 1_000) == (100 * 100 + 300 * 300) / 400
    assert mean_span([250], 100) == (100 * 100 * 2 + 50 * 50) / 250  # three sequences hold it
    assert mean_span([2_048] * 3, 2_048) == 2_048
    assert mean_span([], 64) == 0
    whole, half = (flops_per_token(TINYLLAMA, 32_000, span=span) for span in (2_048, 1_024))
    assert whole == flops_per_token(TINYLLAMA, 32_000)
    assert whole - half == 12 * 22 * 2_048 * 1_024


def test_logits_are_held_once_as_multiplied_and_where_that_is_bf16_in_full_precision_beside() -> None:
    vocabulary, many = 32_000, 2**20
    for_gpu, for_cpu = ((on_gpu, 2**28 if on_gpu else 512 * vocabulary) for on_gpu in (True, False))
    for (on_gpu, chunk), beside in ((for_gpu, 4 * 2**28), (for_cpu, 4 * 2**18)):
        assert logits_bytes(vocabulary, many, on_gpu=on_gpu, value_bytes=4) == 4 * chunk
        assert logits_bytes(vocabulary, many, on_gpu=on_gpu, value_bytes=2) == 2 * chunk + beside
        assert logits_bytes(100, 3, on_gpu=on_gpu, value_bytes=2) == 100 * 3 * (2 + 4)
        assert logits_bytes(100, 3, on_gpu=on_gpu, value_bytes=4) == 100 * 3 * 4


@pytest.mark.parametrize("dtype, size", [(torch.bfloat16, 2), (torch.float32, 4)])
@pytest.mark.parametrize("documents", [False, True])
@pytest.mark.parametrize("every", [0, 2])
@pytest.mark.parametrize("shape", [GROWING, PLAIN])
def test_activations_are_what_forward_keeps(
    shape: ModelShape, every: int, documents: bool, dtype: torch.dtype, size: int
) -> None:
    model = Transformer(shape, 300).to(dtype)
    model.recompute_every = every
    own = {x.untyped_storage().data_ptr() for x in (*model.parameters(), *model.buffers())}
    tokens = torch.randint(0, 300, (2, shape.context + 1), generator=torch.Generator().manual_seed(0))
    inputs, targets = tokens[:, :-1], tokens[:, 1:]
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(x: torch.Tensor) -> torch.Tensor:
        storage = x.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage  # held, so that no address is used twice
        return x

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        model(inputs, targets, documents=Documents.of(inputs, 5) if documents else None)
    counted = sum(storage.nbytes() for storage in kept.values())
    told = activation_bytes(
        shape, 300, 2, recompute_every=every, value_bytes=size, on_gpu=False, documents=documents
    )
    if every:  # the one that is whole again in backward, no part of what forward keeps
        one, two = (activation_bytes(shape, 300, 2, value_bytes=size, on_gpu=False) for shape in _last(shape))
        told -= two - one
    assert told == pytest.approx(counted, rel=0.005)


def _last(shape: ModelShape) -> tuple[ModelShape, ModelShape]:
    """A shape of one block and of two, both like the largest of those that are recomputed, the third."""
    block = shape.blocks[2]
    same = {"heads": block.heads, "kv_heads": block.kv_heads, "feed_forward": block.feed_forward}
    whole = {"attention_from": 1.0, "feed_forward_from": 1.0, "head_width": shape.head_dim}
    return tuple(shape.model_copy(update={**same, **whole, "layers": n}) for n in (1, 2))  # type: ignore[return-value]
