"""A language model whose blocks grow from the first to the last, for Hugging Face's transformers.

This file is copied beside the weights of such a model, and needs nothing but torch and transformers:

    AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True)

Each block norms its input (RMSNorm), attends causally with rotary positions and fewer key and value heads
than query heads, and ends with a gated feed-forward layer (SwiGLU). How many heads a block has, and how wide
its feed-forward layer is, differ from block to block (OpenELM, arXiv 2404.14619).
"""

from typing import Any

import torch
from torch import nn
from torch.nn import functional
from transformers import DynamicCache, GenerationMixin, PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutputWithPast


class MashbillConfig(PretrainedConfig):  # type: ignore[misc]
    """Sizes; those that end in ``_by_layer`` have an entry for each block."""

    model_type = "mashbill"
    keys_to_ignore_at_inference = ("past_key_values",)

    def __init__(
        self,
        *,
        vocab_size: int = 32_000,
        hidden_size: int = 64,
        head_dim: int = 16,
        heads_by_layer: tuple[int, ...] = (2, 4),
        kv_heads_by_layer: tuple[int, ...] = (1, 2),
        feed_forward_by_layer: tuple[int, ...] = (64, 128),
        qk_norm: bool = True,
        max_position_embeddings: int = 2_048,
        rms_norm_eps: float = 1e-5,
        rope_theta: float = 10_000.0,
        tie_word_embeddings: bool = True,
        use_cache: bool = True,
        **others: Any,
    ) -> None:
        self.vocab_size, self.hidden_size, self.head_dim = vocab_size, hidden_size, head_dim
        self.heads_by_layer = list(heads_by_layer)
        self.kv_heads_by_layer = list(kv_heads_by_layer)
        self.feed_forward_by_layer = list(feed_forward_by_layer)
        self.num_hidden_layers = len(self.heads_by_layer)
        self.num_attention_heads = self.heads_by_layer[-1]
        self.num_key_value_heads = self.kv_heads_by_layer[-1]
        self.qk_norm, self.max_position_embeddings = qk_norm, max_position_embeddings
        self.rms_norm_eps, self.rope_theta, self.use_cache = rms_norm_eps, rope_theta, use_cache
        for derived in ("num_hidden_layers", "num_attention_heads", "num_key_value_heads"):
            others.pop(derived, None)
        super().__init__(tie_word_embeddings=tie_word_embeddings, **others)


