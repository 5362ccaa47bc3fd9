"""A model as it is exported: its tokenizer pads, and every file agrees on which token does."""

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from builders.tokenizers import END, byte_tokenizer
from mashbill.config import ModelShape
from mashbill.models.huggingface import save_model
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
