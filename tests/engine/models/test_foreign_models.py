"""Models by other hands: read with equal logits, or refused with the field that is not ours."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from mashbill.config import ModelShape
from mashbill.errors import DataError
from mashbill.models.huggingface import check_tokenizer, load_model, save_model
from mashbill.models.transformer import Transformer

SIZES: dict[str, Any] = {
    "vocab_size": 60,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
}
MAKERS: dict[str, Callable[[], PreTrainedModel]] = {
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**SIZES, rms_norm_eps=1e-6)),
    "tied": lambda: LlamaForCausalLM(LlamaConfig(**SIZES, tie_word_embeddings=True)),
    "wide heads": lambda: LlamaForCausalLM(LlamaConfig(**SIZES, head_dim=16)),
    "far turns": lambda: LlamaForCausalLM(LlamaConfig(**SIZES, rope_theta=5e5)),
    "mistral": lambda: MistralForCausalLM(MistralConfig(**SIZES, sliding_window=None)),
    "qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(**SIZES, head_dim=16, tie_word_embeddings=True)),
}


def written(folder: Path, name: str, **how: Any) -> PreTrainedModel:
    """A model of transformers' own, with weights that differ everywhere, saved."""
    torch.manual_seed(0)
    model = MAKERS[name]().eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.1)
    model.save_pretrained(folder, **how)
    return model


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_model_by_transformers_is_read_with_its_logits(
    tmp_path: Path, name: str, dtype: torch.dtype
) -> None:
    torch.manual_seed(0)
    written(tmp_path / "first", name)
    AutoModelForCausalLM.from_pretrained(tmp_path / "first", dtype=dtype).save_pretrained(
        tmp_path / "model", max_shard_size="8KB"
    )
    assert len(list((tmp_path / "model").glob("model-*.safetensors"))) > 2
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "model", dtype=torch.float32).eval()
    ours = load_model(tmp_path / "model")
    tokens = torch.randint(0, 60, (2, 40), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.allclose(ours(tokens), theirs(tokens).logits, atol=1e-5)
    assert {p.dtype for p in ours.parameters()} == {torch.float32}
    assert all(p.requires_grad for p in ours.parameters())


@pytest.mark.parametrize("name", ["wide heads", "tied", "qwen3"])
def test_a_model_that_was_read_is_trained_on_and_exported(tmp_path: Path, name: str) -> None:
    written(tmp_path / "model", name)
    model = load_model(tmp_path / "model", context=32)
    assert model.shape.context == 32
    tokens = torch.randint(0, 60, (2, 33), generator=torch.Generator().manual_seed(0))
    optimiser = torch.optim.SGD(model.parameters(), lr=0.5)
    losses = []
    for _ in range(3):
        loss = model(tokens[:, :-1], tokens[:, 1:])
        losses.append(loss.item())
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
    assert losses[2] < losses[0]
    Tokenizer(models.BPE({"a": 0}, [])).save(str(tmp_path / "tokenizer.json"))
    save_model(model, tmp_path / "after", tmp_path / "tokenizer.json")
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "after").eval()
    with torch.no_grad():
        assert torch.allclose(model(tokens[:, :-1]), theirs(tokens[:, :-1]).logits, atol=1e-5)


def says(folder: Path, **fields: Any) -> None:
    """Change what a folder's config.json says."""
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **fields}))


