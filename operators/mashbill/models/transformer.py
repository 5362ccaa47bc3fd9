"""The transformer: Llama's architecture, small enough to read.

RMSNorm before each layer, rotary positions, grouped-query attention, a gated feed-forward layer (SwiGLU), no
biases; queries and keys may be normed (QK-norm), and blocks may grow from layer to layer. Parameters carry
the names of Hugging Face's Llama and Qwen3, so that a state dict needs no translation.
"""

from typing import Literal, cast

import torch
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from mashbill.config import BlockShape, ModelShape
from mashbill.models.attention import Documents, Packing, causal_attention, packing
from mashbill.models.cross_entropy import FusedCrossEntropy, matrix_dtype, token_cross_entropy

Compilation = Literal["none", "blocks", "whole"]
INITIAL_DEVIATION = 0.02
"""Of weights, from a width of a thousand on; below it sqrt(2 / 5 width) (SmallInit, arXiv 1910.05895), which
is the same there. Narrow models that begin with less hear their own embeddings faintly, and stay at the loss
of a table of frequencies for as long as chance has it (docs/decisions/0038)."""


class Attention(nn.Module):
    """Causal grouped-query attention with rotary positions."""

    def __init__(self, shape: ModelShape, block: BlockShape) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.head_width = block.heads, block.kv_heads, shape.head_dim
        inner, kv_inner = self.heads * self.head_width, self.kv_heads * self.head_width
        self.q_proj = nn.Linear(shape.width, inner, bias=False)
        self.k_proj = nn.Linear(shape.width, kv_inner, bias=False)
        self.v_proj = nn.Linear(shape.width, kv_inner, bias=False)
        self.o_proj = nn.Linear(inner, shape.width, bias=False)
        self.normed = shape.qk_norm
        if self.normed:
            self.q_norm = nn.RMSNorm(self.head_width, eps=shape.norm_epsilon)
            self.k_norm = nn.RMSNorm(self.head_width, eps=shape.norm_epsilon)

    def forward(
        self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, *, packed: Packing | None = None
    ) -> torch.Tensor:
        """[batch, tokens, width] to the same."""
        batch, tokens, _ = x.shape
        q = self.q_proj(x).view(batch, tokens, self.heads, self.head_width)
        k = self.k_proj(x).view(batch, tokens, self.kv_heads, self.head_width)
        v = self.v_proj(x).view(batch, tokens, self.kv_heads, self.head_width).transpose(1, 2)
        if self.normed:
            q, k = _head_norm(q, self.q_norm), _head_norm(k, self.k_norm)
        q, k = rotate(q.transpose(1, 2), cos, sin), rotate(k.transpose(1, 2), cos, sin)
        mixed = causal_attention(q, k, v, packed=packed)
        mixed = mixed.transpose(1, 2).reshape(batch, tokens, self.heads * self.head_width)
        return cast("torch.Tensor", self.o_proj(mixed))


def _head_norm(x: torch.Tensor, norm: nn.RMSNorm) -> torch.Tensor:
    """Norm each head, in the dtype that products have."""
    return functional.rms_norm(x, x.shape[-1:], norm.weight.to(x.dtype), norm.eps)


