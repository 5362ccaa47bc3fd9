"""Models on disk: Hugging Face Llama folders, which ``transformers`` loads with equal logits."""

import json
import shutil
from pathlib import Path
from typing import Any

import torch

from mashbill.config import ModelShape
from mashbill.errors import DataError
from mashbill.models.transformer import NORM_EPSILON, Transformer

MODELS = "models"  # a folder of such folders
LAST = "tokenizer_config.json"  # of a folder to be written

PADDING = ("<pad>", "[PAD]", "<|pad|>", "<|padding|>", "<PAD>", "<｜▁pad▁｜>")
"""Tokens that pad, the first that a tokenizer has; where it has none, the end of text pads."""


def is_saved(folder: Path) -> bool:
    """Whether a folder holds a whole model that ``save_model`` wrote."""
    return (folder / LAST).exists()


def llama_config(shape: ModelShape, vocabulary: int, end_of_text: int) -> dict[str, Any]:
    """The config.json of a model of ours."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": vocabulary,
        "hidden_size": shape.width,
        "intermediate_size": shape.feed_forward,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.width // shape.heads,
        "max_position_embeddings": shape.context,
        "rms_norm_eps": NORM_EPSILON,
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


def save_model(model: Transformer, folder: Path, tokenizer_path: Path, *, end_of_text: int = 0) -> None:
    """Write a model as a Hugging Face folder, in fp32.

    Args:
        model: the model.
        folder: folder to write, made where it is missing.
        tokenizer_path: its tokenizer.json, copied.
        end_of_text: id of the end-of-text token.
    """
    save_weights(
        model.state_dict(),
        model.shape,
        model.vocabulary,
        folder=folder,
        tokenizer_path=tokenizer_path,
        end_of_text=end_of_text,
    )


def save_weights(
    state: dict[str, torch.Tensor],
    shape: ModelShape,
    vocabulary: int,
    *,
    folder: Path,
    tokenizer_path: Path,
    end_of_text: int,
) -> None:
    """Write weights given by Hugging Face's names; see ``save_model``."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: value.detach().float().cpu().contiguous() for name, value in state.items()}
    if shape.tied:
        tensors.pop("lm_head.weight", None)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    special = json.loads(tokenizer_path.read_text(encoding="utf-8"))["added_tokens"]
    named = {token["content"]: token["id"] for token in special}
    padding = next((named[token] for token in PADDING if token in named), end_of_text)
    config = llama_config(shape, vocabulary, end_of_text) | {"pad_token_id": padding}
    generation = {name: value for name, value in config.items() if name.endswith("_token_id")}
    (folder / "config.json").write_text(json.dumps(config, indent=1))
    (folder / "generation_config.json").write_text(json.dumps(generation, indent=1))
    shutil.copyfile(tokenizer_path, folder / "tokenizer.json")
    by_id = {number: token for token, number in named.items()}
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": by_id.get(end_of_text),
        "bos_token": by_id.get(end_of_text),
        "pad_token": by_id.get(padding),
        "model_max_length": shape.context,
    }
    (folder / LAST).write_text(json.dumps(settings, indent=1))


def load_model(folder: Path) -> Transformer:
    """Read a model that ``save_model`` wrote, or any Llama folder of the same architecture.

    Raises:
        DataError: the folder holds no such model.
    """
    from safetensors.torch import load_file

    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        if config.get("model_type") != "llama":
            raise DataError(str(folder), f"holds a {config.get('model_type')} model", "give a Llama folder")
        shape = ModelShape(
            layers=config["num_hidden_layers"],
            width=config["hidden_size"],
            heads=config["num_attention_heads"],
            kv_heads=config["num_key_value_heads"],
            feed_forward=config["intermediate_size"],
            context=config["max_position_embeddings"],
            tied=config["tie_word_embeddings"],
            rope_theta=config["rope_theta"],
        )
        model = Transformer(shape, config["vocab_size"])
        missing, unexpected = model.load_state_dict(load_file(folder / "model.safetensors"), strict=False)
    except (OSError, KeyError, ValueError) as error:
        raise DataError(
            str(folder),
            f"is no model folder ({error})",
            "give a folder with config.json and model.safetensors",
        ) from error
    lost = [name for name in missing if not (shape.tied and name == "lm_head.weight")]
    if lost or unexpected:
        raise DataError(
            str(folder),
            f"has other weights than its config says ({(lost + list(unexpected))[0]})",
            "export it again",
        )
    return model.eval()
