"""The transformer is Llama: equal to Hugging Face's, its fused loss to the plain one, its sizes to the
published."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models

from builders.planted import malicious_pickle
from mashbill.config import ModelShape
from mashbill.errors import DataError
from mashbill.models.attention import causal_attention
from mashbill.models.huggingface import load_model, save_model
from mashbill.models.measurement import FamilyModel, bits_per_byte
from mashbill.models.optimisation import learning_rate_at
from mashbill.models.sizes import flops_per_token, memory_per_rank, parameter_count
from mashbill.models.transformer import Transformer

TINYLLAMA = ModelShape(
    layers=22, width=2048, heads=32, kv_heads=4, feed_forward=5632, context=2048, tied=False
)


@pytest.fixture
def tokenizer_path(tmp_path: Path) -> Path:
    path = tmp_path / "tokenizer.json"
    Tokenizer(models.BPE({"<|endoftext|>": 0, "a": 1}, [])).save(str(path))
    return path


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("kv_heads", [4, 2])
def test_logits_equal_those_of_transformers(
    tmp_path: Path, tokenizer_path: Path, tied: bool, kv_heads: int
) -> None:
    from transformers import AutoModelForCausalLM

    shape = ModelShape(layers=2, width=32, heads=4, kv_heads=kv_heads, feed_forward=48, context=16, tied=tied)
    model = Transformer(shape, 50, seed=3).eval()
    save_model(model, tmp_path / "model", tokenizer_path)
    tokens = torch.randint(0, 50, (2, 16), generator=torch.Generator().manual_seed(0))
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    with torch.no_grad():
        assert torch.allclose(model(tokens), theirs(tokens).logits, atol=1e-5)
        assert torch.equal(model(tokens), load_model(tmp_path / "model")(tokens))


def test_a_model_of_the_family_is_read_without_running_it(tmp_path: Path, tokenizer_path: Path) -> None:
    folder, mark = tmp_path / "model", tmp_path / "mark"
    shape = ModelShape(layers=1, width=32, heads=4, kv_heads=4, feed_forward=48, context=16)
    save_model(Transformer(shape, 2, seed=3), folder, tokenizer_path)
    for name in ("pytorch_model.bin", "model.bin", "modeling_llama.py"):
        (folder / name).write_bytes(malicious_pickle(mark))
    assert FamilyModel(folder).context == 16
    (folder / "model.safetensors").unlink()
    with pytest.raises(DataError, match=r"model: is no causal language model .* with safetensors"):
        FamilyModel(folder)
    assert not mark.exists()


@pytest.mark.parametrize("tied", [True, False])
def test_fused_loss_and_gradients_equal_the_plain_ones(tied: bool) -> None:
    shape = ModelShape(layers=1, width=32, heads=2, kv_heads=1, feed_forward=48, context=600, tied=tied)
    model = Transformer(shape, 70, seed=1)
    tokens = torch.randint(0, 70, (2, 601), generator=torch.Generator().manual_seed(0))[:, :601]
    inputs, targets = tokens[:, :-1], tokens[:, 1:]
    plain = torch.nn.functional.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())
    expected = torch.autograd.grad(plain, list(model.parameters()))
    fused = model.loss(inputs, targets)
    got = torch.autograd.grad(fused, list(model.parameters()))
    assert fused.item() == pytest.approx(plain.item(), abs=1e-6)
    for one, other in zip(got, expected, strict=True):
        assert torch.allclose(one, other, atol=1e-6)


def test_tinyllama_has_its_published_sizes() -> None:
    with torch.device("meta"):
        model = Transformer(TINYLLAMA, 32_000)
    assert sum(p.numel() for p in model.parameters()) == parameter_count(TINYLLAMA, 32_000) == 1_100_048_384
    assert flops_per_token(TINYLLAMA, 32_000) == pytest.approx(7.314e9, rel=1e-3)
    gigabytes = [memory_per_rank(1_100_048_384, 8, stage) / 2**30 for stage in range(4)]
    assert gigabytes == pytest.approx([16.4, 5.6, 3.8, 2.05], abs=0.06)


def test_bits_per_byte_counts_every_token_once() -> None:
    shape = ModelShape(layers=1, width=16, heads=2, kv_heads=2, feed_forward=16, context=16)
    model = Transformer(shape, 20)
    with torch.no_grad():
        model.lm_head.weight.zero_()
    for count in (17, 33, 40, 5):
        tokens = np.random.default_rng(0).integers(0, 20, count)
        assert bits_per_byte(model, tokens, count - 1) == pytest.approx(math.log2(20), rel=1e-3)


def test_learning_rate_warms_up_and_ends_at_the_minimum() -> None:
    rates = [learning_rate_at(step, 100, 1.0, minimum=0.1, warmup_share=0.1) for step in range(100)]
    assert rates[9] == 1.0
    assert rates[-1] == pytest.approx(0.1)
    assert rates[:10] == sorted(rates[:10])
    assert rates[10:] == sorted(rates[10:], reverse=True)


def test_a_folder_that_is_no_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is no model folder"):
        load_model(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(DataError, match="holds a bert model"):
        load_model(tmp_path)


@pytest.mark.parametrize("kv_heads", [4, 2])
def test_short_bf16_attention_is_torchs(kv_heads: int) -> None:
    generator = torch.Generator().manual_seed(0)
    shapes = [(3, heads, 40, 16) for heads in (4, kv_heads, kv_heads)]
    exact = [torch.randn(shape, generator=generator).bfloat16().float().requires_grad_() for shape in shapes]
    short = [x.detach().bfloat16().requires_grad_() for x in exact]
    expected = torch.nn.functional.scaled_dot_product_attention(
        *exact, is_causal=True, enable_gqa=kv_heads != 4
    )
    got = causal_attention(*short)
    assert got.dtype == torch.bfloat16
    assert torch.allclose(got.float(), expected, atol=2e-2)
    for one, other in zip(
        torch.autograd.grad(got.sum(), short), torch.autograd.grad(expected.sum(), exact), strict=True
    ):
        assert torch.allclose(one.float(), other, atol=6e-2)
