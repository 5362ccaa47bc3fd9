"""Models on disk: Hugging Face folders, which ``transformers`` loads with equal logits, and the way back,
from our own or anyone's Llama, Mistral or Qwen3."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import torch

from mashbill.config import ModelShape
from mashbill.errors import DataError
from mashbill.models.architecture import OWN_CODE, config_of, read_config
from mashbill.models.folder import CONFIG, MEND, TOKENIZER, read_json
from mashbill.models.transformer import Transformer, rotary_table
from mashbill.models.weights import MAX_SHARD_BYTES, read_weights, write_weights

MODELS = "models"  # a folder of such folders
OUTPUT, EMBEDDING = "lm_head.weight", "model.embed_tokens.weight"
DERIVED = ".rotary_emb.inv_freq"  # that older exports hold, and the config says
SAME_TOKENIZER = "tokenize with the model's tokenizer: tokens.tokenizer names it"
LAST = "tokenizer_config.json"  # of a folder to be written

PADDING = ("<pad>", "[PAD]", "<|pad|>", "<|padding|>", "<PAD>", "<｜▁pad▁｜>")
"""Tokens that pad, the first that a tokenizer has; where it has none, the end of text pads."""


def know_own_models() -> None:
    """Have transformers read models whose blocks grow by the code that is installed here: what lies beside
    their weights is not run (docs/decisions/0017-nothing-that-is-read-runs.md)."""
    from transformers import AutoConfig, AutoModelForCausalLM

    from mashbill.models.modeling_mashbill import MashbillConfig, MashbillForCausalLM

    AutoConfig.register(MashbillConfig.model_type, MashbillConfig, exist_ok=True)
    AutoModelForCausalLM.register(MashbillConfig, MashbillForCausalLM, exist_ok=True)


def is_saved(folder: Path) -> bool:
    """Whether a folder holds a whole model that ``save_model`` wrote."""
    return (folder / LAST).exists()


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
    max_shard_bytes: int = MAX_SHARD_BYTES,
) -> None:
    """Write weights given by Hugging Face's names; see ``save_model``.

    Args:
        state: the weights.
        shape, vocabulary: of the model.
        folder, tokenizer_path, end_of_text: as in ``save_model``.
        max_shard_bytes: bytes of a file of weights at most.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: value.detach().float().cpu().contiguous() for name, value in state.items()}
    if shape.tied:
        tensors.pop(OUTPUT, None)
    write_weights(tensors, folder, max_shard_bytes=max_shard_bytes)
    if not shape.uniform:
        shutil.copyfile(Path(__file__).with_name(f"{OWN_CODE}.py"), folder / f"{OWN_CODE}.py")
    special = json.loads(tokenizer_path.read_text(encoding="utf-8"))["added_tokens"]
    named = {token["content"]: token["id"] for token in special}
    padding = next((named[token] for token in PADDING if token in named), end_of_text)
    config = config_of(shape, vocabulary, end_of_text) | {"pad_token_id": padding}
    generation = {name: value for name, value in config.items() if name.endswith("_token_id")}
    (folder / CONFIG).write_text(json.dumps(config, indent=1))
    (folder / "generation_config.json").write_text(json.dumps(generation, indent=1))
    shutil.copyfile(tokenizer_path, folder / TOKENIZER)
    by_id = {number: token for token, number in named.items()}
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": by_id.get(end_of_text),
        "bos_token": by_id.get(end_of_text),
        "pad_token": by_id.get(padding),
        "model_max_length": shape.context,
    }
    (folder / LAST).write_text(json.dumps(settings, indent=1))


def load_model(folder: Path, *, context: int | None = None) -> Transformer:
    """Read a model that ``save_model`` wrote, or any folder of the same architecture, in fp32.

    Args:
        folder: with config.json, and weights in one safetensors file or in shards.
        context: tokens of a sequence to go on training with; without it what config.json says.
    Raises:
        DataError: the folder holds no such model; the field or the tensor is named.
    """
    if not (folder / CONFIG).is_file():
        raise DataError(str(folder), f"is no model folder (no {CONFIG})", MEND)
    shape, vocabulary = read_config(read_json(folder / CONFIG), folder / CONFIG, context=context)
    with torch.device("meta"):
        model = Transformer(shape, vocabulary)
    expected = {name: weight.shape for name, weight in model.named_parameters()}
    state: dict[str, torch.Tensor] = {}
    output = None
    for name, tensor in read_weights(folder):
        if name.endswith(DERIVED):
            continue
        if name == OUTPUT and shape.tied:
            output = tensor
        elif name not in expected:
            raise _other_weights(folder, name)
        elif tensor.shape != expected[name]:
            sizes = f"{name} is {list(tensor.shape)}, not {list(expected[name])}"
            raise _other_weights(folder, sizes)
        else:
            state[name] = tensor
    for name in expected:
        if name not in state:
            raise _other_weights(folder, name)
    if output is not None and not torch.equal(output, state[EMBEDDING]):
        what = "is true, and the weights hold another output layer than the embedding"
        raise DataError(f"{folder / CONFIG}: tie_word_embeddings", what, "set it to false")
    model.load_state_dict(state, strict=False, assign=True)
    if shape.tied:
        model.lm_head.weight = model.model.embed_tokens.weight
    model.cos, model.sin = rotary_table(shape)
    return model.requires_grad_().eval()


def check_tokenizer(folder: Path, tokenizer_path: Path, vocabulary: int) -> None:
    """Refuse to go on from a model that reads other tokens than the shards hold.

    Args:
        folder: of the model.
        tokenizer_path: tokenizer.json of the shards.
        vocabulary: ids of the shards.
    Raises:
        DataError: the model has fewer ids than the shards, or its tokenizer gives a token another id.
    """
    size = read_config(read_json(folder / CONFIG), folder / CONFIG).vocabulary
    if size < vocabulary:
        what = f"is {size:,}, and the token shards have {vocabulary:,} ids"
        raise DataError(f"{folder / CONFIG}: vocab_size", what, SAME_TOKENIZER)
    if not (folder / TOKENIZER).is_file():
        raise DataError(str(folder), f"has no {TOKENIZER}", MEND)
    theirs, ours = _ids(folder / TOKENIZER), _ids(tokenizer_path)
    for token, number in ours.items():
        if theirs.get(token) != number:
            other = "none" if token not in theirs else f"{theirs[token]}"
            what = f"gives {token!r} {other}, and the token shards' {number}"
            raise DataError(str(folder / TOKENIZER), what, SAME_TOKENIZER)


def _ids(path: Path) -> Mapping[str, int]:
    """Ids of a tokenizer's tokens, added ones among them."""
    from tokenizers import Tokenizer

    ids: dict[str, int] = Tokenizer.from_file(str(path)).get_vocab(with_added_tokens=True)
    return dict(sorted(ids.items(), key=lambda pair: pair[1]))


def _other_weights(folder: Path, name: str) -> DataError:
    return DataError(str(folder), f"has other weights than its config says ({name})", "export it again")
