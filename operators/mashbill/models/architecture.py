"""A model's config.json: from a shape, and back from what Hugging Face's Llama, Mistral and Qwen3 say.

A shape whose blocks are alike is a Llama, with normed queries and keys a Qwen3; one whose blocks grow is a
model of our own, whose code travels with it (``modeling_mashbill.py``).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from mashbill.config import ModelShape
from mashbill.errors import DataError

OWN_CODE = "modeling_mashbill"
OWN_TYPE = "mashbill"
ARCHITECTURES = {"llama": "LlamaForCausalLM", "qwen3": "Qwen3ForCausalLM", OWN_TYPE: "MashbillForCausalLM"}
READ = ("llama", "mistral", "qwen3", OWN_TYPE)
ACTIVATIONS = ("silu", "swish")
ABSENT: tuple[Any, ...] = (None, False, 0)
MUST_BE: Mapping[str, tuple[Any, ...]] = {
    "attention_bias": ABSENT,
    "mlp_bias": ABSENT,
    "qkv_bias": ABSENT,
    "bias": ABSENT,
    "hidden_act": (None, *ACTIVATIONS),
    "hidden_activation": (None, *ACTIVATIONS),
    "use_sliding_window": ABSENT,
    "num_experts": ABSENT,
    "num_local_experts": ABSENT,
    "n_routed_experts": ABSENT,
    "attention_dropout": ABSENT,
    "partial_rotary_factor": (None, 1),
    "quantization_config": (None,),
}
"""Fields of which an architecture like ours has none but these values."""


class Foreign(NamedTuple):
    """What a config.json says of a model."""

    shape: ModelShape
    vocabulary: int


def config_of(shape: ModelShape, vocabulary: int, end_of_text: int) -> dict[str, Any]:
    """The config.json of a model of ours."""
    kind = OWN_TYPE if not shape.uniform else "qwen3" if shape.qk_norm else "llama"
    config = {
        "architectures": [ARCHITECTURES[kind]],
        "model_type": kind,
        "vocab_size": vocabulary,
        "hidden_size": shape.width,
        "intermediate_size": shape.blocks[-1].feed_forward,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.blocks[-1].heads,
        "num_key_value_heads": shape.blocks[-1].kv_heads,
        "head_dim": shape.head_dim,
        "max_position_embeddings": shape.context,
        "rms_norm_eps": shape.norm_epsilon,
        "rope_theta": shape.rope_theta,
        "tie_word_embeddings": shape.tied,
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "bos_token_id": end_of_text,
        "eos_token_id": end_of_text,
        "pad_token_id": end_of_text,
        "dtype": "float32",
    }
    return config | (_own_fields(shape) if kind == OWN_TYPE else {})


def _own_fields(shape: ModelShape) -> dict[str, Any]:
    """What a model whose blocks grow says besides: how transformers finds its code, the sizes of every block,
    and the two shares that these come from."""
    return {
        "auto_map": {
            "AutoConfig": f"{OWN_CODE}.MashbillConfig",
            "AutoModelForCausalLM": f"{OWN_CODE}.MashbillForCausalLM",
        },
        "qk_norm": shape.qk_norm,
        "heads_by_layer": [block.heads for block in shape.blocks],
        "kv_heads_by_layer": [block.kv_heads for block in shape.blocks],
        "feed_forward_by_layer": [block.feed_forward for block in shape.blocks],
        "attention_from": shape.attention_from,
        "feed_forward_from": shape.feed_forward_from,
        "whole_feed_forward": shape.feed_forward,
    }


def read_config(config: Mapping[str, Any], path: Path, *, context: int | None = None) -> Foreign:
    """The shape of a model by its config.json.

    Args:
        config: what the file says.
        path: the file, for errors.
        context: tokens of a sequence to be trained on; without it what the file says.
    Raises:
        DataError: a field is missing, or says what our architecture has not.
    """
    kind = config.get("model_type")
    if kind not in READ:
        found = next((f" ({refused})" for refused in _refused(config)), "")
        raise DataError(str(path), f"holds a {kind} model{found}", f"give one of {', '.join(READ)}")
    for refused in _refused(config):
        raise DataError(f"{path}: {refused}", "is what this architecture has not", "give a model without it")
    for field in (
        "hidden_size",
        "num_hidden_layers",
        "num_attention_heads",
        "intermediate_size",
        "vocab_size",
    ):
        if not isinstance(config.get(field), int):
            raise DataError(f"{path}: {field}", "is missing, or no whole number", "copy the file again")
    try:
        return Foreign(ModelShape(**_sizes(config, context)), config["vocab_size"])
    except ValidationError as error:
        first = error.errors()[0]
        field = FIELDS.get(str(first["loc"][0]), "its sizes") if first["loc"] else "its sizes"
        what = first["msg"].removeprefix("Value error, ")
        raise DataError(f"{path}: {field}", what, "give another model") from error


FIELDS = {
    "layers": "num_hidden_layers",
    "width": "hidden_size",
    "heads": "num_attention_heads",
    "kv_heads": "num_key_value_heads",
    "head_width": "head_dim",
    "feed_forward": "intermediate_size",
    "context": "max_position_embeddings",
    "rope_theta": "rope_theta",
    "norm_epsilon": "rms_norm_eps",
}
"""Our names of sizes, and Hugging Face's."""


def _sizes(config: Mapping[str, Any], context: int | None) -> dict[str, Any]:
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    own = config["model_type"] == OWN_TYPE
    heads, width = config["num_attention_heads"], config["hidden_size"]
    head_width = config.get("head_dim") or (128 if config["model_type"] == "qwen3" else width // heads)
    return {
        "layers": config["num_hidden_layers"],
        "width": width,
        "heads": heads,
        "kv_heads": config.get("num_key_value_heads") or heads,
        "head_width": 0 if head_width * heads == width else head_width,
        "feed_forward": config["whole_feed_forward"] if own else config["intermediate_size"],
        "context": context or config.get("max_position_embeddings", 2048),
        "tied": bool(config.get("tie_word_embeddings", False)),
        "rope_theta": config.get("rope_theta") or rope.get("rope_theta") or 10_000.0,
        "norm_epsilon": config.get("rms_norm_eps", 1e-6),
        "qk_norm": config["qk_norm"] if own else config["model_type"] == "qwen3",
        "attention_from": config["attention_from"] if own else 1.0,
        "feed_forward_from": config["feed_forward_from"] if own else 1.0,
    }


def _refused(config: Mapping[str, Any]) -> list[str]:
    """Fields that say what our architecture has not, each with its value."""
    wrong = [field for field, values in MUST_BE.items() if config.get(field) not in values]
    if config.get("sliding_window") is not None and config.get("use_sliding_window", True):
        wrong += (
            []
            if config.get("model_type") == "qwen3" and "use_sliding_window" not in config
            else ["sliding_window"]
        )
    wrong += [field for field in ("rope_scaling", "rope_parameters") if _is_scaled(config.get(field))]
    if set(config.get("layer_types") or ()) - {"full_attention"}:
        wrong.append("layer_types")
    return [f"{field} = {_shown(config[field])}" for field in wrong]


def _is_scaled(rope: Any) -> bool:
    """Whether rotary positions are other than plain ones."""
    if not isinstance(rope, Mapping):
        return rope is not None
    kind = rope.get("rope_type", rope.get("type", "default"))
    return kind != "default" or rope.get("partial_rotary_factor", 1) != 1


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return str(value.get("rope_type", value.get("type", value.get("quant_method", "a table"))))
    return "a list" if isinstance(value, list) else str(value)
