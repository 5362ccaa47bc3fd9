"""Several transformers of one shape as one set of tensors with a leading axis: trained at once, each as if it
were alone.

A GPU spends nearly all the time of a tiny model on launching kernels; K models at once launch no more of them
than one does. Every operation works on each model's slice by itself, so a model that diverges leaves the
others as they are.
"""

from collections.abc import Sequence
from typing import cast

import torch
from torch import nn
from torch.nn import functional

from mashbill.config import BlockShape
from mashbill.models.attention import causal_attention
from mashbill.models.cross_entropy import FusedCrossEntropy, matrix_dtype, token_cross_entropy
from mashbill.models.transformer import Transformer, rotary_table, rotate


class Stack(nn.Module):
    """K transformers.

    Args:
        models: of one shape and vocabulary; their weights are copied.
    """

    def __init__(self, models: Sequence[Transformer]) -> None:
        super().__init__()
        self.shape, self.vocabulary, self.members = models[0].shape, models[0].vocabulary, len(models)
        states = [dict(model.named_parameters()) for model in models]
        self.weights = nn.ParameterDict(
            {_key(name): nn.Parameter(torch.stack([s[name].detach() for s in states])) for name in states[0]}
        )
        cos, sin = rotary_table(self.shape)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    def member_state(self, member: int) -> dict[str, torch.Tensor]:
        """One model's weights, by the names that ``Transformer`` gives them."""
        return {_name(key): value.detach()[member] for key, value in self.weights.items()}

    def loss(self, tokens: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """[models] mean cross-entropy in nats.

        Args:
            tokens: [models, batch, tokens] ids, each model's own.
            targets: [models, batch, tokens] the next ids.
        """
        hidden = self.hidden(tokens)
        dtype = matrix_dtype(hidden)
        fused = FusedCrossEntropy.apply(hidden.to(dtype), self.head().to(dtype), targets.flatten(1))  # type: ignore[no-untyped-call]
        return cast("torch.Tensor", fused[0])

    @torch.no_grad()
    def token_losses(self, tokens: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """[models, batch, tokens] cross-entropy in nats of the same text under each model.

        Args:
            tokens: [batch, tokens] ids.
            targets: [batch, tokens] the next ids.
        """
        hidden = self.hidden(tokens.expand(self.members, *tokens.shape))
        dtype = matrix_dtype(hidden)
        losses = token_cross_entropy(
            hidden.to(dtype), self.head().to(dtype), targets.flatten().expand(self.members, -1)
        )
        return losses.view(self.members, *targets.shape)

    def head(self) -> torch.Tensor:
        """[models, vocabulary, width] the output layers."""
        return self._weight("model.embed_tokens.weight" if self.shape.tied else "lm_head.weight")

    def hidden(self, tokens: torch.Tensor) -> torch.Tensor:
        """[models, batch, tokens] ids to [models, batch x tokens, width]."""
        models, batch, length = tokens.shape
        first = torch.arange(models, device=tokens.device)[:, None, None] * self.vocabulary
        table = self._weight("model.embed_tokens.weight").flatten(0, 1)
        x = functional.embedding((tokens + first).view(models, -1), table)
        for layer, sizes in enumerate(self.shape.blocks):
            block = f"model.layers.{layer}"
            normed = self._norm(f"{block}.input_layernorm", x)
            x = x + self._attention(f"{block}.self_attn", normed, sizes, rows=(batch, length))
            x = x + self._feed_forward(f"{block}.mlp", self._norm(f"{block}.post_attention_layernorm", x))
        return self._norm("model.norm", x)

    def _attention(
        self, name: str, x: torch.Tensor, sizes: BlockShape, *, rows: tuple[int, int]
    ) -> torch.Tensor:
        (models, count, _), (batch, length) = x.shape, rows

        def heads(part: str, number: int) -> torch.Tensor:
            projected = self._project(f"{name}.{part}_proj", x).view(models, count, number, -1)
            if self.shape.qk_norm and part != "v":
                projected = self._norm(f"{name}.{part}_norm", projected).to(projected.dtype)
            return projected.view(models * batch, length, number, -1).transpose(1, 2)

        cos, sin = cast("torch.Tensor", self.cos)[:length], cast("torch.Tensor", self.sin)[:length]
        q = rotate(heads("q", sizes.heads), cos, sin)
        k = rotate(heads("k", sizes.kv_heads), cos, sin)
        mixed = causal_attention(q, k, heads("v", sizes.kv_heads))
        return self._project(f"{name}.o_proj", mixed.transpose(1, 2).reshape(models, count, -1))

    def _feed_forward(self, name: str, x: torch.Tensor) -> torch.Tensor:
        gated = functional.silu(self._project(f"{name}.gate_proj", x)) * self._project(f"{name}.up_proj", x)
        return self._project(f"{name}.down_proj", gated)

    def _norm(self, name: str, x: torch.Tensor) -> torch.Tensor:
        normed = functional.rms_norm(x, x.shape[-1:], eps=self.shape.norm_epsilon)
        weight = self._weight(f"{name}.weight")
        return normed * weight.view(len(weight), *[1] * (x.dim() - 2), -1)

    def _project(self, name: str, x: torch.Tensor) -> torch.Tensor:
        return torch.bmm(x, self._weight(f"{name}.weight").transpose(1, 2))

    def _weight(self, name: str) -> torch.Tensor:
        return cast("torch.Tensor", self.weights[_key(name)])


def _key(name: str) -> str:
    return name.replace(".", "/")  # a parameter's own name may hold no dot


def _name(key: str) -> str:
    return key.replace("/", ".")
