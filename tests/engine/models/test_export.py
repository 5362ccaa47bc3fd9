"""A model as it is exported: transformers loads it with equal logits and generates from it, its tokenizer
pads, and every file agrees on which token does."""

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from builders.tokenizers import END, byte_tokenizer
from mashbill.config import ModelShape
from mashbill.models.huggingface import load_model, save_model, save_weights
from mashbill.models.transformer import Transformer

SHAPE = ModelShape(layers=1, width=16, heads=2, kv_heads=2, feed_forward=16, context=32)


@pytest.mark.parametrize("own, padding", [([], END), (["<s>", "<pad>"], "<pad>"), (["[PAD]"], "[PAD]")])
def test_an_exported_model_runs_a_padded_batch_with_the_token_that_all_its_files_name(
    own: list[str], padding: str, tmp_path: Path
) -> None:
    made = byte_tokenizer(END, more=own)
    made.save(str(tmp_path / "tokenizer.json"))
    end = made.token_to_id(END)
    model = Transformer(SHAPE, made.get_vocab_size(), seed=1)
    save_model(model, tmp_path / "model", tmp_path / "tokenizer.json", end_of_text=end)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    assert (tokenizer.pad_token, tokenizer.eos_token) == (padding, END)
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    generation = GenerationConfig.from_pretrained(tmp_path / "model")
    assert config["pad_token_id"] == generation.pad_token_id == tokenizer.pad_token_id
    assert config["eos_token_id"] == generation.eos_token_id == end
    tokenizer.padding_side = "left"
    batch = tokenizer(["a", "a longer text"], padding=True, return_tensors="pt")
    assert batch["input_ids"].shape == (2, 13)
    assert batch["attention_mask"].sum(1).tolist() == [1, 13]
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "model", dtype=torch.float32)
    written = theirs.generate(**batch, max_new_tokens=2, do_sample=False)
    assert written.shape[0] == 2


NORMED = SHAPE.model_copy(update={"qk_norm": True, "layers": 2, "head_width": 16, "rope_theta": 100.0})
SIZES = {"layers": 4, "width": 32, "heads": 4, "kv_heads": 2, "feed_forward": 1024, "context": 48}
GROWING = ModelShape(**SIZES, attention_from=0.5, feed_forward_from=0.25, norm_epsilon=1e-6)  # type: ignore[arg-type]
OPENELM = GROWING.model_copy(update={"qk_norm": True, "head_width": 16})
UNTIED = OPENELM.model_copy(update={"tied": False, "feed_forward_from": 1.0})
KINDS = {
    "LlamaForCausalLM": SHAPE.model_copy(update={"layers": 2, "head_width": 12, "tied": False}),
    "Qwen3ForCausalLM": NORMED,
    "MashbillForCausalLM": OPENELM,
}


def model_of(shape: ModelShape, vocabulary: int) -> Transformer:
    """A model whose weights are so large that each shows."""
    model = Transformer(shape, vocabulary, seed=1).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(2)) * 0.1)
    return model


@pytest.mark.parametrize("shape", [*KINDS.values(), GROWING, UNTIED])
def test_transformers_loads_every_shape_with_equal_logits_and_generates_with_a_cache(
    shape: ModelShape, tmp_path: Path
) -> None:
    made = byte_tokenizer(END)
    made.save(str(tmp_path / "tokenizer.json"))
    model = model_of(shape, made.get_vocab_size())
    save_model(model, tmp_path / "model", tmp_path / "tokenizer.json", end_of_text=0)
    own = shape.uniform is False
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "model", trust_remote_code=own).eval()
    assert type(theirs).__name__ in KINDS
    assert type(theirs).__name__ == "MashbillForCausalLM" or not own
    tokens = torch.randint(1, made.get_vocab_size(), (2, 20), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = model(tokens)
        assert torch.allclose(theirs(tokens).logits, expected, atol=1e-5)
        assert torch.equal(load_model(tmp_path / "model")(tokens), expected)
        loss = theirs(input_ids=tokens, labels=tokens).loss
        assert loss.item() == pytest.approx(model(tokens[:, :-1], tokens[:, 1:]).item(), rel=1e-5)
    generation = GenerationConfig(max_new_tokens=12, do_sample=False, eos_token_id=None, pad_token_id=0)
    written = [theirs.generate(tokens, generation, use_cache=cached) for cached in (True, False)]
    assert torch.equal(*written)
    greedy = tokens
    with torch.no_grad():
        for _ in range(12):
            greedy = torch.cat([greedy, model(greedy)[:, -1:].argmax(-1)], 1)
    assert torch.equal(written[0], greedy)


@pytest.mark.parametrize("name, shape", KINDS.items())
def test_padding_on_the_left_changes_nothing_of_what_is_generated(
    name: str, shape: ModelShape, tmp_path: Path
) -> None:
    made = byte_tokenizer(END)
    made.save(str(tmp_path / "tokenizer.json"))
    save_model(model_of(shape, made.get_vocab_size()), tmp_path / "model", tmp_path / "tokenizer.json")
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "model", trust_remote_code=True).eval()
    assert json.loads((tmp_path / "model" / "config.json").read_text())["architectures"] == [name]
    text = torch.randint(1, made.get_vocab_size(), (1, 9), generator=torch.Generator().manual_seed(0))
    pads, ones = torch.zeros((1, 5), dtype=torch.int64), torch.ones_like(text)
    generation = GenerationConfig(max_new_tokens=6, do_sample=False, eos_token_id=None, pad_token_id=0)
    alone = theirs.generate(text, generation, attention_mask=ones)[0, 9:]
    padded = theirs.generate(
        torch.cat([pads, text], 1), generation, attention_mask=torch.cat([pads, ones], 1)
    )[0, 14:]
    assert torch.equal(alone, padded)


@pytest.mark.parametrize("name, shape", KINDS.items())
def test_weights_above_a_limit_are_shards_with_an_index_that_transformers_reads(
    name: str, shape: ModelShape, tmp_path: Path
) -> None:
    made = byte_tokenizer(END)
    made.save(str(tmp_path / "tokenizer.json"))
    model = model_of(shape, made.get_vocab_size())
    places = {"folder": tmp_path / "model", "tokenizer_path": tmp_path / "tokenizer.json"}
    save_weights(model.state_dict(), shape, model.vocabulary, **places, end_of_text=0, max_shard_bytes=10_000)
    files = sorted((tmp_path / "model").glob("*.safetensors"))
    assert len(files) > 2
    assert files[0].name == f"model-00001-of-{len(files):05}.safetensors"
    index = json.loads((tmp_path / "model" / "model.safetensors.index.json").read_text())
    assert set(index["weight_map"].values()) == {file.name for file in files}
    assert index["metadata"]["total_size"] == 4 * sum(p.numel() for p in model.parameters())
    tokens = torch.arange(1, 21)[None]
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "model", trust_remote_code=True)
    with torch.no_grad():
        assert torch.allclose(theirs(tokens).logits, model(tokens), atol=1e-5)
        assert torch.equal(load_model(tmp_path / "model")(tokens), model(tokens))


def test_code_that_travels_with_a_model_needs_nothing_of_ours(tmp_path: Path) -> None:
    byte_tokenizer(END).save(str(tmp_path / "tokenizer.json"))
    save_model(model_of(GROWING, 50), tmp_path / "model", tmp_path / "tokenizer.json")
    code = (tmp_path / "model" / "modeling_mashbill.py").read_text()
    assert not [
        line for line in code.splitlines() if line.lstrip().startswith(("from mashbill", "import mash"))
    ]