class FeedForward(nn.Module):
    """SwiGLU."""

    def __init__(self, width: int, feed_forward: int) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(width, feed_forward, bias=False)
        self.up_proj = nn.Linear(width, feed_forward, bias=False)
        self.down_proj = nn.Linear(feed_forward, width, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[batch, tokens, width] to the same."""
        return cast("torch.Tensor", self.down_proj(functional.silu(self.gate_proj(x)) * self.up_proj(x)))


class Block(nn.Module):
    """Attention and feed-forward, each behind a norm, each added to the stream."""

    def __init__(self, shape: ModelShape, block: BlockShape) -> None:
        super().__init__()
        self.input_layernorm = nn.RMSNorm(shape.width, eps=shape.norm_epsilon)
        self.self_attn = Attention(shape, block)
        self.post_attention_layernorm = nn.RMSNorm(shape.width, eps=shape.norm_epsilon)
        self.mlp = FeedForward(shape.width, block.feed_forward)

    def forward(
        self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, *, packed: Packing | None = None
    ) -> torch.Tensor:
        """[batch, tokens, width] to the same."""
        x = x + self.self_attn(self.input_layernorm(x), cos, sin, packed=packed)
        return cast("torch.Tensor", x + self.mlp(self.post_attention_layernorm(x)))


class Decoder(nn.Module):
    """Embedding, blocks and the last norm."""

    def __init__(self, shape: ModelShape, vocabulary: int) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(vocabulary, shape.width)
        self.layers = nn.ModuleList(Block(shape, block) for block in shape.blocks)
        self.norm = nn.RMSNorm(shape.width, eps=shape.norm_epsilon)


class Transformer(nn.Module):
    """A language model.

    Args:
        shape: its sizes.
        vocabulary: tokens of its vocabulary.
        seed: seed of its initial weights.

    Attributes:
        recompute_every: of so many layers the activations of one are not kept for backward, but computed
            again there (activation checkpointing); 0 keeps all. Gradients are the same, bit for bit.
    """

    def __init__(self, shape: ModelShape, vocabulary: int, seed: int = 0) -> None:
        super().__init__()
        self.shape, self.vocabulary, self.recompute_every = shape, vocabulary, 0
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
        """Draw the weights: normal, larger in narrow models, those that write to the stream smaller with
        depth."""
        generator = torch.Generator().manual_seed(seed)
        deviation = max(INITIAL_DEVIATION, (2 / (5 * self.shape.width)) ** 0.5)
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                depth = (
                    (2 * self.shape.layers) ** -0.5
                    if name.endswith(("o_proj.weight", "down_proj.weight"))
                    else 1.0
                )
                nn.init.normal_(parameter, std=deviation * depth, generator=generator)

    def hidden(self, tokens: torch.Tensor, documents: Documents | None = None) -> torch.Tensor:
        """[batch, tokens] ids to [batch, tokens, width].

        Args:
            tokens: ids.
            documents: keeps those of a sequence apart, positions counted anew in each.
        """
        x = self.model.embed_tokens(tokens)
        cos, sin = cast("torch.Tensor", self.cos), cast("torch.Tensor", self.sin)
        packed, dtype = None, matrix_dtype(x)
        if documents is None:
            cos, sin = cos[: tokens.shape[1]].to(dtype), sin[: tokens.shape[1]].to(dtype)
        else:
            cos, sin = (table.to(dtype)[documents.positions][:, None] for table in (cos, sin))
            packed = packing(documents, dtype)
        for i, block in enumerate(self.model.layers):
            if self.recompute_every and i % self.recompute_every == 0 and torch.is_grad_enabled():
                x = checkpoint(
                    block, x, cos, sin, packed=packed, use_reentrant=False, preserve_rng_state=False
                )
            else:
                x = block(x, cos, sin, packed=packed)
        return cast("torch.Tensor", self.model.norm(x))

    def forward(
        self,
        tokens: torch.Tensor,
        targets: torch.Tensor | None = None,
        *,
        each: bool = False,
        documents: Documents | None = None,
        z_loss: float | None = None,
    ) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        """[batch, tokens, vocabulary] logits; where targets are given, the mean loss, or each target's, or
        with a z-loss what ``losses`` gives.

        Args:
            tokens: [batch, tokens] ids.
            targets: [batch, tokens] the next ids.
            each: whether each target's cross-entropy is wanted; 0 for those that do not count.
            documents: keeps those of a sequence apart; the first token of each is no target.
            z_loss: factor of the z-loss.
        """
        if targets is None:
            return cast("torch.Tensor", self.lm_head(self.hidden(tokens, documents)))
        if each:
            return self._each_loss(tokens, targets, documents)
        both = self.losses(tokens, targets, documents=documents, z_loss=z_loss or 0.0)
        return both[0] if z_loss is None else both

    def loss(self, tokens: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Mean cross-entropy in nats, by the fused output layer; arguments as in ``losses``."""
        return self.losses(tokens, targets)[0]

    def losses(
        self,
        tokens: torch.Tensor,
        targets: torch.Tensor,
        *,
        documents: Documents | None = None,
        z_loss: float = 0.0,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The mean loss in nats, z-loss in it, and its cross-entropy alone, without gradient.

        Args:
            tokens: [batch, tokens] ids.
            targets: [batch, tokens] the next ids.
            documents: keeps those of a sequence apart; the first token of each is no target.
            z_loss: factor of the z-loss.
        """
        hidden = self.hidden(tokens, documents).flatten(0, 1)
        dtype = matrix_dtype(hidden)
        counted = None if documents is None else documents.counted.flatten()[None]
        loss, plain = FusedCrossEntropy.apply(  # type: ignore[no-untyped-call]
            hidden.to(dtype)[None],
            self.lm_head.weight.to(dtype)[None],
            targets.flatten()[None],
            counted,
            z_loss,
        )
        return loss[0], plain[0]

    @torch.no_grad()
    def token_losses(
        self, tokens: torch.Tensor, targets: torch.Tensor, documents: Documents | None = None
    ) -> torch.Tensor:
        """[batch, tokens] cross-entropy of each target, in nats; by way of ``forward``, for which ZeRO 3
        gathers the weights."""
        return cast("torch.Tensor", self(tokens, targets, each=True, documents=documents))

    def _each_loss(
        self, tokens: torch.Tensor, targets: torch.Tensor, documents: Documents | None
    ) -> torch.Tensor:
        hidden = self.hidden(tokens, documents).flatten(0, 1)
        dtype = matrix_dtype(hidden)
        losses = token_cross_entropy(
            hidden.to(dtype)[None], self.lm_head.weight.to(dtype)[None], targets.flatten()[None]
        ).view(targets.shape)
        return losses if documents is None else losses * documents.counted


def compiled(model: Transformer, how: Compilation) -> Transformer:
    """The model, compiled in place by torch: block by block, or as a whole with its loss; names of parameters
    stay as they are."""
    if how == "whole":
        model.compile()
    if how == "blocks":
        for block in model.model.layers:
            block.compile()
    return model


@torch.no_grad()
def with_tokens(model: Transformer, kept: torch.Tensor) -> Transformer:
    """The model with a vocabulary of some of its tokens, whose embeddings and outputs are as they were.

    Args:
        model: with the whole vocabulary.
        kept: [new ids] the old ids that stay.
    """
    state = dict(model.state_dict())
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        state[name] = state[name][kept]
    smaller = Transformer(model.shape, len(kept))
    smaller.load_state_dict(state)
    return smaller.train(model.training)


def rotary_table(shape: ModelShape) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines and sines of the rotary positions, [context, head width] each."""
    head_width = shape.head_dim
    frequencies = 1.0 / shape.rope_theta ** (torch.arange(0, head_width, 2).float() / head_width)
    angles = torch.outer(torch.arange(shape.context).float(), frequencies)
    doubled = torch.cat([angles, angles], -1)
    return doubled.cos(), doubled.sin()


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Turn queries or keys, [batch, heads, tokens, head width], by their positions: cosines and sines of
    [tokens, head width], or of each sequence apart, [batch, 1, tokens, head width]."""
    half = x.shape[-1] // 2
    turned = torch.cat([-x[..., half:], x[..., :half]], -1)
    return x * cos.to(x.dtype) + turned * sin.to(x.dtype)
