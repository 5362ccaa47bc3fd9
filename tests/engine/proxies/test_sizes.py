"""Shapes and settings of small models: in proportion to a large one, or as large as one and deeper."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from builders.corpus import corpus_config
from mashbill.config import ModelShape, PipelineConfig
from mashbill.errors import ConfigError
from mashbill.models.sizes import parameter_count
from mashbill.proxies.depths import rank
from mashbill.proxies.shapes import of_equal_size, smaller_shape
from mashbill.proxies.sizes import planned_sizes, settings_at
from mashbill.training.laws import step_law_batch_tokens

VOCABULARY = 2_048
TINYLLAMA = ModelShape(
    layers=22, width=2_048, heads=32, kv_heads=4, feed_forward=5_632, context=2_048, tied=False
)
SMALL = ModelShape(layers=3, width=160, heads=5, kv_heads=5, feed_forward=448, context=128)
TWO = ModelShape(layers=2, width=128, heads=4, kv_heads=2, feed_forward=384, context=64)


def blocks(shape: ModelShape) -> int:
    """Parameters without embeddings and the last norm."""
    embeddings = VOCABULARY * shape.width * (1 if shape.tied else 2)
    return parameter_count(shape, VOCABULARY) - embeddings - shape.width


@pytest.mark.parametrize("shape", [TINYLLAMA, SMALL, TWO], ids=["1.1B", "small", "two layers"])
@pytest.mark.parametrize("share", [0.02, 0.06, 0.25, 0.5])
def test_a_smaller_shape_has_about_its_share_in_the_same_proportions(shape: ModelShape, share: float) -> None:
    found = smaller_shape(shape, share)
    assert ModelShape.model_validate(found.model_dump()) == found  # its heads divide
    assert blocks(found) / blocks(shape) == pytest.approx(share, rel=0.4)
    assert found.feed_forward / found.width == pytest.approx(shape.feed_forward / shape.width, rel=0.15)
    assert found.layers >= min(3, shape.layers)
    assert (found.context, found.tied, found.rope_theta) == (shape.context, shape.tied, shape.rope_theta)
    assert found.heads // found.kv_heads <= 2 * shape.heads // shape.kv_heads


def test_a_whole_share_is_the_shape_itself() -> None:
    for shape in (TINYLLAMA, SMALL, TWO):
        assert smaller_shape(shape, 1.0) == shape


def test_shapes_of_equal_size_differ_in_depth_alone_by_more_than_a_tenth() -> None:
    found = of_equal_size(SMALL, (1, 2, 3, 6, 12), vocabulary=VOCABULARY)
    assert list(found) == [1, 2, 3, 6, 12]
    assert found[3].width == SMALL.width
    for layers, shape in found.items():
        assert shape.layers == layers
        ratio = parameter_count(shape, VOCABULARY) / parameter_count(SMALL, VOCABULARY)
        assert ratio == pytest.approx(1, abs=0.05)
    widths = [shape.width for shape in found.values()]
    assert all(wide > narrow for wide, narrow in pairwise(widths))


def test_a_depth_that_no_width_makes_as_large_is_refused_in_a_line() -> None:
    tiny = ModelShape(layers=1, width=8, heads=1, kv_heads=1, feed_forward=16, context=16)
    with pytest.raises(ConfigError, match=r"ladder.depths: 200 layers come to .*; leave that depth out"):
        of_equal_size(tiny, (200,), vocabulary=10)


@pytest.fixture
def config(tmp_path: Path) -> PipelineConfig:
    toml = """