@pytest.mark.parametrize(
    "fields, named",
    [
        ({"rope_scaling": {"rope_type": "llama3", "factor": 8.0}}, "rope_scaling = llama3"),
        ({"rope_scaling": {"type": "linear", "factor": 2.0}}, "rope_scaling = linear"),
        ({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4}}, "rope_parameters = yarn"),
        ({"rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.5}}, "rope_parameters"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor = 0.5"),
        ({"attention_bias": True}, "attention_bias = True"),
        ({"mlp_bias": True}, "mlp_bias = True"),
        ({"hidden_act": "gelu"}, "hidden_act = gelu"),
        ({"hidden_act": "relu"}, "hidden_act = relu"),
        ({"sliding_window": 4096}, "sliding_window = 4096"),
        ({"model_type": "mistral", "sliding_window": 4096}, "sliding_window = 4096"),
        ({"model_type": "qwen3", "use_sliding_window": True}, "use_sliding_window = True"),
        ({"layer_types": ["full_attention", "sliding_attention"]}, "layer_types"),
        ({"num_local_experts": 8}, "num_local_experts = 8"),
        ({"num_experts": 8}, "num_experts = 8"),
        ({"attention_dropout": 0.1}, "attention_dropout = 0.1"),
        ({"quantization_config": {"quant_method": "gptq"}}, "quantization_config = gptq"),
    ],
)
def test_what_the_architecture_has_not_is_refused_by_field_and_value(
    tmp_path: Path, fields: dict[str, Any], named: str
) -> None:
    written(tmp_path / "model", "llama")
    says(tmp_path / "model", **fields)
    with pytest.raises(DataError) as refused:
        load_model(tmp_path / "model")
    assert str(refused.value).startswith(f"{tmp_path / 'model' / 'config.json'}: {named}")
    assert "; give a model without it" in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "fields, words",
    [
        (
            {"model_type": "mixtral", "num_local_experts": 8},
            r"holds a mixtral model \(num_local_experts = 8\)",
        ),
        ({"model_type": "qwen2"}, "holds a qwen2 model; give one of llama"),
        ({"hidden_size": None}, "hidden_size: is missing"),
        ({"num_key_value_heads": 3}, "heads 4 must be a multiple of kv_heads 3"),
        ({"max_position_embeddings": 1_000_000}, "max_position_embeddings: Input should be less than"),
        ({"vocab_size": 61}, r"other weights .*embed_tokens.weight is \[60, 32\], not \[61, 32\]|lm_head"),
        ({"num_hidden_layers": 1}, r"other weights than its config says \(model.layers.1"),
        ({"tie_word_embeddings": True}, "tie_word_embeddings: is true, and the weights hold another"),
        ({"model_type": "qwen3"}, r"other weights .*"),
    ],
)
def test_a_config_that_does_not_fit_is_told_in_a_line(
    tmp_path: Path, fields: dict[str, Any], words: str
) -> None:
    written(tmp_path / "model", "llama")
    says(tmp_path / "model", **fields)
    with pytest.raises(DataError, match=words) as refused:
        load_model(tmp_path / "model")
    assert "\n" not in str(refused.value)


def test_shards_that_are_missing_or_broken_are_named(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    written(folder, "llama", max_shard_size="8KB")
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    shards = sorted(folder.glob("model-*.safetensors"))
    whole = shards[1].read_bytes()
    shards[1].write_bytes(whole[:-5])
    with pytest.raises(DataError, match=rf"{shards[1].name}: ends before its tensors do"):
        load_model(folder)
    shards[1].unlink()
    with pytest.raises(DataError, match=rf"index.json: names {shards[1].name}, which is not beside it"):
        load_model(folder)
    shards[1].write_bytes(whole)
    moved = next(name for name, at in index["weight_map"].items() if at == shards[0].name)
    index["weight_map"][moved] = shards[1].name
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(DataError, match=f"lacks {moved}, which the index says it holds"):
        load_model(folder)
    index["weight_map"][moved] = "../outside.safetensors"
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(DataError, match=r"names ../outside.safetensors, which is not beside it"):
        load_model(folder)
    (folder / "model.safetensors.index.json").write_text("{}")
    with pytest.raises(DataError, match="has no weight_map"):
        load_model(folder)
    (folder / "model.safetensors.index.json").unlink()
    with pytest.raises(DataError, match=r"has neither model.safetensors nor model.safetensors.index.json"):
        load_model(folder)


def test_whole_numbers_are_no_weights_and_derived_tensors_are_left(tmp_path: Path) -> None:
    written(tmp_path / "model", "llama")
    path = tmp_path / "model" / "model.safetensors"
    state = load_file(path)
    derived = {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4)}
    save_file({**state, **derived}, path)
    load_model(tmp_path / "model")
    save_file({**state, "model.norm.weight": torch.ones(32, dtype=torch.int8)}, path)
    with pytest.raises(
        DataError, match=r"holds model.norm.weight as I8; give weights that are not quantised"
    ):
        load_model(tmp_path / "model")


def test_a_tokenizer_other_than_the_shards_is_refused(tmp_path: Path) -> None:
    folder, shards = tmp_path / "model", tmp_path / "tokenizer.json"
    shape = ModelShape(layers=1, width=16, heads=2, kv_heads=1, feed_forward=24, context=16)
    Tokenizer(models.BPE({"a": 0, "b": 1, "c": 2}, [])).save(str(shards))
    save_model(Transformer(shape, 4), folder, shards)  # an id more than tokens, as where sizes are padded
    check_tokenizer(folder, shards, 3)
    with pytest.raises(DataError, match="vocab_size: is 4, and the token shards have 5 ids"):
        check_tokenizer(folder, shards, 5)
    Tokenizer(models.BPE({"a": 0, "c": 1, "b": 2}, [])).save(str(shards))
    with pytest.raises(DataError, match=r"tokenizer.json: gives 'c' 2, and the token shards' 1"):
        check_tokenizer(folder, shards, 3)
    Tokenizer(models.BPE({"a": 0, "b": 1, "d": 2}, [])).save(str(shards))
    with pytest.raises(DataError, match="gives 'd' none, and the token shards' 2"):
        check_tokenizer(folder, shards, 3)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(DataError, match=r"has no tokenizer.json"):
        check_tokenizer(folder, shards, 3)