class RMSNorm(nn.Module):
    """Divide by the root mean square, computed in fp32, and scale."""

    def __init__(self, width: int, epsilon: float) -> None:
        super().__init__()
        self.weight, self.epsilon = nn.Parameter(torch.ones(width)), epsilon

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[..., width] to the same."""
        exact = x.float()
        exact = exact * torch.rsqrt(exact.square().mean(-1, keepdim=True) + self.epsilon)
        return self.weight * exact.to(x.dtype)


class Attention(nn.Module):
    """Causal grouped-query attention, with a cache of keys and values."""

    def __init__(self, config: MashbillConfig, layer: int) -> None:
        super().__init__()
        self.layer, self.head_dim = layer, config.head_dim
        queries = config.heads_by_layer[layer] * config.head_dim
        keys = config.kv_heads_by_layer[layer] * config.head_dim
        self.q_proj = nn.Linear(config.hidden_size, queries, bias=False)
        self.k_proj = nn.Linear(config.hidden_size, keys, bias=False)
        self.v_proj = nn.Linear(config.hidden_size, keys, bias=False)
        self.o_proj = nn.Linear(queries, config.hidden_size, bias=False)
        normed = config.qk_norm
        self.q_norm = RMSNorm(config.head_dim, config.rms_norm_eps) if normed else nn.Identity()
        self.k_norm = RMSNorm(config.head_dim, config.rms_norm_eps) if normed else nn.Identity()

    def forward(
        self,
        x: torch.Tensor,
        turns: tuple[torch.Tensor, torch.Tensor],
        seen: torch.Tensor,
        *,
        cache: Any = None,
    ) -> torch.Tensor:
        """[batch, tokens, width] to the same; ``seen`` is [batch, 1, tokens, keys]."""
        split = (*x.shape[:-1], -1, self.head_dim)
        q = rotate(self.q_norm(self.q_proj(x).view(split)).transpose(1, 2), *turns)
        k = rotate(self.k_norm(self.k_proj(x).view(split)).transpose(1, 2), *turns)
        v = self.v_proj(x).view(split).transpose(1, 2)
        if cache is not None:
            k, v = cache.update(k, v, self.layer)
        groups = q.shape[1] // k.shape[1]
        k, v = k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)
        mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=seen)
        out: torch.Tensor = self.o_proj(mixed.transpose(1, 2).flatten(2))
        return out


class FeedForward(nn.Module):
    """SwiGLU."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(width, inner, bias=False)
        self.up_proj = nn.Linear(width, inner, bias=False)
        self.down_proj = nn.Linear(inner, width, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[batch, tokens, width] to the same."""
        out: torch.Tensor = self.down_proj(functional.silu(self.gate_proj(x)) * self.up_proj(x))
        return out


class Block(nn.Module):
    """Attention and feed-forward, each behind a norm, each added to the stream."""

    def __init__(self, config: MashbillConfig, layer: int) -> None:
        super().__init__()
        self.input_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.self_attn = Attention(config, layer)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.mlp = FeedForward(config.hidden_size, config.feed_forward_by_layer[layer])

    def forward(self, x: torch.Tensor, turns: Any, seen: torch.Tensor, *, cache: Any = None) -> torch.Tensor:
        """[batch, tokens, width] to the same."""
        x = x + self.self_attn(self.input_layernorm(x), turns, seen, cache=cache)
        out: torch.Tensor = x + self.mlp(self.post_attention_layernorm(x))
        return out


class Decoder(nn.Module):
    """Embedding, blocks and the last norm."""

    def __init__(self, config: MashbillConfig) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(Block(config, layer) for layer in range(config.num_hidden_layers))
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)


class MashbillForCausalLM(PreTrainedModel, GenerationMixin):  # type: ignore[misc]
    """The model with its output layer."""

    config_class = MashbillConfig
    base_model_prefix = "model"
    _tied_weights_keys = {"lm_head.weight": "model.embed_tokens.weight"}  # noqa: RUF012  (transformers' way)
    _no_split_modules = ("Block",)
    _supports_sdpa = True

    def __init__(self, config: MashbillConfig) -> None:
        super().__init__(config)
        self.model = Decoder(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    def get_input_embeddings(self) -> nn.Embedding:
        """The embedding."""
        return self.model.embed_tokens

    def get_output_embeddings(self) -> nn.Linear:
        """The output layer."""
        return self.lm_head

    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        *,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        past_key_values: Any = None,
        inputs_embeds: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int = 0,
        **others: Any,
    ) -> CausalLMOutputWithPast:
        """Logits of the next token, and its mean cross-entropy where labels are given.

        Args:
            input_ids: [batch, tokens] ids; or ``inputs_embeds``.
            attention_mask: [batch, keys] 0 where a token pads.
            position_ids: [batch, tokens] places; without them counted from what the cache holds.
            past_key_values: keys and values of earlier tokens.
            inputs_embeds: [batch, tokens, width] instead of ids.
            labels: [batch, tokens] ids, -100 where none counts.
            use_cache: whether keys and values are kept.
            logits_to_keep: of the last so many tokens; 0 means of all.
            others: what ``generate`` gives besides.
        """
        x = self.model.embed_tokens(input_ids) if inputs_embeds is None else inputs_embeds
        if past_key_values is None and (self.config.use_cache if use_cache is None else use_cache):
            past_key_values = DynamicCache()
        past = 0 if past_key_values is None else past_key_values.get_seq_length()
        slots = past + torch.arange(x.shape[1], device=x.device)
        turns = self._turns(slots[None] if position_ids is None else position_ids, x)
        keys = int(past) + x.shape[1]
        if past_key_values is not None:
            keys = max(keys, getattr(past_key_values, "max_cache_len", keys) or keys)
        seen = _seen(slots, keys, attention_mask)
        for block in self.model.layers:
            x = block(x, turns, seen, cache=past_key_values)
        logits = self.lm_head(self.model.norm(x)[:, -logits_to_keep if logits_to_keep else 0 :])
        loss = None
        if labels is not None:
            loss = self.loss_function(logits, labels, self.config.vocab_size, **others)
        return CausalLMOutputWithPast(loss=loss, logits=logits, past_key_values=past_key_values)

    def _turns(self, positions: torch.Tensor, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Cosines and sines of positions, [batch, 1, tokens, head width] each."""
        width = self.config.head_dim
        steps = torch.arange(0, width, 2, device=x.device).float() / width
        angles = positions[:, None, :, None].float() / self.config.rope_theta**steps
        doubled = torch.cat([angles, angles], -1)
        return doubled.cos().to(x.dtype), doubled.sin().to(x.dtype)


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Turn queries or keys, [batch, heads, tokens, head width], by their positions."""
    half = x.shape[-1] // 2
    return x * cos + torch.cat([-x[..., half:], x[..., :half]], -1) * sin


def _seen(slots: torch.Tensor, keys: int, attention_mask: torch.Tensor | None) -> torch.Tensor:
    """[batch, 1, tokens, keys] whether a token sees a key: no later one, and none that pads but itself."""
    places = torch.arange(keys, device=slots.device)
    seen = (places <= slots[:, None])[None, None]
    if attention_mask is None:
        return seen
    given = functional.pad(attention_mask.bool(), (0, keys - attention_mask.shape[1]), value=True)
    return seen & given[:, None, None] | (places == slots[:, None])
