"""Memory of a rank: the published table, what is offloaded, and what would make a training fit."""

import pytest

from mashbill.config import ModelShape, TrainingConfig
from mashbill.config.recipe import OffloadConfig
from mashbill.training.memory import memory_of, mends

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
    for stage in (1, 2, 3):  # ZeRO holds its share of the weights once more, whatever their precision
        cut, half_cut = (memory_of(training(precision=p), 32_000, zero_stage=stage) for p in ("fp32", "bf16"))
        assert cut.optimiser == half_cut.optimiser == round(12 * 1_100_048_384 / 8)


def test_ranks_of_all_nodes_share_and_what_is_computed_again_is_not_kept() -> None:
    one, two = (training(nodes=n, processes_per_node=8 // n, zero_stage=3) for n in (1, 2))
    assert memory_of(one, 32_000) == memory_of(two, 32_000)
    plain, again, apart = (
        memory_of(training(**settings), 32_000)
        for settings in ({}, {"recompute_every": 2}, {"document_masking": True})
    )
    assert again.activations < 0.6 * plain.activations
    turns = 2 * 8 * 2_048 * 64 * 2  # of 8 sequences' tokens, a cosine and a sine of each of a head's numbers
    assert apart.activations - plain.activations == turns


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
