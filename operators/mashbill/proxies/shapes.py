"""Shapes of models: a model's at a smaller size, and shapes of equal size that differ in depth."""

from collections.abc import Iterable

from mashbill.config import ModelShape
from mashbill.errors import ConfigError
from mashbill.models.sizes import parameter_count

STEP = 8  # widths are multiples of it
SHALLOWEST = 3
"""Induction needs two layers of attention (arXiv 2209.11895); models of one or two learn along other curves,
and say little of deeper ones."""
WHOLE_HEADS = 4  # from so many on, widths are multiples of a head's


def smaller_shape(shape: ModelShape, share: float) -> ModelShape:
    """A shape whose blocks have about this share of the parameters: depth and width shrink alike, by the cube
    root, but no shallower than three layers where the shape has as many."""
    layers = max(min(SHALLOWEST, shape.layers), round(shape.layers * share ** (1 / 3)))
    width = shape.width * (share * shape.layers / layers) ** 0.5
    return of_width(shape, layers, width)


def of_width(shape: ModelShape, layers: int, width: float) -> ModelShape:
    """A shape of other depth and width, in the proportions of one: heads about as wide, as many of them to a
    key head, a feed-forward layer as many times as wide."""
    head = shape.width // shape.heads
    step = head if head % STEP == 0 and width >= WHOLE_HEADS * head else STEP
    wide = max(step, step * round(width / step))
    heads = _heads(wide, shape.width / shape.heads)
    shared = shape.heads // shape.kv_heads
    kv_heads = max(
        one for one in range(1, heads + 1) if heads % one == 0 and (one * shared <= heads or one == 1)
    )
    inner = max(STEP, STEP * round(wide * shape.feed_forward / shape.width / STEP))
    update = {"layers": layers, "width": wide, "heads": heads, "kv_heads": kv_heads, "feed_forward": inner}
    return shape.model_copy(update=update)


def of_equal_size(shape: ModelShape, depths: Iterable[int], *, vocabulary: int) -> dict[int, ModelShape]:
    """By depth, the shape of that depth whose parameters, embeddings among them, are closest to those of a
    shape.

    Raises:
        ConfigError: no width comes within a tenth of them at one of the depths.
    """
    wanted, found = parameter_count(shape, vocabulary), {}
    for layers in depths:
        widths = range(STEP, 4 * shape.width * max(1, round(shape.layers**0.5)) + STEP, STEP)
        shapes = [of_width(shape, layers, width) for width in widths]
        best = min(shapes, key=lambda one: abs(parameter_count(one, vocabulary) - wanted))
        best = _filled_up(best, wanted - parameter_count(best, vocabulary))
        off = parameter_count(best, vocabulary) / wanted - 1
        if abs(off) > NEAR:
            what = f"{layers} layers come to {1 + off:.2f} times the proxy's parameters at best"
            raise ConfigError("ladder.depths", what, "leave that depth out")
        found[layers] = best
    return found


NEAR = 0.1


def _filled_up(shape: ModelShape, parameters: int) -> ModelShape:
    """A shape with so many parameters more, or fewer, in its feed-forward layers, as nearly as its steps
    allow."""
    more = STEP * round(parameters / (3 * shape.layers * shape.width * STEP))
    return shape.model_copy(update={"feed_forward": max(STEP, shape.feed_forward + more)})


def _heads(width: int, head_width: float) -> int:
    """How many heads a width is split into: an even number of channels each, as near to a width as can be."""
    possible = [heads for heads in range(1, width // 2 + 1) if width % heads == 0 and width // heads % 2 == 0]
    return min(possible, key=lambda heads: (abs(width / heads - head_width), heads))
