"""The shape of a transformer: its sizes, those of each block, and the sizes of published models by name."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

from pydantic import Field, model_validator

from mashbill.config.section import Section

Preset = Literal["tinyllama-1.1b", "openelm-1.1b"]
PRESETS: Mapping[str, Mapping[str, Any]] = {
    "tinyllama-1.1b": {
        "layers": 22,
        "width": 2048,
        "heads": 32,
        "kv_heads": 4,
        "feed_forward": 5632,
        "context": 2048,
        "tied": False,
    },
    "openelm-1.1b": {
        "layers": 28,
        "width": 2048,
        "heads": 32,
        "kv_heads": 8,
        "feed_forward": 8192,
        "context": 2048,
        "tied": True,
        "qk_norm": True,
        "attention_from": 0.5,
        "feed_forward_from": 0.125,
    },
}
BESIDE_PRESET = ("preset", "context", "rope_theta", "norm_epsilon", "qk_norm")
FEED_FORWARD_STEP = 256


@dataclass(frozen=True)
class BlockShape:
    """Sizes of one block."""

    heads: int
    kv_heads: int
    feed_forward: int


class ModelShape(Section):
    """A Llama-style transformer: RMSNorm, RoPE, SwiGLU, grouped-query attention.

    With ``attention_from`` or ``feed_forward_from`` below 1 its blocks grow from the first to the last, as
    OpenELM's do; what the other fields say is then the last block's.
    """

    preset: Preset | None = Field(
        None,
        description="A published model's sizes, instead of those below; context, rope_theta, norm_epsilon "
        "and qk_norm may stand beside it.",
    )
    layers: int = Field(2, ge=1, le=200, description="Transformer blocks.")
    width: int = Field(128, ge=8, le=32_768, description="Width of the residual stream.")
    heads: int = Field(4, ge=1, le=256, description="Query heads.")
    kv_heads: int = Field(4, ge=1, le=256, description="Key and value heads.")
    head_width: int = Field(0, ge=0, le=1_024, description="Width of a head; 0 means width / heads.")
    feed_forward: int = Field(384, ge=8, le=131_072, description="Width of the gated feed-forward layer.")
    attention_from: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Share of the heads that the first block has; it grows evenly to all in the last.",
    )
    feed_forward_from: float = Field(
        1.0, gt=0, le=1, description="Share of feed_forward that the first block has; it grows likewise."
    )
    qk_norm: bool = Field(False, description="Whether queries and keys are normed, head by head.")
    context: int = Field(256, ge=16, le=131_072, description="Tokens in a sequence.")
    tied: bool = Field(True, description="Whether input and output embeddings are one matrix.")
    rope_theta: float = Field(10_000.0, gt=0, description="Base of the rotary embedding.")
    norm_epsilon: float = Field(1e-5, gt=0, lt=1, description="What norms add to a mean square.")

    @model_validator(mode="before")
    @classmethod
    def _of_preset(cls, given: Any) -> Any:
        name = given.get("preset") if isinstance(given, Mapping) else None
        if not isinstance(name, str) or name not in get_args(Preset):
            return given
        beside = [field for field in given if field in cls.model_fields and field not in BESIDE_PRESET]
        if beside:
            raise ValueError(
                f"{beside[0]} stands beside preset {name!r}, which says it; leave one of the two out"
            )
        return {**PRESETS[name], **given, "preset": None}

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        if not self.head_width and (self.width % self.heads or (self.width // self.heads) % 2):
            raise ValueError(f"width {self.width} must be an even multiple of heads {self.heads}")
        if self.head_width % 2:
            raise ValueError(f"head_width {self.head_width} must be even; rotary positions turn pairs")
        if self.heads % self.kv_heads:
            raise ValueError(f"heads {self.heads} must be a multiple of kv_heads {self.kv_heads}")
        return self

    @property
    def head_dim(self) -> int:
        """Width of a head."""
        return self.head_width or self.width // self.heads

    @property
    def uniform(self) -> bool:
        """Whether all blocks are alike."""
        return len(set(self.blocks)) == 1

    @property
    def blocks(self) -> tuple[BlockShape, ...]:
        """Sizes of each block, the first first.

        Source: OpenELM (arXiv 2404.14619), layer-wise scaling, rounded as its code does: the scales to two
        places, heads to whole groups, feed-forward layers to multiples of 256.
        """
        group, last = self.heads // self.kv_heads, self.layers - 1
        blocks = []
        for i in range(self.layers):
            done = i / last if last else 1.0
            heads, feed_forward = self.heads, self.feed_forward
            if self.attention_from < 1:
                scale = round(self.attention_from + (1 - self.attention_from) * done, 2)
                heads = _to_multiple(self.heads * self.head_dim * scale, self.head_dim * group)
                heads //= self.head_dim
            if self.feed_forward_from < 1:
                share = self.feed_forward_from + (1 - self.feed_forward_from) * done
                scale = round(share * self.feed_forward / self.width, 2)
                feed_forward = _to_multiple(scale * self.width, FEED_FORWARD_STEP)
            blocks.append(BlockShape(heads, heads // group, feed_forward))
        return tuple(blocks)


def _to_multiple(size: float, step: int) -> int:
    """The multiple of a step that is nearest, and no less than nine tenths of the size."""
    nearest = max(step, int(size + step / 2) // step * step)
    return nearest + step if nearest < 0.9 * size else nearest
