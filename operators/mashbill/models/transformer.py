"""The transformer: Llama's architecture, small enough to read.

RMSNorm before each layer, rotary positions, grouped-query attention, a gated feed-forward layer (SwiGLU), no
biases. Parameters carry the names of Hugging Face's Llama, so that a state dict needs no translation.
"""

from typing import cast

import torch
from torch import nn
from torch.nn import functional

from mashbill.config import ModelShape
from mashbill.models.attention import causal_attention
from mashbill.models.cross_entropy import FusedCrossEntropy, matrix_dtype, token_cross_entropy

NORM_EPSILON = 1e-5
INITIAL_DEVIATION = 0.02


class Attention(nn.Module):
    """Causal grouped-query attention with rotary positions."""

    def __init__(self, shape: ModelShape) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.head_width = shape.heads, shape.kv_heads, shape.width // shape.heads
        self.q_proj = nn.Linear(shape.width, shape.width, bias=False)
        self.k_proj = nn.Linear(shape.width, self.kv_heads * self.head_width, bias=False)
        self.v_proj = nn.Linear(shape.width, self.kv_heads * self.head_width, bias=False)
        self.o_proj = nn.Linear(shape.width, shape.width, bias=False)

    def forward(self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        """[batch, tokens, width] to the same."""
        batch, tokens, width = x.shape
        q = self.q_proj(x).view(batch, tokens, self.heads, self.head_width).transpose(1, 2)
        k = self.k_proj(x).view(batch, tokens, self.kv_heads, self.head_width).transpose(1, 2)
        v = self.v_proj(x).view(batch, tokens, self.kv_heads, self.head_width).transpose(1, 2)
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        mixed = causal_attention(q, k, v)
        return cast("torch.Tensor", self.o_proj(mixed.transpose(1, 2).reshape(batch, tokens, width)))


class FeedForward(nn.Module):
    """SwiGLU."""

    def __init__(self, shape: ModelShape) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(shape.width, shape.feed_forward, bias=False)
        self.up_proj = nn.Linear(shape.width, shape.feed_forward, bias=False)
        self.down_proj = nn.Linear(shape.feed_forward, shape.width, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[batch, tokens, width] to the same."""
        return cast("torch.Tensor", self.down_proj(functional.silu(self.gate_proj(x)) * self.up_proj(x)))


class Block(nn.Module):
    """Attention and feed-forward, each behind a norm, each added to the stream."""

    def __init__(self, shape: ModelShape) -> None:
        super().__init__()
        self.input_layernorm = nn.RMSNorm(shape.width, eps=NORM_EPSILON)
        self.self_attn = Attention(shape)
        self.post_attention_layernorm = nn.RMSNorm(shape.width, eps=NORM_EPSILON)
        self.mlp = FeedForward(shape)

    def forward(self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        """[batch, tokens, width] to the same."""
        x = x + self.self_attn(self.input_layernorm(x), cos, sin)
        return cast("torch.Tensor", x + self.mlp(self.post_attention_layernorm(x)))


class Decoder(nn.Module):
    """Embedding, blocks and the last norm."""

    def __init__(self, shape: ModelShape, vocabulary: int) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(vocabulary, shape.width)
        self.layers = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.norm = nn.RMSNorm(shape.width, eps=NORM_EPSILON)


class Transformer(nn.Module):
    """A language model.

    Args:
        shape: its sizes.
        vocabulary: tokens of its vocabulary.
        seed: seed of its initial weights.
    """

    def __init__(self, shape: ModelShape, vocabulary: int, seed: int = 0) -> None:
        super().__init__()
        self.shape, self.vocabulary = shape, vocabulary
        self.model = Decoder(shape, vocabulary)
        self.lm_head = nn.Linear(shape.width, vocabulary, bias=False)
        if shape.tied:
            self.lm_head.weight = self.model.embed_tokens.weight
        if self.lm_head.weight.device.type != "meta":
            self.initialise(seed)
        cos, sin = rotary_table(shape)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    def initialise(self, seed: int) -> None:
        """Draw the weights: normal, those that write to the stream smaller with depth."""
        generator = torch.Generator().manual_seed(seed)
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                depth = (
                    (2 * self.shape.layers) ** -0.5
                    if name.endswith(("o_proj.weight", "down_proj.weight"))
                    else 1.0
                )
                nn.init.normal_(parameter, std=INITIAL_DEVIATION * depth, generator=generator)

    def hidden(self, tokens: torch.Tensor) -> torch.Tensor:
        """[batch, tokens] ids to [batch, tokens, width]."""
        x = self.model.embed_tokens(tokens)
        cos, sin = cast("torch.Tensor", self.cos), cast("torch.Tensor", self.sin)
        length = tokens.shape[1]
        for block in self.model.layers:
            x = block(x, cos[:length], sin[:length])
        return cast("torch.Tensor", self.model.norm(x))

    def forward(
        self, tokens: torch.Tensor, targets: torch.Tensor | None = None, *, each: bool = False
    ) -> torch.Tensor:
        """[batch, tokens, vocabulary] logits; where targets are given, the mean loss, or each target's."""
        if targets is None:
            return cast("torch.Tensor", self.lm_head(self.hidden(tokens)))
        return self._each_loss(tokens, targets) if each else self.loss(tokens, targets)

    def loss(self, tokens: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Mean cross-entropy in nats, by the fused output layer.

        Args:
            tokens: [batch, tokens] ids.
            targets: [batch, tokens] the next ids.
        """
        hidden = self.hidden(tokens).flatten(0, 1)
        dtype = matrix_dtype(hidden)
        fused = FusedCrossEntropy.apply(  # type: ignore[no-untyped-call]
            hidden.to(dtype)[None], self.lm_head.weight.to(dtype)[None], targets.flatten()[None]
        )
        return cast("torch.Tensor", fused)[0]

    @torch.no_grad()
    def token_losses(self, tokens: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """[batch, tokens] cross-entropy of each target, in nats; by way of ``forward``, for which ZeRO 3
        gathers the weights."""
        return cast("torch.Tensor", self(tokens, targets, each=True))

    def _each_loss(self, tokens: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        hidden = self.hidden(tokens).flatten(0, 1)
        dtype = matrix_dtype(hidden)
        return token_cross_entropy(
            hidden.to(dtype)[None], self.lm_head.weight.to(dtype)[None], targets.flatten()[None]
        ).view(targets.shape)


def rotary_table(shape: ModelShape) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines and sines of the rotary positions, [context, head width] each."""
    head_width = shape.width // shape.heads
    frequencies = 1.0 / shape.rope_theta ** (torch.arange(0, head_width, 2).float() / head_width)
    angles = torch.outer(torch.arange(shape.context).float(), frequencies)
    doubled = torch.cat([angles, angles], -1)
    return doubled.cos(), doubled.sin()


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Turn queries or keys, [batch, heads, tokens, head width], by their positions."""
    half = x.shape[-1] // 2
    turned = torch.cat([-x[..., half:], x[..., :half]], -1)
    return x * cos.to(x.dtype) + turned * sin.to(x.dtype)