[proxy]
model = { layers = 2, width = 128, heads = 4, kv_heads = 4, feed_forward = 384, context = 128 }
batch_sequences = 4
learning_rate = 4e-3
min_learning_rate = 4e-4
[training]
model = { layers = 12, width = 768, heads = 12, kv_heads = 12, feed_forward = 2048, context = 256 }
tokens = 100_000_000
batch_sequences = 64
learning_rate = 1e-3
min_learning_rate = 2e-4
warmup_share = 0.02
weight_decay = 0.2
gradient_clip = 0.5
micro_batch_sequences = 16
[forecast]
smallest = 0.02
largest = 0.3
budgets = [0.25, 0.0625]
seeds = 3
"""
    return corpus_config(tmp_path, {"a": "a.jsonl", "b": "b.jsonl"}, {"r": "r.jsonl"}, toml)


def test_every_size_meets_every_budget_and_the_smallest_come_first(config: PipelineConfig) -> None:
    planned = planned_sizes(config, VOCABULARY)
    assert len(planned) == 8
    assert len({one.name for one in planned}) == len({one.place for one in planned}) == 8
    sizes = [parameter_count(one.proxy.model, VOCABULARY) for one in planned]
    assert sizes == sorted(sizes)
    assert len(set(sizes)) == 4
    for one, share in zip(planned, [0.0625, 0.25] * 4, strict=True):
        assert one.tokens == pytest.approx(100_000_000 * share, rel=0.01)
        assert one.tokens % one.batch_tokens == 0
        assert one.seeds == 3
        assert one.proxy.model.context == 256


def test_a_run_is_the_final_one_but_for_batch_and_rate(config: PipelineConfig) -> None:
    shape = planned_sizes(config, VOCABULARY)[-1].proxy.model
    found = settings_at(config, shape, 0.25)
    assert (found.warmup_share, found.weight_decay, found.gradient_clip) == (0.02, 0.2, 0.5)
    assert found.min_learning_rate / found.learning_rate == pytest.approx(0.2)
    assert found.batch_sequences == round(64 * 0.25**0.571)


def test_at_the_final_size_and_budget_a_run_is_the_final_run(config: PipelineConfig) -> None:
    training = config.training
    found = settings_at(config, training.model, 1.0)
    assert found.learning_rate == pytest.approx(training.learning_rate)
    assert found.batch_sequences == training.batch_sequences
    at_proxy = settings_at(config, config.proxy.model, 1.0)
    assert at_proxy.batch_sequences == 2 * training.batch_sequences  # of half the context


def test_narrower_runs_have_higher_rates_and_batches_go_with_tokens_as_in_step_law(
    config: PipelineConfig,
) -> None:
    """Whatever the final run's own are: the law's constants do not matter."""
    final = config.training
    whole = final.batch_sequences * final.model.context
    for one in planned_sizes(config, VOCABULARY):
        assert one.proxy.learning_rate * one.proxy.model.width == pytest.approx(
            final.learning_rate * final.model.width
        )
        batches = [step_law_batch_tokens(tokens) for tokens in (one.tokens, final.tokens)]
        assert one.batch_tokens / whole == pytest.approx(batches[0] / batches[1], rel=0.06)


def test_given_shapes_take_the_place_of_those_that_are_made(config: PipelineConfig) -> None:
    given = (SMALL, TWO, TINYLLAMA)
    with_them = config.model_copy(
        update={"forecast": config.forecast.model_copy(update={"shapes": given, "sizes": 9})}
    )
    assert {one.proxy.model for one in planned_sizes(with_them, VOCABULARY)} == set(given)


def test_no_sizes_plan_nothing(config: PipelineConfig) -> None:
    off = config.model_copy(update={"forecast": config.forecast.model_copy(update={"sizes": 0})})
    assert planned_sizes(off, VOCABULARY) == []


def test_depths_are_ranked_and_those_within_the_seeds_noise_are_not_worse() -> None:
    shapes = list(of_equal_size(SMALL, (1, 2, 3, 6), vocabulary=VOCABULARY).values())
    losses = np.array([[2.50, 2.52], [2.01, 1.99], [2.00, 2.04], [np.nan, np.nan]])
    found = rank(shapes, losses, vocabulary=VOCABULARY)
    assert [row.layers for row in found] == [2, 3, 1, 6]
    assert [row.mean for row in found] == [pytest.approx(2.0), pytest.approx(2.02), pytest.approx(2.51), None]
    deviation = np.sqrt((2 * 0.01**2 + 2 * 0.01**2 + 2 * 0.02**2) / 3)
    assert found[0].error == pytest.approx(deviation / np.sqrt(2))
    assert [row.worse for row in found] == [False, False, True, None]
    assert found[3].losses == (None, None)


def test_one_seed_ranks_and_says_nothing_of_noise() -> None:
    shapes = list(of_equal_size(SMALL, (2, 3), vocabulary=VOCABULARY).values())
    found = rank(shapes, np.array([[2.5], [2.0]]), vocabulary=VOCABULARY)
    assert [(row.layers, row.mean, row.error, row.worse) for row in found] == [
        (3, 2.0, None, None),
        (2, 2.5, None, None),
    ]
