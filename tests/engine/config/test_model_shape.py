"""A shape is given by its sizes or by a published model's name, and says what is wrong in a line."""

from pathlib import Path

import pytest

from mashbill.config import ModelShape, load_config
from mashbill.errors import ConfigError

CORPUS = """[corpus]
domains = [
  { name = "a", sources = [{ path = "a.jsonl" }] },
  { name = "b", sources = [{ path = "b.jsonl" }] },
]
[training]
"""


def shape_of(tmp_path: Path, model: str, **overrides: object) -> ModelShape:
    """The final model's shape, by a config file."""
    (tmp_path / "config.toml").write_text(f"{CORPUS}model = {model}\n")
    return load_config(tmp_path / "config.toml", overrides).training.model


def test_a_published_model_is_named_instead_of_spelt(tmp_path: Path) -> None:
    spelt = "{ layers = 22, width = 2048, heads = 32, kv_heads = 4, feed_forward = 5632, context = 2048, "
    named = shape_of(tmp_path, '{ preset = "tinyllama-1.1b" }')
    assert named == shape_of(tmp_path, spelt + "tied = false }")
    assert named.what_is_computed()["layers"] == 22  # the same result has the same identity
    assert ModelShape.model_validate(named.model_dump(mode="json")) == named
    longer = shape_of(tmp_path, '{ preset = "openelm-1.1b", context = 4096 }')
    assert (longer.context, longer.layers, longer.qk_norm) == (4096, 28, True)
    overridden = shape_of(tmp_path, "{}", **{"training.model.preset": "openelm-1.1b"})
    assert overridden == ModelShape(preset="openelm-1.1b")


@pytest.mark.parametrize(
    "model, words",
    [
        ('{ preset = "tinyllama-1.1b", layers = 4 }', "layers stands beside preset 'tinyllama-1.1b'"),
        ('"tinyllama-1.1b"', "training.model: is 'tinyllama-1.1b', where a table is needed"),
        ('{ preset = "tinylama" }', "training.model.preset: is 'tinylama'; choose 'tinyllama-1.1b'"),
        ("{ preset = 3 }", "training.model.preset: is 3"),
        ("{ width = 24, heads = 4, kv_heads = 3 }", "heads 4 must be a multiple of kv_heads 3"),
        ("{ head_width = 7 }", "head_width 7 must be even"),
        ("{ attention_from = 0.0 }", "attention_from: is 0.0, and must be greater than 0"),
        ("{ feed_forward_from = 1.5 }", "feed_forward_from: is 1.5, and must be less than or equal to 1"),
    ],
)
def test_a_shape_that_will_not_do_is_told_in_a_line(tmp_path: Path, model: str, words: str) -> None:
    with pytest.raises(ConfigError) as wrong:
        shape_of(tmp_path, model)
    assert words in str(wrong.value)
    assert "\n" not in str(wrong.value)


def test_blocks_grow_from_a_share_to_the_whole() -> None:
    shape = ModelShape(layers=4, width=512, heads=8, kv_heads=2, feed_forward=2048, attention_from=0.5)
    assert [block.heads for block in shape.blocks] == [4, 8, 8, 8]  # 4 is less than 9/10 of 8 x 0.67
    assert [block.kv_heads for block in shape.blocks] == [1, 2, 2, 2]
    assert {block.feed_forward for block in shape.blocks} == {2048}
    assert not shape.uniform
    assert ModelShape(layers=1, attention_from=0.5).uniform  # the last block has all
    odd = ModelShape(width=96, heads=4, kv_heads=4, head_width=32, feed_forward=300)
    assert (odd.head_dim, odd.uniform, odd.blocks[0].feed_forward) == (32, True, 300)
