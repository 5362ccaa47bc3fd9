"""Memory of a rank: the published table, and activations against what autograd keeps."""

import pytest
import torch

from mashbill.config import ModelShape, TrainingConfig
from mashbill.config.recipe import OffloadConfig
from mashbill.models.transformer import Transformer
from mashbill.training.memory import activation_bytes, logits_bytes, memory_of, mends

TINYLLAMA = ModelShape(
    layers=22, width=2048, heads=32, kv_heads=4, feed_forward=5632, context=2048, tied=False
)
GIB = 2**30


def training(**settings: object) -> TrainingConfig:
    return TrainingConfig(model=TINYLLAMA, **{"processes_per_node": 8, **settings})  # type: ignore[arg-type]


def test_weights_gradients_and_optimiser_of_tinyllama_are_those_of_the_zero_papers_table() -> None:
    expected = {0: 16.4, 1: 5.6, 2: 3.8, 3: 2.05}
    for stage, gib in expected.items():
        found = memory_of(training(), 32_000, zero_stage=stage)
        assert (found.weights + found.gradients + found.optimiser) / GIB == pytest.approx(gib, abs=0.06)
        assert found.total == sum(
            (found.weights, found.gradients, found.optimiser, found.activations, found.logits)
        )


def test_activations_are_near_korthikantis_34_bytes_a_token_width_and_layer() -> None:
    """Their 34 s b h, without dropout's masks, is for a feed-forward layer of four widths; this one has 2.75
    of them three times over."""
    a_token_and_layer = activation_bytes(TINYLLAMA, 1_000) / 1_000 / 22
    assert a_token_and_layer / 2048 == pytest.approx(34, rel=0.05)


@pytest.mark.parametrize(
    "shape",
    [
        ModelShape(layers=4, width=128, heads=4, kv_heads=2, feed_forward=352, context=512),
        ModelShape(layers=2, width=256, heads=8, kv_heads=8, feed_forward=512, context=320),
        ModelShape(layers=3, width=64, heads=2, kv_heads=1, feed_forward=96, context=384, tied=False),
    ],
    ids=["grouped", "whole heads", "one key head"],
)
def test_activations_are_what_autograd_keeps(shape: ModelShape) -> None:
    vocabulary, sequences = 300, 2
    tokens, norms = sequences * shape.context, 2 * shape.layers + 1
    beside = norms * tokens * shape.width * 4  # a norm's second copy, which torch keeps on a CPU alone
    output_layer = vocabulary * shape.width * 4
    kept = kept_by_autograd(shape, vocabulary, sequences)
    assert kept - beside - output_layer == pytest.approx(activation_bytes(shape, tokens, width=4), rel=2e-3)


def kept_by_autograd(shape: ModelShape, vocabulary: int, sequences: int) -> int:
    """Bytes of the storages that forward keeps for backward, parameters left out."""
    model = Transformer(shape, vocabulary)
    there = {p.untyped_storage().data_ptr() for p in [*model.parameters(), *model.buffers()]}
    kept: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.untyped_storage().data_ptr() not in there:
            kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    ids = torch.randint(0, vocabulary, (sequences, shape.context))
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model(ids, ids)
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


def test_recomputed_blocks_keep_their_inputs_and_one_of_them_all() -> None:
    whole, less = (activation_bytes(TINYLLAMA, 1, recomputed=r) for r in (False, True))
    assert less == 22 * 2048 * 2 + (whole - 2 * 2048 * 2 - 12) / 22 + 2 * 2048 * 2 + 12


def test_logits_are_a_chunk_however_many_tokens_there_are() -> None:
    assert logits_bytes(TINYLLAMA, 32_000, 16_384) == logits_bytes(TINYLLAMA, 32_000, 10**6)
    assert logits_bytes(TINYLLAMA, 32_000, 100) == 100 * 32_000 * 8 + 32_000 * 2048 * 2


def test_what_is_offloaded_is_not_on_the_card_where_the_zero_stage_has_it() -> None:
    away = training(offload=OffloadConfig(optimizer="cpu", parameters="cpu"))
    assert memory_of(away, 32_000, zero_stage=0) == memory_of(training(), 32_000, zero_stage=0)
    one, three = (memory_of(away, 32_000, zero_stage=stage) for stage in (1, 3))
    assert (one.optimiser, three.optimiser, three.weights) == (0, 0, 0)
    assert one.weights > 0


def test_full_precision_takes_as_much_for_optimiser_and_twice_for_activations() -> None:
    half, full = (memory_of(training(precision=p), 32_000, zero_stage=0) for p in ("bf16", "fp32"))
    assert full.weights + full.gradients + full.optimiser == half.weights + half.gradients + half.optimiser
    assert full.activations == pytest.approx(2 * half.activations, rel=0.01)


def test_what_would_make_it_fit_does() -> None:
    large = training(micro_batch_sequences=32, zero_stage=1)
    need = memory_of(large, 32_000).total
    for gigabytes in (110, 80, 40, 24, 12, 6, 4):
        found = mends(large, 32_000, gigabytes * 1e9)
        assert need > gigabytes * 1e9
        assert all(word.partition(" =")[0].startswith(("training.", "activation")) for word in found)
        for words in found:
            if words.startswith("training.micro_batch_sequences = "):
                micro = int(words.rsplit(" ", 1)[1])
                assert memory_of(large, 32_000, micro_batch=micro).total <= gigabytes * 1e9
                assert memory_of(large, 32_000, micro_batch=2 * micro).total > gigabytes * 1e9
    assert mends(large, 32_000, 1e9) == []
    assert mends(large, 32_000, need) != []
